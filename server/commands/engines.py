"""How networks are run, on the command line: `python -m server engines list | build | verify`."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import typer

from server.commands import terminal
from server.commands.options import engine_options

if TYPE_CHECKING:
    import torch
    from rich.table import Table

    from engines.runtime import Component, HasComponents, Precision
    from engines.runtime.cache import Cache, Key
    from engines.runtime.verify import Verdict

app = typer.Typer(
    no_args_is_help=True,
    help="""How neural engines run on this machine's GPUs: as they are (eager), recorded (graphs), or built ahead (trt).

    The first time: `engines build`, some minutes, if TensorRT is installed; then `engines verify`, which holds every way
    against eager. Which one runs is chosen with `serve --runtime` and `--precision`; docs/hardware.md says more.
    """,
)

Engine = Annotated[str, typer.Option(help="Which engine; any that has networks.")]
InPrecision = Annotated[
    str,
    typer.Option(help="float16, bfloat16, float32, or auto: what `serve` would take.", envvar="TELEQUILT_PRECISION"),
]
SyntheticWeights = Annotated[
    bool, typer.Option("--synthetic-weights", help="With invented weights; only engines for the same ones are found.")
]


@app.command("list")
def list_engines(
    engine: Engine = "voodoo3d", precision: InPrecision = "auto", synthetic_weights: SyntheticWeights = False
) -> None:
    """What was built, whether it is of use now and why not, and what is still to be built."""
    from engines.runtime import available
    from engines.runtime.cache import Cache, Standing

    with _explained():
        wanted = [] if _why_not() else _wanted(engine, precision, synthetic_weights)
    cache, table = (
        Cache(engine_options().built),
        _table("component", "GPU", "TensorRT", "precision", "MiB", "built", "is"),
    )
    colours = {Standing.READY: "green", Standing.STALE: "yellow", Standing.FOREIGN: "yellow", Standing.DAMAGED: "red"}
    ready = set()
    for entry in cache.entries():
        standing, why = cache.standing(entry, wanted)
        ready |= {entry.key} if standing is Standing.READY else set()
        key, said = entry.key, f"[{colours[standing]}]{standing.value}[/]{': ' if why else ''}{why}"
        size = f"{entry.size / 2**20:.0f}"
        table.add_row(key.component, key.gpu, key.tensorrt, key.precision, size, entry.built[:16], said)
    for key in wanted:
        if key not in ready:
            table.add_row(key.component, key.gpu, key.tensorrt, key.precision, "", "", "[yellow]not built[/]")
    console = terminal.console(soft_wrap=True)
    for device in _devices():
        console.print(f"{_named(device)} can have: {', '.join(available(device))}")
    console.print(f"engines that were built lie in {cache.folder}")
    if table.row_count:
        terminal.console().print(table)
    console.print(_next(bool(set(wanted) - ready)), highlight=False)


def _built(component: Component, device: torch.device, cache: Cache) -> str:
    """What came of building it, in words. Raises whatever a builder raises."""
    from engines.runtime import trt

    begun = time.monotonic()
    made = trt.build(component, device, cache)
    size = f"{made.entry.size / 2**20:.0f} MiB"
    return f"[green]built[/] in {time.monotonic() - begun:.0f} s, {size}" if made.anew else f"kept, {size}"


@app.command()
def build(
    engine: Engine = "voodoo3d", precision: InPrecision = "auto", synthetic_weights: SyntheticWeights = False
) -> None:
    """Build what TensorRT needs for every kind of GPU here: minutes, once; kept on disk, and found by `serve`.

    Whatever was built for exactly this machine and these weights stays. Ends with 1 if something could not be built:
    `graphs` run that, as `serve` will say.
    """
    from engines.runtime import chosen_precision, trt
    from engines.runtime.cache import Cache

    with _explained():
        if lack := _why_not():
            raise NothingToBuild(lack)
        opened = _opened(engine, synthetic_weights)
        precisions = {device: chosen_precision(precision, device) for device in _devices()}
    cache, table, failed = Cache(engine_options().built), _table("component", "GPU", "precision", "outcome"), 0
    with _progress() as told:
        todo = [
            (component, device)
            for device, each in precisions.items()
            for component in opened.components(device, each)
            if trt.ahead(component)
        ]
        for done, (component, device) in enumerate(todo):
            told(f"building {component.name} for {_named(device)}", done, len(todo))
            try:
                outcome = _built(component, device, cache)
            except Exception as failure:  # whatever a builder raises: the other components can still be built
                failed += 1
                outcome = f"[red]failed[/]: {str(failure).splitlines()[0] if str(failure) else type(failure).__name__}"
            table.add_row(component.name, _named(device), precisions[device].value, outcome)
    terminal.console().print(table)
    if failed:
        typer.echo(f"telequilt: {failed} could not be built; graphs run those", err=True)
    raise typer.Exit(int(failed > 0))


@app.command()
def verify(
    engine: Engine = "voodoo3d",
    runtime: Annotated[
        list[str] | None, typer.Option(help="eager, graphs or trt; may be repeated.", show_default="all there are")
    ] = None,
    precision: Annotated[
        list[str] | None,
        typer.Option(help="float32, float16 or bfloat16; may be repeated.", show_default="all with a stated agreement"),
    ] = None,
    small: Annotated[bool, typer.Option("--small", help="A small network: seconds to minutes, even on a CPU.")] = False,
    synthetic_weights: SyntheticWeights = False,
) -> None:
    """Hold every way of running a network against the one that defines correct: eager, in float32.

    Runs each component on each kind of GPU here, or on the processor, and prints how far results lie apart. Without the engine's
    weights invented ones are taken, which says as much of a runtime. Ends with 1 if anything disagrees.
    """
    from engines import catalogue
    from engines.contract import WeightsMissing
    from engines.runtime import check, chosen_precision

    with _explained():
        names = [check(name) for name in runtime or ()]
        wanted = [chosen_precision(name, _devices()[0]) for name in precision or ()]
        try:
            opened = catalogue.on_trial(engine, small) if small else _opened(engine, synthetic_weights)
        except WeightsMissing as missing:
            typer.echo(f"telequilt: {missing}\ntelequilt: so invented weights are taken", err=True)
            opened = catalogue.on_trial(engine)
    _conclude([one for device in _devices() for one in _shown(opened, device, names, wanted)])


def _shown(
    opened: HasComponents, device: torch.device, runtimes: list[str], precisions: list[Precision]
) -> list[Verdict]:
    """A device's verdicts, printed as a table."""
    from engines.runtime.verify import verify as verdicts

    with _progress() as told:
        found = list(verdicts(opened, device, runtimes or None, precisions, told))
    table = _table("", "by way of", "agrees to", "must", "max error", "ms", "", title=f"\n[bold]{_named(device)}[/]")
    for (by, in_precision), group in groupby(found, lambda one: (one.runtime, one.precision.value)):
        table.add_row(f"[bold]{by}, {in_precision}[/]")
        for verdict in group:
            table.add_row(*_row(verdict))
    terminal.console().print(table)
    return found


