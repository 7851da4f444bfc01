"""Weights on the command line: `python -m server weights import | list`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from server.commands.options import engine_options
from server.commands.terminal import explained, progress

app = typer.Typer(no_args_is_help=True, help="Published weights, for the engines that want some.")


_Flame = Annotated[
    Path | None,
    typer.Option(
        help="For rome: a FLAME model, with the data folders of ROME and DECA beside it (docs/rome.md lists them)."
    ),
]
_Embedding = Annotated[
    Path | None,
    typer.Option(
        help="For rome: mediapipe_landmark_embedding.npz or DECA's landmark_embedding.npy.",
        show_default="DECA's where it lies beside the FLAME model",
    ),
]


@app.command("import")
def import_weights(
    file: Annotated[Path, typer.Argument(help="The checkpoint as it was published, for instance voodoo3d.pth.")],
    engine: Annotated[
        str | None, typer.Option(help="Which engine it is for.", show_default="by the file's name")
    ] = None,
    flame: _Flame = None,
    deca: Annotated[Path | None, typer.Option(help="For rome: deca_model.tar, which reads faces for it.")] = None,
    linear: Annotated[Path | None, typer.Option(help="For rome: linear_hair.pth, and so rome-linear too.")] = None,
    embedding: _Embedding = None,
) -> None:
    """Check a published checkpoint, keep what is used of it, and make its engine ready.

    Nothing in the files is ever run. What does not fit is refused in one line, and nothing is left behind.

    face_landmarker.task (MediaPipe's, Apache-2.0) reads facial actions for the engine splats; without it a table of our own does.

    python -m server weights import rome.pth --flame generic_model.pkl --deca deca_model.tar --linear linear_hair.pth
    """
    from rich.progress import TaskProgressColumn

    from engines import catalogue
    from engines.contract import UnknownEngine
    from engines.weights import CheckpointRejected, note_of
    from pipeline.preprocess import blendshapes

    if engine == blendshapes.PUBLISHED.engine or (engine is None and file.suffix == ".task"):
        with explained(CheckpointRejected, OSError):
            blendshapes.bring(file, engine_options().weights)
        typer.echo("facial actions are read by MediaPipe's network from now on, for engines that want them (splats)")
        typer.echo(f"  licence: {blendshapes.PUBLISHED.licence}")
        return
    with explained(CheckpointRejected, UnknownEngine, OSError), progress(TaskProgressColumn()) as told:
        beside = {"flame": flame, "deca": deca, "embedding": embedding}
        given = {name: path for name, path in beside.items() if path is not None}
        folder = engine_options().weights
        places = [catalogue.bring_weights(file, folder, engine, told, given)]
        if linear is not None:
            places.append(catalogue.bring_weights(linear, folder, "rome-linear", told))
    for place in places:
        typer.echo(f"{place} is ready:  python -m server serve --engine {place.stem}")
        typer.echo(f"  licence: {json.loads(note_of(place).read_text())['licence']}")


@app.command("list")
def list_weights() -> None:
    """Every engine: which weights it wants, whether they are here, where to get them, their licence."""
    from engines import catalogue
    from pipeline.preprocess import blendshapes

    wanting, folder = [*catalogue.published(), blendshapes.PUBLISHED], engine_options().weights
    for name in catalogue.names():
        if name not in [wanted.engine for wanted in wanting]:
            typer.echo(f"{name}: wants none")
    for wanted in wanting:
        place = wanted.place(folder)
        here = place.is_file()
        typer.echo(f"{wanted.engine}: {'here' if here else 'missing'}, {place}")
        typer.echo(f"  published as {wanted.file} at {wanted.where}")
        typer.echo(f"  licence: {wanted.licence}")
        if not here:
            typer.echo(f"  {wanted.command}")
