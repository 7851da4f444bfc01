"""Looking Glass Bridge on the command line: `python -m server bridge status | displays | calibration | cast | stop | events`."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from display.bridge import FIRST_DISPLAY, Bridge, NotAQuilt, hologram
from display.bridge_displays import Display
from display.bridge_wire import ADDRESS, BridgeFailure
from display.calibration import CalibrationRejected
from server.commands.terminal import console, explained

app = typer.Typer(
    no_args_is_help=True,
    help="Talk to Looking Glass Bridge, the vendor's service on the PC that has the display. It finds displays, gives their "
    "calibration, and plays quilt files; live holograms come by `show`, or by the viewer's page.",
)
Address = Annotated[str, typer.Option(help="Where Bridge listens.")]
Which = Annotated[int, typer.Option("--display", help="Which display, by Bridge's index.", show_default="the first")]

MENDABLE = (BridgeFailure, NotAQuilt, CalibrationRejected, OSError)


@app.command()
def status(address: Address = ADDRESS) -> None:
    """Whether Bridge runs, its version, and what is wrong with the displays it sees."""
    with explained(*MENDABLE):
        bridge = Bridge(address)
        version, displays = bridge.version(), bridge.displays()
        typer.echo(f"Looking Glass Bridge {version} at {address} sees {_counted(displays)}.")
        for one in displays:
            wrong = [*one.problems, *([] if one.state == "ok" else [f"Bridge says it is {one.state!r}"])]
            typer.echo(f"  {one.index}: {_name(one)}" + "".join(f"\n     mend this: {line}" for line in wrong))
        if not displays:
            typer.echo("  Plug in both of its cables, video and USB, and switch it on; then ask again.")


@app.command()
def displays(address: Address = ADDRESS) -> None:
    """The Looking Glass displays that Bridge sees: panel, place on the desktop, and the quilt each of them likes best."""
    from rich.table import Table

    with explained(*MENDABLE):
        found = Bridge(address).displays()
    table = Table("", "display", "serial", "panel", "at", "its quilt", box=None, pad_edge=False)
    for one in found:
        serial, panel, quilt = "not calibrated", "", ""
        with suppress(CalibrationRejected):
            known = one.calibration
            serial, panel = known.serial, f"{known.width}x{known.height}"
            wanted = one.screen
            quilt = f"{wanted.columns}x{wanted.rows} in {wanted.quilt_width}x{wanted.quilt_height}, aspect {wanted.aspect:g}"
        table.add_row(str(one.index), _name(one), serial, panel, f"{one.x},{one.y}", quilt)
    console().print(table) if found else typer.echo("Bridge sees no Looking Glass.")


@app.command()
def calibration(
    which: Which = FIRST_DISPLAY,
    save: Annotated[Path | None, typer.Option(help="Write the record there, for a PC without Bridge.")] = None,
    address: Address = ADDRESS,
) -> None:
    """A display's optics as Bridge gives them.

    python -m server bridge calibration --save visual.json
    """
    from rich.table import Table

    with explained(*MENDABLE):
        chosen = _chosen(Bridge(address).displays(), which)
        known = chosen.calibration
        if save is not None:
            save.write_text(chosen.calibration_text)
            typer.echo(f"{save}: the calibration of {_name(chosen)} {known.serial}")
            return
    table = Table(box=None, pad_edge=False, show_header=False)
    for what, value in [
        ("serial", known.serial),
        ("panel", f"{known.width}x{known.height} at {known.dpi:g} pixels an inch"),
        ("pitch", f"{known.pitch:g} lenses an inch, {known.lens_pitch:.3f} across the panel"),
        ("slope, tilt", f"{known.slope:g}, {known.tilt:.6f}"),
        ("center", f"{known.center:g}"),
        ("view cone", f"{known.view_cone_degrees:g} degrees"),
        ("subpixels", f"cells, pattern {known.cell_mode}" if known.cells else "stripes"),
    ]:
        table.add_row(what, value)
    console().print(table)


@app.command()
def cast(
    what: Annotated[list[str], typer.Argument(help="Quilt files on the display's PC, or http(s) URLs of some.")],
    tiling: Annotated[
        str, typer.Option(help="Columns, rows and aspect of a view, e.g. 6x4a1.", show_default="as the names say")
    ] = "",
    which: Which = FIRST_DISPLAY,
    address: Address = ADDRESS,
) -> None:
    """Show quilts on the display, one after another, over and over. They stay until `stop`, or until the next cast.

    python -m server bridge cast ruby-wren-42-20260314T150926Z_qs6x4a1.mp4
    """
    with explained(*MENDABLE):
        Bridge(address).cast([hologram(one, tiling) for one in what], which)
    typer.echo("Casting. To end it: python -m server bridge stop")


@app.command()
def stop(which: Which = FIRST_DISPLAY, address: Address = ADDRESS) -> None:
    """End what was cast, and close Bridge's window on the display."""
    with explained(*MENDABLE):
        Bridge(address).stop(which)
    typer.echo("Nothing is cast any more.")


@app.command()
def events(
    events_address: Annotated[
        str, typer.Option(help="Where Bridge tells its events.")
    ] = "ws://localhost:9724/event_source",
    seconds: Annotated[float | None, typer.Option(min=0.1, help="How long; until Ctrl-C if not given.")] = None,
    address: Address = ADDRESS,
) -> None:
    """Print what happens: displays that come and go, what is playing. Waits for Bridge where it is not running."""
    import threading

    from display.bridge_events import Event, Listener

    def tell(event: Event) -> None:
        details = " ".join(f"{name}={value}" for name, value in event.fields.items())
        typer.echo(" ".join(word for word in (f"{event.name}:", event.message, details) if word))

    with explained(*MENDABLE):
        listener = Listener(Bridge(address), tell, events_address)
        try:
            threading.Event().wait(seconds)
        finally:
            listener.close()


def _chosen(found: list[Display], which: int) -> Display:
    for one in found:
        if which in (one.index, FIRST_DISPLAY):
            return one
    known = ", ".join(str(one.index) for one in found)
    raise BridgeFailure(
        f"no Looking Glass has the index {which}; there are: {known}" if known else "Bridge sees no Looking Glass"
    )


def _name(one: Display) -> str:
    return f"{one.hardware or 'Looking Glass'} {one.hwid}".strip()


def _counted(found: list[Display]) -> str:
    return {0: "no Looking Glass", 1: "one Looking Glass"}.get(len(found), f"{len(found)} Looking Glass displays")
