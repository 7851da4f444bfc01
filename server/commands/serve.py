"""Serve: `python -m server serve`: the server, until Ctrl-C; with `--display` a window of it beside."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import structlog
import typer
import uvicorn

from display.lenticular import CellTable
from display.screen import screen as named
from server import connections
from server.commands import show
from server.commands.options import Precision, Runtime, SyntheticWeights
from server.commands.terminal import explained, settings_of
from server.settings import Settings, default_data_dir, is_loopback

if TYPE_CHECKING:
    from fastapi import FastAPI

    from server.displays.glass import Canvas, Wanted


_Host = Annotated[
    str | None,
    typer.Option(
        help="Address to listen on. Anything but loopback lets others in and needs a token.", show_default="127.0.0.1"
    ),
]
_Port = Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.", show_default="8000")]
_TokenFile = Annotated[
    Path | None,
    typer.Option(
        help="A file that holds what clients must send as 'Authorization: Bearer ...'; TELEQUILT_TOKEN may hold it too."
    ),
]
_DataDir = Annotated[Path | None, typer.Option(help="Where avatars are kept.", show_default=str(default_data_dir()))]
_Engine = Annotated[str | None, typer.Option(help="Engine of callers who name none.", show_default="relief")]
_Placement = Annotated[
    str | None,
    typer.Option(
        help="Which stage runs on which device: cpu, one-gpu, paper, a .json file, or auto; `placement` explains it.",
        show_default="auto",
    ),
]
_Screen = Annotated[
    str | None,
    typer.Option(help="Whose quilt is sent: ours, or a Looking Glass by its preset's name.", show_default="telequilt"),
]
_Display = Annotated[
    bool,
    typer.Option("--display", help="Show a channel on the Looking Glass attached here.", rich_help_panel=show.DISPLAY),
]
_Channel = Annotated[
    str | None, typer.Option(help="Which channel.", show_default="any that is live", rich_help_panel=show.DISPLAY)
]

_Cluster = Annotated[
    bool, typer.Option("--cluster", help="As one machine of several that are one server, by Ray (docs/cluster.md).")
]


def serve(
    host: _Host = None,
    port: _Port = None,
    token_file: _TokenFile = None,
    data_dir: _DataDir = None,
    engine: _Engine = None,
    placement: _Placement = None,
    screen: _Screen = None,
    synthetic_weights: SyntheticWeights = False,
    runtime: Runtime = None,
    precision: Precision = None,
    cluster: _Cluster = False,
    display: _Display = False,
    channel: _Channel = None,
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
    if display and cluster:
        raise typer.BadParameter("a machine of a cluster has no display of its own: use `show` beside it")
    given = {"host": host, "port": port, "token_file": token_file, "data_dir": data_dir, "engine": engine}
    given |= {"screen": screen, "placement": placement, "runtime": runtime, "precision": precision}
    given |= {"synthetic_weights": synthetic_weights or None}
    settings = settings_of({name: value for name, value in given.items() if value is not None})
    _check_engine(settings)
    _check_libraries()
    _log_readably()
    typer.echo("Telequilt is warming up: kernels are compiled once and kept ...", err=True)
    if cluster:
        from server.commands import cluster as machines

        machines.serve(settings, address)
    elif display:
        from server.displays.glass import Wanted

        _serve_with_display(settings, channel, Wanted(calibration, monitor, preview, cells, focus, depth))
    else:
        from server.app import create_app  # heavy: --help should answer at once

        _Announcing(create_app(settings), settings).run()


def _serve_with_display(settings: Settings, channel: str | None, wanted: Wanted) -> None:
    """Serve in a thread, since the display's window has this one."""
    from server.app import create_app
    from server.displays.attached import Attached

    shown = named(settings.screen)

    def make(canvas: Canvas) -> uvicorn.Server:
        return _Announcing(create_app(settings, attached=Attached(shown, channel, canvas)), settings)

    with show.explained():
        server = show.beside(wanted, shown.aspect, make)
    raise typer.Exit(int(not server.started))


def _check_engine(settings: Settings) -> None:
    """End now, and not once everything has been loaded, where the engine's weights are not here, or the placement does not fit."""
    from engines import catalogue
    from engines.contract import UnknownEngine, WeightsMissing
    from pipeline.devices.planner import PlacementImpossible
    from server.channels.services import planned

    with explained(PlacementImpossible, UnknownEngine, WeightsMissing):
        catalogue.check_weights(settings.engine, settings.engine_options)
        planned(settings, settings.engine, catalogue.abilities(settings.engine).footprint)


def _check_libraries() -> None:
    """End now where aiortc or aioice are not what this was written for."""
    from server.webrtc.patches import touched

    with explained(touched.PatchesDoNotFit):
        touched.check()


class _Announcing(uvicorn.Server):
    """Says where to go once the port is open, be it a free one, and everything behind it is warm."""

    def __init__(self, app: FastAPI, settings: Settings) -> None:
        super().__init__(connections.config(app, settings.host, settings.port, settings.trusted_proxies))
        self._app, self._settings = app, settings

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Asked a second time uvicorn would cancel everything, closing as well, of which channels then never come to an end."""
        super().handle_exit(sig, frame)
        self.force_exit = False

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
        connections.tell_once_where_files_run_out()
        await super().startup(sockets)
        if self.started:
            port = self.servers[0].sockets[0].getsockname()[1]
            warming: asyncio.Task[None] = self._app.state.warming
            warming.add_done_callback(lambda _: self._announce(port))

    def _announce(self, port: int) -> None:
        failure = self._app.state.failure
        if failure is not None:
            typer.echo(
                f"\n  Telequilt cannot take callers: {failure}\n  `python -m server doctor` says more.\n", err=True
            )
        elif not self.should_exit:
            typer.echo(f"\n  Telequilt is at {address(self._settings, port, sys.stderr.isatty())}\n", err=True)


def address(settings: Settings, port: int, seen: bool) -> str:
    """What to open in a browser. The token rides in the fragment, which browsers do not send; not where it is not `seen` by
    a person but kept in a journal. The page asks for it then."""
    host = "localhost" if is_loopback(settings.host) else settings.host
    host = f"[{host}]" if ":" in host else host
    fragment = f"#token={settings.token.get_secret_value()}" if settings.token and seen else ""
    return f"http://{host}:{port}/{fragment}"


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
