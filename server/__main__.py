"""The command line: `python -m server serve`, `render`, `show` and so on, also installed as `telequilt`."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import structlog
import typer
import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError

from display.lenticular import CellTable
from display.screen import screen as named
from engines.runtime import PRECISION, RUNTIME, UnknownRuntime, check, check_precision
from engines.weights import SYNTHETIC
from server import bridge, engines, show, weights
from server.settings import Settings, default_data_dir, is_loopback

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
    help="Telequilt: a webcam in, a 24-view hologram of a one-photo 3D avatar out.",
)


def _use_synthetic_weights(wanted: bool) -> None:
    if wanted:
        os.environ[SYNTHETIC] = "1"


SyntheticWeights = Annotated[
    bool,
    typer.Option(
        "--synthetic-weights",
        callback=_use_synthetic_weights,
        help="For benchmarks and tests: run a neural engine without its weights. What it shows is noise, and says so.",
    ),
]


def _for_engines(variable: str, check: Callable[[str], str]) -> Callable[[str | None], str | None]:
    """An option's callback: what it says is checked and put where engines look for it."""

    def use(value: str | None) -> str | None:
        if value is not None:
            try:
                os.environ[variable] = check(value)
            except UnknownRuntime as unknown:
                raise typer.BadParameter(str(unknown)) from None
        return value

    return use


NETWORKS = "How networks are run (docs/hardware.md)"
Runtime = Annotated[
    str | None,
    typer.Option(
        "--runtime",
        callback=_for_engines(RUNTIME, check),
        help="eager, graphs, trt, or auto: the best that is ready here; `engines` explains them.",
        show_default="auto",
        rich_help_panel=NETWORKS,
    ),
]
Precision = Annotated[
    str | None,
    typer.Option(
        "--precision",
        callback=_for_engines(PRECISION, check_precision),
        help="float32, bfloat16, float16, or auto: float16 on a GPU, float32 on a processor.",
        show_default="auto",
        rich_help_panel=NETWORKS,
    ),
]


@app.command()
def serve(
    host: Annotated[
        str | None,
        typer.Option(
            help="Address to listen on. Anything but loopback lets others in and needs a token.",
            show_default="127.0.0.1",
        ),
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on; 0 takes a free one.", show_default="8000")
    ] = None,
    token: Annotated[str | None, typer.Option(help="What clients must send as 'Authorization: Bearer ...'.")] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Where avatars are kept.", show_default=str(default_data_dir()))
    ] = None,
    engine: Annotated[str | None, typer.Option(help="Engine of callers who name none.", show_default="relief")] = None,
    placement: Annotated[
        str | None,
        typer.Option(
            help="Which stage runs on which device: cpu, one-gpu, paper, a .json file, or auto; `placement` explains it.",
            show_default="auto",
        ),
    ] = None,
    screen: Annotated[
        str | None,
        typer.Option(
            help="Whose quilt is sent: ours, or a Looking Glass by its preset's name.", show_default="telequilt"
        ),
    ] = None,
    synthetic_weights: SyntheticWeights = False,
    runtime: Runtime = None,
    precision: Precision = None,
    display: Annotated[
        bool,
        typer.Option(
            "--display", help="Show a channel on the Looking Glass attached here.", rich_help_panel=show.DISPLAY
        ),
    ] = False,
    channel: Annotated[
        str | None, typer.Option(help="Which channel.", show_default="any that is live", rich_help_panel=show.DISPLAY)
    ] = None,
    calibration: show.Calibration = None,
    monitor: show.OnMonitor = None,
    preview: show.AsPreview = False,
    focus: show.Focus = 0.0,
    depth: show.Depth = 1.0,
    cells: show.Cells = CellTable.BRIDGE,
) -> None:
    """Start the server and print the address to open.

    Everything else is set by TELEQUILT_* variables, for instance TELEQUILT_MAX_CHANNELS=2, TELEQUILT_BITRATE=8000000,
    TELEQUILT_ICE_SERVERS=stun:stun.example.org:3478, TELEQUILT_MARK=false.
    A flag wins over its variable. Stop with Ctrl-C.
    """
    if not display and (channel or calibration or monitor or preview):
        raise typer.BadParameter("--channel, --calibration, --monitor and --preview go with --display")
    flags = {"host": host, "port": port, "token": token, "data_dir": data_dir, "engine": engine, "screen": screen}
    flags |= {"placement": placement, "runtime": runtime, "precision": precision}
    settings = _settings({name: value for name, value in flags.items() if value is not None})
    _check_placement(settings)
    os.environ["TELEQUILT_DATA_DIR"] = str(settings.data_dir)  # engines, which know no settings, look there
    os.environ[RUNTIME], os.environ[PRECISION] = settings.runtime, settings.precision
    _log_readably()
    typer.echo("Telequilt is warming up: kernels are compiled once and kept ...", err=True)
    from server.app import create_app  # heavy: --help should answer at once

    if not display:
        _Announcing(create_app(settings), settings).run()
        return
    from server.attached import Attached
    from server.glass import Canvas, Wanted

    shown = named(settings.screen)

    def make(canvas: Canvas) -> uvicorn.Server:
        return _Announcing(create_app(settings, attached=Attached(shown, channel, canvas)), settings)

    with show.explained():
        server = show.beside(Wanted(calibration, monitor, preview, cells, focus, depth), shown.aspect, make)
    raise typer.Exit(int(not server.started))


