"""Heads of Gaussians on a CPU: quilts a second by the compiled loops, how near the twin they are, and the mannequin's known truth.

    python -m benchmarks.splats                         the mannequin that comes with the engine
    python -m benchmarks.splats --avatar me.zip         an exported avatar

Milliseconds of the clock and of all cores together, median and spread; the twin in torch, one view. The mannequin's Gaussians are
compared with its own triangles, 24 views, drawn four times as fine and averaged.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.lib.harness import RESULTS, parser, show, write
from display import optics
from display.optics import Cameras, intrinsics, orbit
from engines.actions import ACTIONS
from engines.raster import textured
from engines.splats import exporting, importing, mannequin, plain, raster
from engines.splats.avatar import SplatAvatar

VIEWS, CONE, REPEATS = 24, 35.0, 15
SIDES = (64, 256, 512)
FINER = 4
LIT = 0.2
"Brightness above which a pixel counts as the head."


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--avatar", type=Path, help="a zip that LAM exported; the mannequin if none is given")
    options.add_argument("--out", type=Path, default=RESULTS, help="folder for the JSON")
    wanted = options.parse_args()
    data = wanted.avatar.read_bytes() if wanted.avatar else exporting.packed()
    begun = time.perf_counter()
    avatar = importing.made(importing.bring(data).arrays)
    result: dict[str, Any] = {"gaussians": len(avatar), "import_s": time.perf_counter() - begun}
    result["sides"] = [quilts(avatar, side) for side in SIDES]
    result["twin"] = twin(avatar)
    headings = ["24 views of", "quilts/s", "ms", "quickest", "slowest", "ms of all cores", "posed ms"]
    keys = ("per_second", "ms", "quickest_ms", "slowest_ms", "core_ms", "posed_ms")
    rows = [[str(one["side"]), *(f"{one[key]:.1f}" for key in keys)] for one in result["sides"]]
    show(f"{len(avatar)} Gaussians, imported in {result['import_s']:.2f} s", headings, rows)
    show(
        "one view of 256 beside the twin", list(result["twin"]), [[f"{value:.1f}" for value in result["twin"].values()]]
    )
    if not wanted.avatar:
        result["truth"] = truth(avatar)
        show("24 views beside triangles", ["", *result["truth"][0]], [["", *one.values()] for one in result["truth"]])
    print(write("splats_mannequin" if not wanted.avatar else "splats_exported", result, wanted.out))


def cameras(side: int, views: int = VIEWS) -> Cameras:
    looks = np.stack([orbit(yaw) for yaw in np.linspace(-CONE / 2, CONE / 2, views)])
    return Cameras(looks, np.repeat(intrinsics()[None], views, axis=0), side, side)


def quilts(avatar: SplatAvatar, side: int) -> dict[str, Any]:
    shapes, looked, coefficients = plain.prepared(avatar), cameras(side), np.zeros(len(ACTIONS), np.float32)
    times, busy, posed = [], [], []
    for frame in range(REPEATS + 2):
        coefficients[:] = 0.5 + 0.5 * np.sin(frame + np.arange(len(ACTIONS)))
        begun, cores = time.perf_counter(), time.process_time()
        points = raster.posed(avatar, coefficients)
        posed.append(1e3 * (time.process_time() - cores))
        raster.draw(points, shapes, looked)
        times.append(1e3 * (time.perf_counter() - begun))
        busy.append(1e3 * (time.process_time() - cores))
    times, busy, posed = times[2:], busy[2:], posed[2:]
    middle = float(np.median(times))
    return {
        "side": side, "per_second": 1e3 / middle, "ms": middle, "quickest_ms": min(times), "slowest_ms": max(times),
        "core_ms": float(np.median(busy)), "posed_ms": float(np.median(posed)),
    }  # fmt: skip


def twin(avatar: SplatAvatar) -> dict[str, float]:
    shapes, points, looked = plain.prepared(avatar), torch.from_numpy(avatar.points), cameras(256, 1)
    begun = time.process_time()
    wanted = plain.draw(points, shapes, looked)
    spent = time.process_time() - begun
    made = raster.pictures(points, shapes, looked)
    return {
        "colours_db": db(made.colours - wanted.colours),
        "alpha_db": db(made.alpha - wanted.alpha),
        "twin_core_ms": 1e3 * spent,
    }


def db(difference: torch.Tensor) -> float:
    return float(-10 * torch.log10(difference.double().square().mean() + 1e-30))


def truth(avatar: SplatAvatar, side: int = 256) -> list[dict[str, Any]]:
    """Of some faces that it makes: pictures of Gaussians beside those of the mesh that they lie on."""
    mesh = mannequin.painted()
    gain = float(np.ptp(avatar.points[:, 1]) / np.ptp(mesh.vertices[:, 1]))
    shift = avatar.points.mean(axis=0) - gain * mesh.vertices.mean(axis=0)
    rows = []
    for face in ((), ("jawOpen",), ("mouthSmileLeft", "mouthSmileRight"), ("eyeBlinkLeft", "eyeBlinkRight")):
        coefficients = np.isin(ACTIONS, face).astype(np.float32)
        points = torch.from_numpy(avatar.posed(coefficients))
        seen = raster.draw(points, plain.prepared(avatar), cameras(side))[..., :3].double() / 255
        vertices = (mesh.vertices + np.tensordot(coefficients, mesh.actions, 1)) * gain + shift
        looks = cameras(side).cam2world
        wanted = torch.from_numpy(np.stack([triangles(mesh, vertices, look, side) for look in looks])) / 255
        both = (seen.mean(-1) > LIT) & (wanted.mean(-1) > LIT)
        differs = (seen.mean(-1) > LIT) ^ (wanted.mean(-1) > LIT)
        rows.append({
            "face": " ".join(face) or "rest", "dB": f"{db(seen - wanted):.1f}", "dB within": f"{db((seen - wanted)[both]):.1f}",
            "outline": f"{float(differs.double().mean()):.2%}",
        })  # fmt: skip
    return rows


def triangles(mesh: mannequin.Painted, vertices: np.ndarray, look: np.ndarray, side: int) -> np.ndarray:
    fine, count = FINER * side, len(vertices)
    shown = np.column_stack([255 * mesh.colours, np.zeros(count)]).astype(np.float32)
    out = np.empty((fine, fine, 4), np.uint8)
    textured.draw(
        textured.project(vertices, look, optics.intrinsics(), fine, fine), mesh.triangles, np.zeros((count, 2), np.float32), shown,
        np.ones(count, np.float32), np.zeros((2, 2, 3), np.uint8), np.empty((fine, fine), np.int32),
        np.empty((fine, fine), np.float32), out,
    )  # fmt: skip
    return out[..., :3].reshape(side, FINER, side, FINER, 3).mean((1, 3))


if __name__ == "__main__":
    main()
