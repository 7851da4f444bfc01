"""Face size: from which height in the picture on a face is followed as well as a large one.

    python -m benchmarks.face_size
    python -m benchmarks.face_size --clip talk.mp4 --clip turns.mp4

Each clip, the puppet's where none is given, is observed twice: as it is, and shrunk until the face has so many pixels from forehead
to chin, in the middle of 640x480 with a camera's noise. Told is how far the two agree.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.lib.harness import RESULTS, write
from engines.contract import FaceObservation
from pipeline.frame import Frame
from pipeline.preprocess.expression import Opening
from pipeline.preprocess.observer import Observer
from pipeline.puppet import Puppet
from server.media import clips

HEIGHTS = (20, 26, 32, 40, 48, 60, 80, 120)
SIZE = (640, 480)
NOISE = 2.0
"Levels of 255, standard deviation: a webcam's in a lit room."
PICTURES = 250
Row = tuple[float, float, float, float]
"Mouth, right and left eye in canonical centimetres, yaw in degrees."


def followed(frames: Iterable[Frame]) -> tuple[list[Row | None], list[float]]:
    """What an observer makes of each, None where nobody is seen; and how high the face is."""
    rows, heights = list[Row | None](), list[float]()
    with Observer() as observer:
        for frame in frames:
            seen = observer.observe(frame)
            rows.append(_row(seen) if seen.confidence > 0 else None)
            heights.append(seen.size or 0.0)
    return rows, heights


def _row(seen: FaceObservation) -> Row:
    opening, turn = Opening.of(seen.shape), seen.head_rotation
    yaw = float(np.degrees(np.arctan2(turn[0, 2], turn[2, 2])))
    return opening.mouth, opening.right_eye, opening.left_eye, yaw


def shrunk(frames: list[Frame], by: float) -> Iterable[Frame]:
    """The same on a grey picture of SIZE, so much smaller."""
    luck = np.random.default_rng(0)
    for frame in frames:
        picture = cv2.resize(frame.pixels, None, fx=by, fy=by, interpolation=cv2.INTER_AREA)
        picture = picture[: SIZE[1], : SIZE[0]]
        canvas = np.full((SIZE[1], SIZE[0], 3), 128.0)
        top, left = (SIZE[1] - picture.shape[0]) // 2, (SIZE[0] - picture.shape[1]) // 2
        canvas[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
        canvas += luck.normal(0, NOISE, canvas.shape)
        yield Frame(np.clip(canvas, 0, 255).astype(np.uint8), frame.captured, frame.sequence)


def compared(large: list[Row | None], small: list[Row | None]) -> dict[str, float]:
    """Share of pictures in which somebody is seen, correlations, and root mean squares of what is apart."""
    both = [(a, b) for a, b in zip(large, small, strict=True) if a is not None and b is not None]
    found = {"seen": round(len(both) / max(1, sum(a is not None for a in large)), 3)}
    if len(both) < 10:
        return found
    one, other = np.array([a for a, _ in both]), np.array([b for _, b in both])
    one, other = one[10:], other[10:]  # until filters have settled
    for name, columns in {"mouth": [0], "eyes": [1, 2], "yaw": [3]}.items():
        a, b = one[:, columns].mean(1), other[:, columns].mean(1)
        found[name] = round(float(np.corrcoef(a, b)[0, 1]), 3)
        found[f"{name} off"] = round(float(np.sqrt(np.mean((a - b) ** 2))), 3)
    return found


def measure(frames: list[Frame]) -> dict[int, dict[str, float]]:
    large, heights = followed(frames)
    height = float(np.median(heights))
    return {h: compared(large, followed(shrunk(frames, h / height))[0]) for h in HEIGHTS}


def main(
    clip: Annotated[list[Path] | None, typer.Option(help="A film of a face. Several times for several.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the JSON.")] = RESULTS,
) -> None:
    """Measure how well small faces are followed."""
    console, rows = Console(), dict[str, dict[int, dict[str, float]]]()
    films: dict[str, Iterable[Frame]] = {path.stem: clips.frames(path) for path in clip or ()} or {
        "puppet": Puppet().frames()
    }
    for name, frames in films.items():
        with console.status(f"following {name}"):
            rows[name] = measure(list(islice(frames, PICTURES)))
        console.print(_table(name, rows[name]))
    facts: dict[str, Any] = {"picture": SIZE, "noise": NOISE, "clips": rows}
    console.print(str(write("face_size", facts, out)))


def _table(name: str, rows: dict[int, dict[str, float]]) -> Table:
    table = Table(title=f"{name}: small against as it is (correlation; off by, cm and degrees)")
    columns = ("seen", "mouth", "mouth off", "eyes", "eyes off", "yaw", "yaw off")
    for heading in ("face, px", *columns):
        table.add_column(heading, justify="right")
    for height, row in rows.items():
        table.add_row(str(height), *(str(row.get(column, "")) for column in columns))
    return table


if __name__ == "__main__":
    typer.run(main)