@app.command()
def render(
    portrait: Annotated[Path, typer.Option(help="The photo that becomes the avatar.")],
    driver: Annotated[Path, typer.Option(help="The video whose face moves it.")],
    out: Annotated[Path, typer.Option(help="Where to write the film; the tiling is added to its name if missing.")],
    engine: Annotated[str, typer.Option(help="Which engine; `doctor` lists them.")] = "relief",
    screen: Annotated[
        str,
        typer.Option(
            help="Whose quilt: ours, a Looking Glass by its preset's name, or 'attached': as the one asks that is attached here."
        ),
    ] = "telequilt",
    view: Annotated[int | None, typer.Option(help="Only this view, as an ordinary 512-pixel video.")] = None,
    fill: Annotated[
        str | None,
        typer.Option(
            help="Repeat views until they fill this grid, e.g. 8x6, for a program that insists on one.",
            show_default="as many as the screen has",
        ),
    ] = None,
    focus: Annotated[
        float, typer.Option(min=-0.2, max=0.2, help="Moves the head out of the glass or into it, in tile widths.")
    ] = 0.0,
    depth: Annotated[float, typer.Option(min=0.1, max=2, help="Less than 1 is flatter, more is deeper.")] = 1.0,
    mark: Annotated[bool, typer.Option(help="The visible 'AI avatar' mark in every view.")] = True,
    synthetic_weights: SyntheticWeights = False,
    runtime: Runtime = None,
    precision: Precision = None,
) -> None:
    """Render a film: a photo, driven by the face in a video, as a quilt for a Looking Glass (with the video's sound).

    python -m server render --portrait me.jpg --driver talk.mp4 --out me_qs6x4a1.mp4
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from server import offline

    if view is not None and (fill or focus):
        raise typer.BadParameter("--fill and --focus are for quilts: leave --view out")
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with _explained(), Progress(*columns, transient=True) as progress:
        bar = progress.add_task("", total=None)
        result = offline.render(
            portrait,
            driver,
            out,
            offline.chosen_screen(screen, view, focus=focus, depth=depth),
            engine,
            fill=offline.grid(fill) if fill else None,
            marked=mark,
            progress=lambda stage, done, of: progress.update(bar, description=stage, completed=done, total=of or None),
        )
    typer.echo(
        f"{result.out}: {result.frames} frames in {result.seconds:.1f} s ({result.frames / result.seconds:.1f} fps)"
    )
    if result.unseen:
        typer.echo(f"no face was seen in {result.unseen} of them; the avatar rests there")


@app.command()
def puppet(
    channel: Annotated[str, typer.Option(help="Which channel it plays in.")] = "puppet",
    server: Annotated[str, typer.Option(help="A running Telequilt.")] = "http://127.0.0.1:8000",
    avatar: Annotated[str, typer.Option(help="Which avatar it drives.")] = "sample",
    token: Annotated[str | None, typer.Option(help="That server's token.", envvar="TELEQUILT_TOKEN")] = None,
    seconds: Annotated[float | None, typer.Option(min=1, help="How long; until Ctrl-C if not given.")] = None,
) -> None:
    """Play a scripted face into a channel: a caller for when there is no camera.

    Start `serve` first; then open the address that this prints.
    """
    import asyncio

    from server.puppetry import play

    with _explained():
        asyncio.run(play(server, channel, avatar, token, seconds, lambda where: typer.echo(f"\n  Watch at {where}\n")))


@app.command()
def mesh(
    portrait: Annotated[Path, typer.Option(help="The photo that becomes the avatar.")],
    out: Annotated[Path, typer.Option(help="Where to write the mesh: .glb or .ply.")],
    engine: Annotated[str, typer.Option(help="An engine that holds a volume.")] = "voodoo3d",
    driver: Annotated[Path | None, typer.Option(help="A photo whose expression it takes on.")] = None,
    side: Annotated[int, typer.Option(min=16, max=512, help="Points along each side of the volume.")] = 256,
    synthetic_weights: SyntheticWeights = False,
    runtime: Runtime = None,
    precision: Precision = None,
) -> None:
    """Write an avatar's head as a mesh with colours, for engines that hold a volume (weights list says what they want)."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    from server.sculpt import sculpt

    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn()
    with _explained(), Progress(*columns, transient=True) as progress:
        bar = progress.add_task("", total=None)
        made = sculpt(
            portrait,
            out,
            engine,
            driver,
            side,
            progress=lambda what, done, of: progress.update(bar, description=what, completed=done, total=of or None),
        )
    typer.echo(f"{made.out}: {made.vertices} points, {made.faces} triangles")


