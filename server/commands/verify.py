"""Verify: `python -m server verify FILE...`: what files say of themselves (content credentials), and whether that can be believed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from server.commands.terminal import console, explained, settings_of
from server.words import one_line

if TYPE_CHECKING:
    from server.provenance.verdict import Verdict

SIGNS = {
    "valid": "[green]✓ valid[/]",
    "unvouched": "[yellow]? valid, signer unknown[/]",
    "changed": "[red]✗ changed[/]",
    "unsigned": "[yellow]– unsigned[/]",
    "unreadable": "[red]! unreadable[/]",
}


def verify(
    files: Annotated[list[Path], typer.Argument(help="Films, stills, or any file that can carry content credentials.")],
    trust: Annotated[
        list[Path] | None,
        typer.Option(help="Certificates (PEM) to vouch for besides this installation's own; may be given again."),
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Whose installation's key is known here.", show_default="the server's own")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: a list, one object a file.")] = False,
) -> None:
    """Say of each file whether it is as it was when it was signed, by whom, and what it states. Nothing is sent anywhere.

    Ends with the worst of what was found:

    0 valid: unchanged, and signed by this installation, or by a key of --trust
    3 unchanged, but signed by a key that nobody here vouches for
    4 changed since it was signed
    5 unsigned: it carries no content credentials
    1 unreadable
    """
    from server.provenance.reading import examine
    from server.provenance.verdict import EXIT, Finding, unreadable

    settings = settings_of({"data_dir": data_dir} if data_dir is not None else {})
    with explained(OSError):
        anchors = settings.keys.anchors() + b"".join(path.read_bytes() for path in trust or [])
    found: list[tuple[Path, Verdict]] = []
    for path in files:
        try:
            found.append((path, examine(path, anchors)))
        except OSError as failure:
            found.append((path, unreadable(str(failure.strerror or failure).lower())))
    if as_json:
        typer.echo(json.dumps([{"file": str(path)} | verdict.told() for path, verdict in found], indent=1))
    else:
        for path, verdict in found:
            _print(path, verdict)
    worst = max((verdict.finding for _, verdict in found), key=list(Finding).index)
    raise typer.Exit(EXIT[worst])


def _print(path: Path, verdict: Verdict) -> None:
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    out = console(highlight=False)
    out.print(f"{SIGNS[verdict.finding]} ", Text(str(path), "bold"), sep=" ")
    out.print(Padding(Text(verdict.words), (0, 0, 0, 2), expand=False))
    table = Table(show_header=False, box=None, pad_edge=False)
    rows = [*verdict.lines, *([("Signed by", verdict.signer)] if verdict.signer else [])]
    for what, how in rows:
        table.add_row(Text(what, "dim"), Text(one_line(how)))  # a file's own words: no markup, no escape sequence
    if rows:
        out.print(Padding(table, (0, 0, 0, 2), expand=False))
