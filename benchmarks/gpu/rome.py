"""ROME on a GPU: milliseconds of each component, of drawing 24 views, of a driven frame, and frames a second of 24 views.

    python -m benchmarks.gpu.rome --synthetic-weights
    python -m benchmarks.gpu.rome --small --runtime eager        a small network on the CPU, to see that everything works

Needs torch and numpy, and Triton on a GPU. The floor is the time of the arithmetic alone at the speed of benchmarks/lib/floor.py.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from benchmarks.lib.faces import INVENTED, invented
from benchmarks.lib.floor import FLOPS
from benchmarks.lib.harness import RESULTS, parser, show, write
from display.optics import fan
from display.screen import PRODUCT, screen
from engines.contract import CROP, FaceObservation
from engines.options import EngineOptions
from engines.rome.engine import RomeEngine
from engines.rome.linear import LinearRomeEngine
from engines.rome.render import on_screen
from engines.rome.visible import rasterised
from engines.runtime import AUTO
from engines.runtime.verify import milliseconds
from pipeline.preprocess.canonical import CANONICAL

PIXELS_PER_CM, MIDDLE = 21.94, np.array([0.0, -0.4, 2.1])
"How a canonical face lies in a crop (pipeline/preprocess/framing.py, which wants more than this machine has)."
GOAL_FPS = 40


def main() -> None:
    wanted = _parsed()
    invented = wanted.small or wanted.synthetic_weights
    options = EngineOptions(runtime=wanted.runtime, precision=wanted.precision, synthetic_weights=invented)
    engines = [kind(options, small=wanted.small) for kind in (RomeEngine, LinearRomeEngine)]
    with torch.inference_mode():
        found = {engine.name: measured(engine, wanted.frames) for engine in engines}
    needs = RomeEngine.abilities.footprint
    assert needs is not None
    view, drive = needs.view_work, needs.drive_work
    floor = {"macs": 1e12 * (24 * view + drive), "ms": 2e15 * (24 * view + drive) / FLOPS}
    rows = [[f"{name}: {what}", f"{ms:.2f}"] for name, one in found.items() for what, ms in one["ms"].items()]
    rows += [
        [f"{name}: frames of 24 views a second (goal {GOAL_FPS})", f"{one['fps']:.1f}"] for name, one in found.items()
    ]
    show("ROME, milliseconds", ["", "median"], rows, f"the floor of a frame: {floor['ms']:.1f} ms")
    print(write("rome", {"engines": found, "floor": floor, "goal_fps": GOAL_FPS}, wanted.out))


def _parsed() -> argparse.Namespace:
    options = parser(__doc__)
    add = options.add_argument
    add("--synthetic-weights", action="store_true", help="run without weights")
    add("--small", action="store_true", help="a small network, to see that everything works")
    add("--runtime", default=AUTO, help="eager, graphs or trt")
    add("--precision", default=AUTO, help="float32, bfloat16 or float16")
    add("--frames", type=int, default=30, help="that are measured")
    add("--out", type=Path, default=RESULTS, help="folder for the JSON")
    return options.parse_args()


def measured(engine: RomeEngine, frames: int) -> dict[str, Any]:
    """Of one engine, by its own verbs; medians."""
    engine.warm_up()
    network, cameras = engine._networks.here(), fan(screen(PRODUCT))
    avatar = engine.enrol(seen(0))
    states = [engine.drive(avatar, seen(number)) for number in range(INVENTED)]
    engine.render(states[0], cameras)
    components = {}
    for component in network.components():
        if component.often:
            components[component.name] = milliseconds(network.prepared.runtime.prepare(component), component.example())
    screens = on_screen(network, states[0], cameras)
    took = {
        **components,
        "drawing 24 views": _each(lambda _: rasterised(screens, network.flame.faces, network.arch.image), frames),
        "drive": _each(lambda number: engine.drive(avatar, seen(number)), frames),
        "render": _each(lambda number: engine.render(states[number % INVENTED], cameras), frames),
        "frame": _each(lambda number: engine.render(engine.drive(avatar, seen(number)), cameras), frames),
    }
    peak = torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else None
    about = {"runtime": network.prepared.runtime.name, "views_at_once": network.views_at_once, "peak_mib": peak}
    return {"ms": took, "fps": 1e3 / took["frame"], **about}


def _each(work: Callable[[int], object], times: int) -> float:
    """The median of the milliseconds that `work` takes, the device waited for."""
    took = []
    for number in range(times + 2):
        _wait()
        begun = time.perf_counter()
        work(number)
        _wait()
        took.append(1e3 * (time.perf_counter() - begun))
    return round(median(took[2:]), 3)


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def seen(number: int) -> FaceObservation:
    """An invented face, with the landmarks of an average one."""
    face = invented(number)
    places = (CANONICAL - MIDDLE) @ face.head_rotation.T * [1, -1, -1]
    landmarks = (PIXELS_PER_CM * places + [CROP / 2, CROP / 2, 0]).astype(np.float32)
    return replace(face, landmarks=landmarks, shape=CANONICAL, neutral=CANONICAL)


if __name__ == "__main__":
    main()
