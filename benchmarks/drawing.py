"""Drawing: what an avatar's geometry weighs, and how like the engine's pictures its plain drawing is; or samples of both.

python -m benchmarks.drawing                           the sample portrait, moved by the puppet's script
python -m benchmarks.drawing --portrait me.jpg --driver talk.mp4
python -m benchmarks.drawing --samples FOLDER          an asset, records and the engine's views of them, to build a viewer against
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.lib.harness import RESULTS, parser, show, write
from display import label
from display.optics import Cameras, intrinsics, orbit
from display.screen import Screen
from engines import catalogue
from engines.contract import AnyEngine, FaceObservation
from engines.geometry import glb, motion, plain
from engines.geometry.motion import Record
from pipeline.preprocess.observer import Observer, observe_portrait
from pipeline.puppet import gesture, puppet_portrait, scripted
from server.media import clips, portraits

YAWS = (-17.5, -6.0, 0.0, 17.5)
SIZES = ((256, 256), (420, 560), (700, 700))
RATE = 25
SAMPLES = 12
"Records that are written."


@dataclass(frozen=True)
class Avatar:
    """An enrolled portrait and what moves it."""

    engine: Any
    avatar: Any
    packed: glb.Packed
    seen: list[FaceObservation]

    def states(self) -> Iterator[Any]:
        return (self.engine.drive(self.avatar, seen) for seen in self.seen)

    def record(self, state: Any, number: int) -> bytes:
        return motion.packed(Record(self.engine.motion(state), self.packed.number, number, number / RATE))


def main() -> None:
    options = parser(__doc__)
    add = options.add_argument
    add("--engine", default="relief", help="any that declares geometry")
    add("--portrait", type=Path, help="a photo; the sample portrait if none is given")
    add("--driver", type=Path, help="a clip of a face; the puppet's script if none is given")
    add("--frames", type=int, default=100, help="that are weighed")
    add("--samples", type=Path, metavar="FOLDER", help="write samples there and measure nothing")
    add("--out", type=Path, default=RESULTS, help="folder for the JSON")
    wanted = options.parse_args()
    made = enrolled(catalogue.load(wanted.engine), wanted.portrait, wanted.driver, wanted.frames)
    if wanted.samples is not None:
        write_samples(made, wanted.samples)
        print(f"{wanted.samples}: asset.glb, {SAMPLES} records, views.json")
        return
    result = {"bytes": weighed(made), "decibels": compared(made)}
    show("bytes", ("what", "bytes"), result["bytes"].items())
    show(
        "against render, dB",
        ("pixels", "least", "mean"),
        ((size, *found) for size, found in result["decibels"].items()),
    )
    print(write(f"drawing_{wanted.engine}", result, wanted.out))


def enrolled(engine: AnyEngine, portrait: Path | None, driver: Path | None, frames: int) -> Avatar:
    """The avatar of a photo, and the faces that drive it."""
    face = observe_portrait(puppet_portrait() if portrait is None else portraits.from_file(portrait))
    can: Any = engine
    avatar = engine.enrol(face)
    packed = glb.packed(can.asset(avatar), engine.abilities.mark)
    if driver is None:
        seen = [scripted(face, **vars(gesture(number / RATE))) for number in range(frames)]
    else:
        observer = Observer(engine.wants)
        seen = [observer.observe(frame) for frame in islice(clips.frames(driver), frames)]
    return Avatar(can, avatar, packed, seen)


def cameras(width: int, height: int) -> Cameras:
    per_view = np.repeat(intrinsics(width / height)[None], len(YAWS), axis=0)
    return Cameras(np.stack([orbit(yaw) for yaw in YAWS]), per_view, width, height)


def weighed(made: Avatar) -> dict[str, float]:
    """Bytes of the asset and its records, and what making a record takes."""
    records = [made.record(state, number) for number, state in enumerate(made.states())]
    sizes = np.array([len(record) for record in records])
    state = next(made.states())
    begun = time.process_time()
    for number in range(100):
        made.record(state, number)
    return {
        "asset": len(made.packed.data),
        "record, median": float(np.median(sizes)),
        "record, p95": float(np.percentile(sizes, 95)),
        f"Mbit/s at {RATE} a second": round(float(sizes.mean()) * RATE * 8 / 1e6, 3),
        "CPU-ms a record": round((time.process_time() - begun) * 10, 3),
    }


def compared(made: Avatar) -> dict[str, tuple[float, float]]:
    """By size: least and mean dB of views drawn from bytes alone against the engine's."""
    asset, _ = glb.unpacked(made.packed.data)
    states = list(made.states())[:: max(1, len(made.seen) // 4)]
    found = {}
    for width, height in SIZES:
        at = cameras(width, height)
        views = [
            _decibels(plain.drawn(asset, motion.unpacked(made.record(state, 0)).motion, at).images.numpy(),
                      made.engine.render(state, at).images.numpy())
            for state in states
        ]  # fmt: skip
        found[f"{width}x{height}"] = (round(float(np.min(views)), 2), round(float(np.mean(views)), 2))
    return found


def _decibels(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """[V] of views [V, H, W, 4]."""
    off = (one[..., :3].astype(float) - other[..., :3]) ** 2
    return 10 * np.log10(255**2 / off.mean(axis=(1, 2, 3)))


def write_samples(made: Avatar, folder: Path) -> None:
    """asset.glb, motion_NN.bin and, for each record and size, the engine's views as PNG, marked and not; views.json says which is
    which."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "asset.glb").write_bytes(made.packed.data)
    step, told = max(1, len(made.seen) // SAMPLES), []
    for number, state in enumerate(list(made.states())[::step][:SAMPLES]):
        name = f"motion_{number:02}.bin"
        (folder / name).write_bytes(made.record(state, number * step))
        for width, height in SIZES:
            at = cameras(width, height)
            pictures = made.engine.render(state, at).images.numpy()
            tile = Screen("one", 1, 1, width, height, width / height, (0.0,))
            for view, yaw in enumerate(YAWS):
                plainly = f"view_{number:02}_{width}x{height}_{view}.png"
                marked = f"marked_{number:02}_{width}x{height}_{view}.png"
                Image.fromarray(pictures[view, ..., :3]).save(folder / plainly)
                with_mark = pictures[view].copy()
                label.mark(tile, text=made.engine.abilities.mark).put(with_mark[:, None])
                Image.fromarray(with_mark[..., :3]).save(folder / marked)
                matrix = at.intrinsics[view]
                told.append({
                    "motion": name, "picture": plainly, "marked": marked, "width": width, "height": height, "yaw": yaw,
                    "fx": float(matrix[0, 0]), "fy": float(matrix[1, 1]), "cx": float(matrix[0, 2]), "cy": float(matrix[1, 2]),
                })  # fmt: skip
    (folder / "views.json").write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
