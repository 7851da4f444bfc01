"""Consent on the command line: `python -m server consent list | withdraw | log`."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from server.commands.options import TokenFile, token_of
from server.commands.terminal import console, explained, settings_of
from server.words import one_line

app = typer.Typer(
    no_args_is_help=True,
    help="""Who agreed to what: the portraits that are kept, consent that is withdrawn, the log of both.

    python -m server consent list                     every avatar here, with the consent that it was brought with
    python -m server consent withdraw ID              ends what shows it, deletes all that was made of it, looks whether anything is left
    python -m server consent log                      consent given and withdrawn, avatars forgotten, marks switched off
    """,
)
DataDir = Annotated[Path | None, typer.Option(help="Of which installation.", show_default="the server's own")]


@app.command("list")
def list_consents(data_dir: DataDir = None) -> None:
    """List the avatars that are kept in the data folder of this machine: id, whose face it is as was stated, when, recordings of it."""
    from rich.table import Table
    from rich.text import Text

    from pipeline.avatars import SAMPLE

    avatars, archive = _kept(data_dir)
    films = archive.listing()
    table = Table("id", "consent", "since", "recordings", "name", box=None, pad_edge=False)
    for record in avatars.records():
        if record.id != SAMPLE:
            shown = sum(one.avatar == record.id for one in films)
            table.add_row(
                record.id, record.consent.value, _when(record.created), str(shown), Text(one_line(record.name))
            )
    if table.row_count:
        console(highlight=False).print(table)
    else:
        typer.echo("no portrait is kept here but the built-in sample, which is in the public domain")


@app.command()
def withdraw(
    avatar: Annotated[str, typer.Argument(help="Its id, as `consent list` says it.")],
    server: Annotated[
        list[str] | None,
        typer.Option(
            help="A running Telequilt; may be given again, for every node.", show_default="http://127.0.0.1:8000"
        ),
    ] = None,
    token_file: TokenFile = None,
    offline: Annotated[bool, typer.Option("--offline", help="No server runs: work on the data folder itself.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Withdraw the consent to a portrait. What shows it ends now; everything made of it is deleted, recordings too; then every file is
    searched for what is left. Ends with 1 where something is."""
    if offline:
        left = _report("here", _withdrawn(avatar, data_dir))
    else:
        from server.webrtc.client import Refused, Unreachable

        roots = [one.partition("#")[0].rstrip("/") for one in server or ["http://127.0.0.1:8000"]]
        with explained(Refused, Unreachable):
            told = asyncio.run(_asked(roots, avatar, token_of(token_file)))
        left = sum(_report(root, one) for root, one in told) > 0
    raise typer.Exit(int(left))


@app.command("log")
def show_log(data_dir: DataDir = None) -> None:
    """Print the log of consent, the oldest line first. Ends with 1 where a line was changed or taken out."""
    from server.provenance.consents import Consents

    broken = False
    for entry in Consents(settings_of(_given(data_dir)).provenance_dir).entries():
        facts = "  ".join(f"{name}={value}" for name, value in entry.facts.items())
        typer.echo(
            f"{_when(entry.at)}  {entry.event:<10} {facts}{'' if entry.linked else '   <- the line before this one is not as it was'}"
        )
        broken = broken or not entry.linked
    raise typer.Exit(int(broken))


async def _asked(roots: list[str], avatar: str, token: str | None) -> list[tuple[str, dict[str, Any]]]:
    from server.webrtc.client import ask

    return [(root, await ask("POST", f"{root}/api/avatars/{avatar}/withdrawal", token)) for root in roots]


def _withdrawn(avatar: str, data_dir: Path | None) -> dict[str, Any]:
    """As the server's route does it, where no server runs."""
    from pipeline.avatars import UnknownAvatar
    from server.provenance.consents import WITHDRAWN, Consents
    from server.recordings import traces
    from server.recordings.archive import StillRecording, mark_of

    avatars, archive = _kept(data_dir)
    settings = settings_of(_given(data_dir))
    with explained(UnknownAvatar, StillRecording, OSError):
        recordings = archive.forget(avatar)
        avatars.forget(avatar)
        looked = traces.look(avatar, (settings.data_dir, settings.recordings))
    facts = {"channels": 0, "recordings": recordings, "files": looked.files, "left": len(looked.found)}
    Consents(settings.provenance_dir).add(WITHDRAWN, avatar=mark_of(avatar), **facts)
    return {"ended": [], "recordings": recordings, "looked": {"files": looked.files, "found": looked.found}}


def _report(where: str, told: dict[str, Any]) -> bool:
    """Whether anything is left."""
    looked = told["looked"]
    ended = f"{len(told['ended'])} channels ended, " if told["ended"] else ""
    typer.echo(f"{where}: withdrawn: {ended}{told['recordings']} recordings deleted, and the avatar")
    typer.echo(
        f"  looked into {looked['files']} files: {'nothing is left of it' if not looked['found'] else 'THESE STILL HOLD SOMETHING OF IT'}"
    )
    for path in looked["found"]:
        typer.echo(f"  {path}")
    return bool(looked["found"])


def _kept(data_dir: Path | None) -> tuple[Any, Any]:
    from pipeline.avatars import Avatars
    from server.channels.services import sample_portrait
    from server.recordings.archive import Archive

    settings = settings_of(_given(data_dir))
    return Avatars(settings.data_dir, sample_portrait), Archive(settings.recordings, ours=False)


def _given(data_dir: Path | None) -> dict[str, Any]:
    return {"data_dir": data_dir} if data_dir is not None else {}


def _when(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))