def _conclude(found: list[Verdict]) -> None:
    wrong = [one for one in found if not one.passed]
    if wrong:
        names = ", ".join(f"{one.component} by {one.by} in {one.precision.value}" for one in wrong)
        typer.echo(f"telequilt: {len(wrong)} of {len(found)} disagree with eager: {names}", err=True)
    else:
        typer.echo(f"all {len(found)} agree with eager in float32")
    raise typer.Exit(int(bool(wrong)))


def _row(verdict: Verdict) -> tuple[str, ...]:
    level = "exactly" if verdict.decibels == math.inf else f"{verdict.decibels:.1f} dB"
    must = f"{verdict.least:.0f} dB" if math.isfinite(verdict.least) else "exactly"
    sign = "[green]✓[/]" if verdict.passed else "[red]✗[/]"
    time_taken = f"{verdict.milliseconds:.1f}"
    by = verdict.by.removeprefix(verdict.runtime).removeprefix(", ")
    return f"  {verdict.component}", by, level, must, f"{verdict.worst:.1e}", time_taken, sign


class NothingToBuild(RuntimeError):
    """This machine runs no TensorRT engines; the message says what it lacks and what can be done."""


def _why_not() -> str | None:
    """Why no TensorRT engine can be built or used here, and what to do; None where it can."""
    import torch

    from engines.runtime import lacking

    if not torch.cuda.is_available():
        return (
            "PyTorch sees no CUDA device here, so there is nothing to build: engines are built on the GPU that runs them. "
            "`python -m server engines verify --small` tries the runtimes on the processor; `python -m server doctor` "
            "says what this machine has"
        )
    if absent := lacking():
        return (
            f"{' and '.join(absent)} cannot be imported, so there is nothing to build, and graphs run all networks; "
            "for TensorRT: pip install -c constraints.txt tensorrt torch-tensorrt"
        )
    return None


def _next(unbuilt: bool) -> str:
    """What an operator does now."""
    from engines.runtime.trt import BUILD

    if lack := _why_not():
        return lack
    return f"next: {BUILD}" if unbuilt else "next: python -m server engines verify"


def _wanted(engine: str, precision: str, synthetic_weights: bool) -> list[Key]:
    from engines.runtime import chosen_precision, trt

    opened = _opened(engine, synthetic_weights)
    return [
        key
        for device in _devices()
        for key in trt.keys(opened.components(device, chosen_precision(precision, device)), device)
    ]


def _opened(engine: str, synthetic_weights: bool) -> HasComponents:
    from engines import catalogue

    return catalogue.on_trial(engine) if synthetic_weights else catalogue.networks(engine, engine_options())


def _devices() -> list[torch.device]:
    """One GPU of each kind, or the processor."""
    import torch

    if not torch.cuda.is_available():
        return [torch.device("cpu")]
    every = [torch.device("cuda", k) for k in range(torch.cuda.device_count())]
    return list({torch.cuda.get_device_properties(device).name: device for device in reversed(every)}.values())[::-1]


def _named(device: torch.device) -> str:
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else "the processor"


def _table(*columns: str, title: str | None = None) -> Table:
    from rich.table import Table

    table = Table(
        *columns, title=title, title_justify="left", title_style="", box=None, show_edge=False, pad_edge=False
    )
    table.columns[0].no_wrap = True
    return table


def _progress() -> AbstractContextManager[Callable[[str, int, int], None]]:
    from rich.progress import MofNCompleteColumn, TimeElapsedColumn

    return terminal.progress(MofNCompleteColumn(), TimeElapsedColumn())


def _explained() -> AbstractContextManager[None]:
    from engines.contract import UnknownEngine, WeightsMissing
    from engines.runtime import UnknownRuntime

    return terminal.explained(NothingToBuild, UnknownEngine, UnknownRuntime, WeightsMissing)
