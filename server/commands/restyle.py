"""Restyle on the command line: `python -m server restyle`, a portrait's hair moved along single directions, as a strip of pictures."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engines.options import EngineOptions
from server.commands import terminal
from server.commands.options import SyntheticWeights, engine_options

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from engines.contract import FaceObservation

SIDE, STEPS = 256, 5
"Pixels of a picture, and pictures in a row."
MOST_DIRECTION = 59


def restyle(
    portrait: Annotated[Path, typer.Option(help="The photo that becomes the avatar.")],
    out: Annotated[Path, typer.Option(help="Where to write the strip: .png or .jpg.")],
    direction: Annotated[
        list[int] | None,
        typer.Option(
            min=0,
            max=MOST_DIRECTION,
            help="0 to 49 of the hair, 50 to 59 of neck and shoulders; may be repeated.",
            show_default="0, 1, 2, 3",
        ),
    ] = None,
    millimetres: Annotated[
        float, typer.Option(min=1, max=100, help="How far vertices move at a row's ends (RMS).")
    ] = 20,
    synthetic_weights: SyntheticWeights = False,
) -> None:
    """Show what single coefficients of the linear ROME model do to a portrait's hair: a row for each, its middle as it is.

    python -m server restyle --portrait me.jpg --out hair.png --direction 0 --direction 5
    """  # fmt: skip
    from rich.progress import MofNCompleteColumn

    from engines.contract import PortraitRejected, WeightsMissing
    from server.commands.quilt_film import OutputRefused
    from server.media.portraits import PortraitUnreadable

    mendable = (PortraitRejected, PortraitUnreadable, OutputRefused, WeightsMissing, FileNotFoundError)
    with terminal.explained(*mendable), terminal.progress(MofNCompleteColumn()) as told:
        options = engine_options(synthetic_weights=synthetic_weights)
        strip(portrait, out, direction or [0, 1, 2, 3], millimetres, options, told)
    typer.echo(f"{out}: {len(direction or range(4))} rows, from {-millimetres:g} to {millimetres:g} mm")


def strip(
    portrait: Path,
    out: Path,
    directions: list[int],
    millimetres: float,
    options: EngineOptions,
    progress: Callable[[str, int, int], None] = lambda what, done, of: None,
) -> None:
    """Write the pictures. Raises PortraitRejected, PortraitUnreadable, OutputRefused or WeightsMissing."""
    import numpy as np
    from PIL import Image

    from engines import catalogue
    from pipeline.preprocess.observer import observe_portrait
    from server.commands.quilt_film import OutputRefused
    from server.media import portraits

    if out.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise OutputRefused(f"{out} would not be a picture: name it {out.stem or 'hair'}.png or .jpg")
    if not out.parent.is_dir():
        raise OutputRefused(f"the folder {out.parent} does not exist: mkdir -p {out.parent}")
    progress("loading the engine", 0, 0)
    engine: Any = catalogue.load("rome-linear", options)
    seen = observe_portrait(portraits.from_file(portrait))
    avatar, resting = engine.enrol(seen), replace(seen, presence=0.0)
    rows: list[np.ndarray] = []
    for done, direction in enumerate(directions):
        progress("rendering", done, len(directions))
        steps = np.linspace(-millimetres, millimetres, STEPS)
        shown = [_picture(engine, engine.restyled(avatar, direction, float(step)), resting) for step in steps]
        labelled = [_labelled(each, f"{direction}: {step:+.0f} mm") for each, step in zip(shown, steps, strict=True)]
        rows.append(np.concatenate(labelled, 1))
    part = out.with_name(f".{out.stem}.part{out.suffix}")
    try:
        Image.fromarray(np.concatenate(rows, 0)).save(part)
        os.replace(part, out)
    except OSError as failure:
        raise OutputRefused(f"{out} cannot be written: {failure.strerror or failure}") from failure
    finally:
        part.unlink(missing_ok=True)


def _picture(engine: Any, avatar: Any, resting: FaceObservation) -> np.ndarray:
    """[SIDE, SIDE, 3] uint8 from a little to the side, where hair shows its volume."""
    import numpy as np

    from display.optics import Cameras, intrinsics, orbit

    camera = Cameras(orbit(20)[None], intrinsics()[None], SIDE, SIDE)
    views = engine.render(engine.drive(avatar, resting), camera)
    return np.ascontiguousarray(views.images[0, ..., :3].cpu().numpy())


def _labelled(picture: np.ndarray, text: str) -> np.ndarray:
    import cv2

    return cv2.putText(picture, text, (8, SIDE - 10), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
