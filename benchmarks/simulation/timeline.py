"""Timeline: which stage of which frame ran on which device, and when. Drawn alike from a simulation and from a real run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.lib.harness import COLOURS, pyplot
from benchmarks.simulation.simulation import Outcome
from benchmarks.simulation.virtual import Span
from pipeline.devices.placement import Placement

INK = "#222222"
QUIET = "#8a8a8a"
BAR = 0.74
"Height of a bar, where a row is 1."
LABEL_FROM = 0.017
"Bars shorter than this share of the picture's width carry no number."


@dataclass(frozen=True)
class Panel:
    """One run."""

    title: str
    devices: Sequence[str]
    "From top to bottom."
    spans: Sequence[Span]


def panel(title: str, placement: Placement, outcome: Outcome) -> Panel:
    return Panel(title, placement.devices, outcome.spans)


def draw(panels: Sequence[Panel], begin: float, length: float, heading: str, path: Path) -> bool:
    """Draw `length` seconds from `begin` of each panel, all to one scale. False where matplotlib is not installed."""
    plot = pyplot()
    if plot is None:
        return False
    rows = sum(len(panel.devices) for panel in panels)
    figure, axes = plot.subplots(
        len(panels),
        1,
        figsize=(12.5, 1.35 + 0.85 * len(panels) + 0.4 * rows),
        layout="constrained",
        squeeze=False,
        height_ratios=[len(panel.devices) + 1.2 for panel in panels],
    )
    for axis, panel in zip(axes[:, 0], panels, strict=True):
        _panel(axis, panel, begin, length)
    axes[-1, 0].set_xlabel("milliseconds", color=QUIET)
    _legend(figure, plot, panels)
    figure.suptitle(heading, x=0.012, ha="left", fontsize=12.5, fontweight="bold", color=INK)
    figure.savefig(path, dpi=120)
    plot.close(figure)
    return True


def _panel(axis: Any, panel: Panel, begin: float, length: float) -> None:
    rows = {device: row for row, device in enumerate(panel.devices)}
    callers = {span.caller for span in panel.spans}
    followed = _followed(panel, begin, length)
    for row in range(0, len(rows), 2):
        axis.axhspan(row - 0.5, row + 0.5, color="#f5f5f5", zorder=0)
    for shared in _batches(panel, begin, length):
        left, right = 1e3 * (max(shared[0].begun, begin) - begin), 1e3 * (min(shared[0].ended, begin + length) - begin)
        height = BAR / len(shared)
        for lane, span in enumerate(shared):
            middle = rows[span.device] - BAR / 2 + (lane + 0.5) * height
            mine = (span.caller, span.frame) == followed
            style = {
                "edgecolor": INK if mine else "white",
                "linewidth": 1.6 if mine else 0.6,
                "zorder": 4 if mine else 3,
            }
            axis.barh(middle, right - left, left=left, height=height, color=COLOURS.get(span.stage, "#999999"), **style)
            if (right - left) / 1e3 > LABEL_FROM * length * (1 if len(callers) == 1 else 1.3) and len(shared) < 3:
                name = f"{span.frame}" if len(callers) == 1 else f"{chr(ord('A') + span.caller)}{span.frame}"
                ink = "white" if span.stage in ("preprocess", "drive") else INK
                axis.text((left + right) / 2, middle, name, ha="center", va="center", fontsize=7.5, color=ink, zorder=5)
    axis.set_yticks(list(rows.values()), list(rows), fontsize=8.5)
    axis.set_ylim(len(rows) - 0.45, -1.25)
    axis.set_xlim(0, 1e3 * length)
    if followed is not None:
        _mark_age(axis, panel, followed, begin)
    axis.set_title(panel.title, loc="left", fontsize=10, color=INK)
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.spines["bottom"].set_color("#cccccc")
    axis.tick_params(length=0, colors="#555555", labelsize=8.5)
    axis.grid(axis="x", color="#e3e3e3", lw=0.6, zorder=1)


def _batches(panel: Panel, begin: float, length: float) -> list[list[Span]]:
    """What is seen; frames that share one batch, and so one time on one device, are drawn one below the other."""
    together: dict[tuple[str, float, float], list[Span]] = {}
    for span in panel.spans:
        if span.ended > begin and span.begun < begin + length:
            together.setdefault((span.device, span.begun, span.ended), []).append(span)
    return list(together.values())


def _followed(panel: Panel, begin: float, length: float) -> tuple[int, int] | None:
    """A frame of the first caller that lies whole in the picture, near its middle: its way is outlined."""
    shown = [span for span in panel.spans if span.stage == "encode" and span.caller == 0]
    whole = [span for span in shown if span.captured >= begin and span.ended <= begin + 0.97 * length]
    middle = begin + length / 2
    nearest = min(whole, key=lambda span: abs((span.captured + span.ended) / 2 - middle), default=None)
    return None if nearest is None else (nearest.caller, nearest.frame)


def _mark_age(axis: Any, panel: Panel, followed: tuple[int, int], begin: float) -> None:
    """A bracket from the followed frame's capture to its last stage's end."""
    way = [span for span in panel.spans if (span.caller, span.frame) == followed]
    left, right = 1e3 * (way[0].captured - begin), 1e3 * (max(span.ended for span in way) - begin)
    arrow = {"arrowstyle": "|-|,widthA=0.25,widthB=0.25", "color": INK, "lw": 1.1}
    axis.annotate("", (right, -0.72), (left, -0.72), arrowprops=arrow)
    said = f"frame {followed[1]}: {right - left:.0f} ms from camera to encoded picture"
    if right - left > 330 * axis.get_xlim()[1] / 1000:
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
        axis.text((left + right) / 2, -0.74, said, ha="center", va="center", fontsize=8, color=INK, bbox=box)
    else:
        axis.text(right, -0.74, f"  {said}", va="center", fontsize=8, color=INK)


def _legend(figure: Any, plot: Any, panels: Sequence[Panel]) -> None:
    present = {span.stage for panel in panels for span in panel.spans}
    stages = [stage for stage in COLOURS if stage in present]
    handles = [plot.Rectangle((0, 0), 1, 1, color=COLOURS[stage]) for stage in stages]
    handles.append(plot.Rectangle((0, 0), 1, 1, facecolor="white", edgecolor=INK, linewidth=1.4))
    figure.legend(
        handles,
        [*stages, "one frame's way; A60 is caller A's frame 60"],
        loc="outside lower center",
        ncols=len(handles),
        frameon=False,
        fontsize=9,
        handlelength=1.1,
        columnspacing=1.4,
    )
