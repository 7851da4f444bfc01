"""Show: `python -m server show`: a live channel or a quilt file on the Looking Glass attached to this machine.

The window has the main thread, since macOS gives windows to no other; where its quilts come from runs in a thread beside it.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Annotated, Any

import typer
import uvicorn

from display.lenticular import CellTable
from server import workers
from server.commands import terminal
from server.commands.options import TokenFile, token_of

LOOK = 0.1
"Seconds between two looks at whether somebody asked to end."
DISPLAY = "The display"
Calibration = Annotated[
    Path | None,
    typer.Option(
        help="The display's visual.json.",
        show_default="its USB volume, else Looking Glass Bridge",
        rich_help_panel=DISPLAY,
    ),
]
OnMonitor = Annotated[
    str | None,
    typer.Option(
        "--monitor", help="Its name, or a part of it.", show_default="the Looking Glass", rich_help_panel=DISPLAY
    ),
]
AsPreview = Annotated[
    bool,
    typer.Option(
        "--preview", help="In a window on any monitor: one view, or the whole quilt.", rich_help_panel=DISPLAY
    ),
]
Focus = Annotated[
    float,
    typer.Option(
        min=-0.2,
        max=0.2,
        help="Moves the picture out of the glass or into it, in tile widths.",
        rich_help_panel=DISPLAY,
    ),
]
Depth = Annotated[
    float, typer.Option(min=0, max=1, help="Less of it: 1 is all that there is, 0 is flat.", rich_help_panel=DISPLAY)
]
Cells = Annotated[
    CellTable,
    typer.Option(
        help="Which table of subpixel cells, for 16 and 32 inch displays of 2023 and later.", rich_help_panel=DISPLAY
    ),
]


_Call = Annotated[str | None, typer.Option(help="A link to a call to watch, in quotes (`call invite --role viewer`).")]
_Seat = Annotated[
    int | None, typer.Option(min=1, help="Whom of the call.", show_default="all, or who is longest there")
]
_Tiling = Annotated[
    str | None, typer.Option(help="Columns x rows of the file's quilt, e.g. 6x4.", show_default="as its name says")
]
_ListMonitors = Annotated[bool, typer.Option("--list-monitors", help="Print this machine's monitors and end.")]


def show(
    channel: Annotated[str | None, typer.Option(help="A live channel to show.")] = None,
    call: _Call = None,
    seat: _Seat = None,
    name: Annotated[str, typer.Option(help="What whoever is in the call sees that watches.")] = "A display",
    server: Annotated[str, typer.Option(help="The Telequilt in which it is live.")] = "http://127.0.0.1:8000",
    token_file: TokenFile = None,
    file: Annotated[Path | None, typer.Option(help="A quilt image or video to show instead; videos loop.")] = None,
    tiling: _Tiling = None,
    calibration: Calibration = None,
    monitor: OnMonitor = None,
    preview: AsPreview = False,
    focus: Focus = 0.0,
    depth: Depth = 1.0,
    cells: Cells = CellTable.BRIDGE,
    mute: Annotated[bool, typer.Option("--mute", help="Without the channel's sound.")] = False,
    list_monitors: _ListMonitors = False,
) -> None:
    """Show a live channel, or a quilt file, on a Looking Glass attached to this machine.

    python -m server show --channel puppet            a live hologram; it waits for the caller and comes back after breaks
    python -m server show --file me_qs6x4a1.mp4       a film
    python -m server show --channel puppet --preview  in a window on any monitor
    python -m server show --call 'http://.../call/ID#t=...'    a call; everybody there sees that it is watched
    """
    from server.commands import watching
    from server.commands.attendance import Link
    from server.displays import glass

    with explained():
        if list_monitors:
            terminal.console().print(glass.table(glass.monitors()))
            return
        if sum(one is not None for one in (channel, file, call)) != 1:
            raise typer.BadParameter("say what to show: --channel NAME, --call LINK or --file PATH")
        wanted = glass.Wanted(calibration, monitor, preview, cells, focus, depth)
        if file is not None:
            shown = watching.tiling_of(file, *watching.size_of(file), tiling, watching.note_of(file))
            run(wanted, shown.aspect, lambda window, stop: watching.play(file, shown, window, stop))
        elif call is not None:
            link = Link.read(call)
            run(wanted, 1.0, lambda window, stop: _attend(link, seat, name, mute, window, stop))
        else:
            assert channel is not None
            watcher, token = channel, token_of(token_file)
            run(wanted, 1.0, lambda window, stop: _watch(server, watcher, token, mute, window, stop))


def run(wanted: Any, aspect: float, feed: Callable[[Any, Event], None]) -> None:
    """Open the window in this thread, run `feed` in another, and end both as soon as either ends, or with Ctrl-C."""
    from server.displays import glass

    stop, failures = Event(), []

    def fed(window: Any) -> None:
        try:
            feed(window, stop)
        except Exception as failure:
            failures.append(failure)
        finally:
            stop.set()

    with interruptible() as asked, glass.opened(wanted, aspect, typer.echo) as window:
        feeder = Thread(target=fed, args=(window,), name="feeder")
        feeder.start()
        try:
            window.run(lambda: not (stop.is_set() or asked.times))
        finally:
            stop.set()
            feeder.join()
        report = window.report()
    if failures:
        raise failures[0]
    typer.echo(f"Quilts shown: {report.shown}; replaced by newer ones before they were: {report.lost}.")


def beside(wanted: Any, aspect: float, make: Callable[[Any], uvicorn.Server]) -> uvicorn.Server:
    """Run the server that `make` makes for a window in a thread beside it, until Ctrl-C; the window may be closed before.

    One process for both: a quilt that lies on a GPU stays there on its way to the glass.
    """
    from display.monitors import MonitorRefused
    from server.displays import glass

    with interruptible() as asked, glass.opened(wanted, aspect, _aside) as window:
        server = make(window)
        thread = Thread(target=server.run, name="the server")
        thread.start()
        try:
            try:
                window.run(lambda: thread.is_alive() and not asked.times)
            except MonitorRefused as refusal:
                _aside(f"telequilt: {refusal}")
            window.close()
            if thread.is_alive() and not asked.times:
                _aside("The window is closed; the server goes on. Ctrl-C stops it.")
            while thread.is_alive() and not asked.times:
                thread.join(LOOK)
        finally:
            server.should_exit = True
            thread.join()
    return server


def _aside(line: str) -> None:
    typer.echo(line, err=True)


class Asked:
    """How often Ctrl-C or SIGTERM came."""

    times = 0

    def again(self, *_: object) -> None:
        self.times += 1


@contextmanager
def interruptible() -> Iterator[Asked]:
    """Ctrl-C and SIGTERM are counted and raise nothing: an exception in the middle of closing would leave threads behind in
    native code, which the end of the interpreter tears out of it: C++ ends the process for that with SIGABRT."""
    asked = Asked()
    before = {number: signal.signal(number, asked.again) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _watch(server: str, channel: str, token: str | None, mute: bool, window: Any, stop: Event) -> None:
    from server.commands.speaker import audible
    from server.commands.watching import Watcher

    with audible(mute, typer.echo) as speaker:
        _until(stop, Watcher(server, channel, lambda: token, window, typer.echo, speaker=speaker).run())


def _attend(link: Any, seat: int | None, name: str, mute: bool, window: Any, stop: Event) -> None:
    from server.commands.speaker import audible
    from server.commands.watching import attend

    with audible(mute, typer.echo) as speaker:
        _until(stop, attend(link, seat, name, window, typer.echo, speaker))


def _until(stop: Event, work: Coroutine[Any, Any, None]) -> None:
    """Do `work`, in an event loop of its own, until `stop`."""
    from server.webrtc.patches.tuning import tune_libraries

    async def until_stopped() -> None:
        watching = asyncio.create_task(work)
        stopped = asyncio.create_task(workers.slow(stop.wait))
        try:
            await asyncio.wait({watching, stopped}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.set()  # its thread waits for it
        if watching.done():
            watching.result()
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

    tune_libraries()
    asyncio.run(until_stopped())


def explained() -> AbstractContextManager[None]:
    """What somebody can mend about a display, and what it is to show, is said in one line."""
    from display.calibration import CalibrationRejected
    from display.desktop import DisplayMissing
    from display.monitors import MonitorRefused
    from display.texture import QuiltTooLarge
    from server.commands.attendance import LinkUnreadable
    from server.commands.watching import TilingUnknown
    from server.displays.glass import GlassMissing
    from server.media.clips import ClipUnreadable
    from server.webrtc.client import Refused

    return terminal.explained(
        *(CalibrationRejected, DisplayMissing, MonitorRefused, GlassMissing, QuiltTooLarge),
        *(ClipUnreadable, LinkUnreadable, Refused, TilingUnknown),
    )
