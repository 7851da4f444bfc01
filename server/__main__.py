"""The command line: `python -m server serve`, also installed as `telequilt`."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import structlog
import typer
import uvicorn
from pydantic import ValidationError

from server.settings import Settings, default_data_dir, is_loopback

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
    help="Telequilt: a webcam in, a 24-view hologram of a one-photo 3D avatar out.",
)


@app.callback()
def _root() -> None:
    """Makes `serve` a word of its own even while it is the only command."""


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
    screen: Annotated[
        str | None,
        typer.Option(
            help="Whose quilt is sent: ours, or a Looking Glass by its preset's name.", show_default="telequilt"
        ),
    ] = None,
) -> None:
    """Start the server and print the address to open.

    Everything else is set by TELEQUILT_* variables, for instance TELEQUILT_MAX_CHANNELS=2, TELEQUILT_BITRATE=8000000,
    TELEQUILT_PLACEMENT=one-gpu, TELEQUILT_ICE_SERVERS=stun:stun.example.org:3478, TELEQUILT_MARK=false.
    A flag wins over its variable. Stop with Ctrl-C.
    """
    flags = {"host": host, "port": port, "token": token, "data_dir": data_dir, "engine": engine, "screen": screen}
    settings = _settings({name: value for name, value in flags.items() if value is not None})
    _log_readably()
    from server.app import create_app  # heavy: --help should answer at once

    config = uvicorn.Config(
        create_app(settings), host=settings.host, port=settings.port, log_config=None, access_log=False
    )
    _Announcing(config, settings).run()


class _Announcing(uvicorn.Server):
    """Says where to go once the port is really open, be it a free one."""

    def __init__(self, config: uvicorn.Config, settings: Settings) -> None:
        super().__init__(config)
        self._settings = settings

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        if self.started:
            port = self.servers[0].sockets[0].getsockname()[1]
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


def _log_readably() -> None:
    """People get colours, machines get JSON lines; libraries only speak up when something is wrong."""
    people = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S" if people else "iso", utc=not people),
            structlog.dev.ConsoleRenderer() if people else structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    logging.basicConfig(level=os.environ.get("TELEQUILT_LOG", "WARNING").upper())


def main() -> None:
    app()


if __name__ == "__main__":
    main()
