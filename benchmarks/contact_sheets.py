"""Contact sheets: what an engine makes of portraits, to look at: a row a face that is made, a column an angle it is seen from.

    python -m benchmarks.contact_sheets me.jpg you.png --out FOLDER       a sheet each
    python -m benchmarks.contact_sheets                                   everybody in ../shared/media/portraits
    python -m benchmarks.contact_sheets --expression 0 --engine relief    as neutral as can be

Beyond 17.5 degrees lies what wide displays and windows that are steered show, and no quilt of the product's own.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from display.optics import Cameras, intrinsics, orbit
from engines import catalogue
from engines.contract import EXPRESSION_KEPT, AnyEngine, FaceObservation, PortraitRejected
from pipeline.preprocess.observer import observe_portrait
from pipeline.puppet import scripted
from server.media import portraits

MEDIA = Path(__file__).parents[2] / "shared" / "media" / "portraits"
YAWS = (-35.0, -17.5, 0.0, 17.5, 35.0)
FACES: dict[str, dict[str, float]] = {
    "rest": {},
    "mouth open": {"mouth": 0.8},
    "smile": {"smile": 1.0},
    "blink": {"blink": 1.0},
    "turned left": {"yaw": -20.0},
    "turned right": {"yaw": 20.0},
}
INK, PAPER, FAINT = (30, 32, 36), (250, 250, 248), (120, 124, 130)
HEAD, SIDE = 24, 92
PICTURES = {".jpg", ".jpeg", ".png", ".webp"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("portraits", nargs="*", type=Path, help="photos; left out: those of ../shared/media")
    parser.add_argument("--out", type=Path, default=Path("build/contact_sheets"), help="folder (default: %(default)s)")
    parser.add_argument("--engine", default="relief", help="default: %(default)s")
    parser.add_argument("--expression", type=float, default=EXPRESSION_KEPT, help="0 neutral .. 1 as in the photo")
    parser.add_argument("--tile", type=int, default=256, help="pixels (default: %(default)s)")
    wanted = parser.parse_args()
    photos = wanted.portraits or sorted(path for path in MEDIA.glob("*") if path.suffix in PICTURES)
    if not photos:
        print(f"no portraits in {MEDIA}: name some")
        return 2
    engine = catalogue.load(wanted.engine)
    engine.warm_up()
    wanted.out.mkdir(parents=True, exist_ok=True)
    for path in photos:
        try:
            portrait = replace(observe_portrait(portraits.from_file(path)), expression_kept=wanted.expression)
            made = sheet(path.stem, portrait, engine, wanted.tile)
        except PortraitRejected as refused:
            print(f"{path}: {refused}")
            continue
        made.save(wanted.out / f"{path.stem}.png")
        print(wanted.out / f"{path.stem}.png")
    return 0


def sheet(title: str, portrait: FaceObservation, engine: AnyEngine, tile: int) -> Image.Image:
    """Everything of FACES from YAWS, in tiles of that many pixels."""
    picture = Image.new("RGB", (SIDE + len(YAWS) * (tile + 2), HEAD + len(FACES) * (tile + 2)), PAPER)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(13)
    draw.text((4, 4), title[:12], INK, font)
    for column, yaw in enumerate(YAWS):
        draw.text((SIDE + column * (tile + 2) + 4, 4), f"{yaw:+g}°", FAINT, font)
    for row, (name, views) in enumerate(zip(FACES, seen(portrait, engine, tile), strict=True)):
        top = HEAD + row * (tile + 2)
        draw.text((4, top + 4), name, FAINT, font)
        for column, view in enumerate(views):
            picture.paste(Image.fromarray(view), (SIDE + column * (tile + 2), top))
    return picture


def seen(portrait: FaceObservation, engine: AnyEngine, tile: int) -> Iterator[np.ndarray]:
    """[5, tile, tile, 3] uint8 of each face in its turn."""
    avatar = engine.enrol(portrait)
    lens = np.repeat(intrinsics()[None], len(YAWS), axis=0)
    cameras = Cameras(np.stack([orbit(yaw) for yaw in YAWS]), lens, tile, tile)
    for face in FACES.values():
        state = engine.drive(avatar, scripted(portrait, **face))
        yield engine.render(state, cameras).images[..., :3].cpu().numpy()


if __name__ == "__main__":
    raise SystemExit(main())
