"""Weights on the command line: `python -m server weights import | list`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from server.commands.terminal import explained, progress

app = typer.Typer(no_args_is_help=True, help="Published weights, for the engines that want some.")


@app.command("import")
def import_weights(
    file: Annotated[Path, typer.Argument(help="The checkpoint as it was published, for instance voodoo3d.pth.")],
    engine: Annotated[
        str | None, typer.Option(help="Which engine it is for.", show_default="by the file's name")
    ] = None,
) -> None:
    """Check a published checkpoint, keep what is used of it, and make its engine ready.

    Nothing in the file is ever run. What does not fit is refused in one line, and nothing is left behind.
    """
    from rich.progress import TaskProgressColumn

    from engines import catalogue
    from engines.contract import UnknownEngine
    from engines.weights import CheckpointRejected

    with explained(CheckpointRejected, UnknownEngine, OSError), progress(TaskProgressColumn()) as told:
        place = catalogue.bring_weights(file, engine, told)
    typer.echo(f"{place} is ready:  python -m server serve --engine {place.stem}")


@app.command("list")
def list_weights() -> None:
    """Every engine: which weights it wants, whether they are here, where to get them, their licence."""
    from engines import catalogue

    wanting = catalogue.published()
    for name in catalogue.names():
        if name not in [wanted.engine for wanted in wanting]:
            typer.echo(f"{name}: wants none")
    for wanted in wanting:
        here = wanted.place.is_file()
        typer.echo(f"{wanted.engine}: {'here' if here else 'missing'}, {wanted.place}")
        typer.echo(f"  published as {wanted.file} at {wanted.where}")
        typer.echo(f"  licence: {wanted.licence}")
        if not here:
            typer.echo(f"  {wanted.command}")