app.command()(show.show)
app.add_typer(weights.app, name="weights")
app.add_typer(engines.app, name="engines")
app.add_typer(bridge.app, name="bridge")


@app.command()
def doctor() -> None:
    """What this machine has and lacks, each lack with what mends it. Ends with 1 if something must be mended."""
    from rich.console import Console
    from rich.table import Table

    from server.doctor import Health, examine

    with Console(stderr=True).status("looking"):
        findings = examine(_settings({}))
    table = Table("", "what", "found", "what mends it", show_edge=False, box=None, pad_edge=False)
    sign = {Health.FINE: "[green]✓[/]", Health.SLOWER: "[yellow]![/]", Health.LACKING: "[red]✗[/]"}
    for finding in findings:
        table.add_row(sign[finding.health], finding.what, finding.detail, f"[bold]{finding.mend}[/]")
    Console().print(table)
    raise typer.Exit(int(any(finding.health is Health.LACKING for finding in findings)))


@app.command()
def placement(
    choice: Annotated[
        str | None, typer.Option("--placement", help="cpu, one-gpu, paper, a .json file, or auto.", show_default="auto")
    ] = None,
    engine: Annotated[str | None, typer.Option(help="Only this engine.", show_default="all")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as a file that --placement takes.")] = False,
) -> None:
    """Show which stage of which engine would run on which device of this machine, and why. Starts nothing.

    python -m server placement --engine voodoo3d --json > mine.json
    """
    from rich.console import Console

    from engines import catalogue
    from pipeline import gpus, planner
    from server.placing import shown

    if as_json and engine is None:
        raise typer.BadParameter("--json writes one placement: name its --engine")
    settings = _settings({"placement": choice} if choice else {})
    views, devices = named(settings.screen).views, gpus.present()
    with _explained():
        if as_json and engine is not None:
            needs = catalogue.footprint(engine)
            typer.echo(planner.chosen(settings.placement, devices, engine, needs, views).placement.as_json())
            return
        for part in shown(settings.placement, devices, [engine] if engine else catalogue.names(), views):
            Console(highlight=False).print(part)


def _check_placement(settings: Settings) -> None:
    """End now, and not once everything has been loaded, where the operator's placement does not fit this machine."""
    from engines import catalogue
    from server.studio import planned

    with _explained():
        planned(settings, settings.engine, catalogue.footprint(settings.engine))


@contextmanager
def _explained() -> Iterator[None]:
    """Turn an error that somebody can mend into one line; whatever is left is ours and keeps its trace."""
    from display.calibration import CalibrationRejected
    from display.screen import UnknownScreen
    from engines.contract import PortraitRejected, UnknownEngine, WeightsMissing
    from engines.mesh import MeshingMissing, NoSurface
    from pipeline.planner import PlacementImpossible
    from server.client import Refused, Unreachable
    from server.clips import ClipUnreadable
    from server.glass import GlassMissing
    from server.offline import OutputRefused
    from server.portraits import PortraitUnreadable

    try:
        yield
    except (
        *(PortraitRejected, PortraitUnreadable, ClipUnreadable, OutputRefused),
        *(UnknownScreen, UnknownEngine, WeightsMissing, Refused, Unreachable, FileNotFoundError),
        *(MeshingMissing, NoSurface, CalibrationRejected, GlassMissing, PlacementImpossible, UnknownRuntime),
    ) as error:
        typer.echo(f"telequilt: {error}", err=True)
        raise typer.Exit(2) from None


class _Announcing(uvicorn.Server):
    """Says where to go once the port is open, be it a free one, and everything behind it is warm."""

    def __init__(self, app: FastAPI, settings: Settings) -> None:
        super().__init__(uvicorn.Config(app, settings.host, settings.port, log_config=None, access_log=False))
        self._app, self._settings = app, settings

    def run(self, sockets: Any = None) -> None:
        try:
            super().run(sockets)
        finally:
            if not self.started:
                where = f"{self._settings.host}:{self._settings.port}"
                typer.echo(
                    f"telequilt: cannot listen on {where}; if the port is taken, choose another with --port", err=True
                )

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        if self.started:
            port = self.servers[0].sockets[0].getsockname()[1]
            warming: asyncio.Task[None] = self._app.state.warming
            warming.add_done_callback(lambda _: self._announce(port))

    def _announce(self, port: int) -> None:
        failure = self._app.state.failure
        if failure is not None:
            typer.echo(
                f"\n  Telequilt cannot take calls: {failure}\n  `python -m server doctor` says more.\n", err=True
            )
        elif not self.should_exit:
            typer.echo(f"\n  Telequilt is at {address(self._settings, port)}\n", err=True)


def address(settings: Settings, port: int) -> str:
    """What to open in a browser. The token rides in the fragment, which browsers do not send."""
    host = "localhost" if is_loopback(settings.host) else settings.host
    host = f"[{host}]" if ":" in host else host
    fragment = f"#token={settings.token.get_secret_value()}" if settings.token else ""
    return f"http://{host}:{port}/{fragment}"


def _settings(given: dict[str, Any]) -> Settings:
    try:
        return Settings(**given)
    except ValidationError as error:
        for problem in error.errors():
            where = ".".join(str(part) for part in problem["loc"])
            typer.echo(
                f"telequilt: {where + ': ' if where else ''}{problem['msg'].removeprefix('Value error, ')}", err=True
            )
        raise typer.Exit(2) from None


_JSON = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]


def _log_readably() -> None:
    """People get colours, machines get JSON lines; libraries only speak up when something is wrong."""
    people = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S" if people else "iso", utc=not people),
            *([structlog.dev.ConsoleRenderer()] if people else _JSON),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    logging.basicConfig(level=os.environ.get("TELEQUILT_LOG", "WARNING").upper())


def main() -> None:
    app()


if __name__ == "__main__":
    main()
