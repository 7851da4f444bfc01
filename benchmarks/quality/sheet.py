"""Sheet: what the figures are of, to look at: of every pair the median and the worst frame, the error, and the views from both ends."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks.quality.credits import credit
from benchmarks.quality.running import Done

TILE, HEAD, LINE = 160, 26, 22
INK, PAPER, FAINT = (30, 32, 36), (250, 250, 248), (120, 124, 130)
COLUMNS = ("source", "driver", "avatar", "error x4", "from -17.5°", "from +17.5°")
ERROR_GAIN = 4


def write(path: Path, done: Sequence[Done], title: str) -> None:
    """As a picture, rows in the order of `done`; the kind is told by the ending of `path`. Nothing where nothing can be shown."""
    rows = [row for one in done if one.sheet for row in _rows(one)]
    if not rows:
        return
    credits = list(
        dict.fromkeys(
            line for one in done for line in (credit(one.task.pair.source), credit(one.task.pair.driver)) if line
        )
    )
    width = len(COLUMNS) * (TILE + 4) + 4
    height = 2 * HEAD + len(rows) * (TILE + LINE) + (len(credits) + 1) * LINE
    picture = Image.new("RGB", (width, height), PAPER)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(14)
    draw.text((6, 5), title, INK, ImageFont.load_default(16))
    for column, heading in enumerate(COLUMNS):
        draw.text((6 + column * (TILE + 4), HEAD + 4), heading, FAINT, font)
    for number, (label, tiles) in enumerate(rows):
        top = 2 * HEAD + number * (TILE + LINE)
        for column, tile in enumerate(tiles):
            if tile is not None:
                small = Image.fromarray(tile).resize((TILE, TILE), Image.Resampling.LANCZOS)
                picture.paste(small, (4 + column * (TILE + 4), top))
        draw.text((6, top + TILE + 2), label, INK, font)
    for number, line in enumerate(credits):
        draw.text((6, height - (len(credits) - number) * LINE), line, FAINT, font)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, quality=85, method=6) if path.suffix == ".webp" else picture.save(path)


def _rows(one: Done) -> list[tuple[str, list[np.ndarray | None]]]:
    """The median and the worst frame, each with its label."""
    sheet = one.sheet
    itself = one.task.pair.source == one.task.pair.driver
    made = []
    for index, which in enumerate(("median", "worst")):
        output, reference = sheet["output"][index], sheet["reference"][index]
        error = np.abs(output.astype(np.int16) - reference) * ERROR_GAIN
        tiles = [sheet["source"], reference, output, error.clip(0, 255).astype(np.uint8) if itself else None]
        made.append(
            (
                f"{one.task.name}: {which} frame, at {sheet['at'][index]:.2f} s",
                [*tiles, sheet["left"][index], sheet["right"][index]],
            )
        )
    return made
