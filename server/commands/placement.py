"""Placing: a plan of what runs where, as people read it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table

from engines import catalogue
from engines.contract import Footprint
from pipeline.devices.placement import Placement
from pipeline.devices.planner import GIB, Device, bytes_needed, chosen, work_of


def shown(choice: str, devices: Sequence[Device], engines: Sequence[str], views: int) -> list[RenderableType]:
    """The plan for each engine as a headline, a table and reasons. Raises as pipeline.planner.chosen and catalogue.abilities."""
    parts: list[RenderableType] = []
    for engine in engines:
        needs = catalogue.abilities(engine).footprint
        planned = chosen(choice, devices, engine, needs, views)
        parts.append(f"[bold]{engine}[/]: placement [bold]{planned.placement.name}[/], {views} views")
        parts.append(Padding(_table(planned.placement, devices, needs, views), (0, 0, 0, 2), expand=False))
        parts.append(Padding("\n".join(planned.reasons), (0, 0, 1, 2), expand=False))
    return parts


def _table(place: Placement, devices: Sequence[Device], needs: Footprint | None, views: int) -> Table:
    table = Table("device", "", "does", box=None, pad_edge=False, header_style="dim")
    there = {device.name: device for device in devices}
    work = work_of(place, needs, views) if needs is not None else {}
    whole = sum(work.values())
    if work:
        table.add_column("of a frame's work", justify="right")
        table.add_column("memory")
    for device, stages in place.stages.items():
        row = [device, _label(device, there), ", ".join(stages)]
        if needs is not None and device in work:
            free = f" of {there[device].free_bytes / GIB:.1f} free" if device in there else ""
            row += [f"{work[device] / whole:.0%}", f"{bytes_needed(stages, needs) / GIB:.1f} GiB{free}"]
        table.add_row(*row)
    return table


def _label(device: str, there: dict[str, Device]) -> str:
    return there[device].label if device in there else "a thread"
