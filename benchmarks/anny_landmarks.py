"""Where MediaPipe's 478 face points lie on Anny's heads: made-up people are drawn from three sides and FaceMesh looks at them.

Writes engines/parametric/train/anny_landmarks.npz, which is kept in the repository; run again only where the heads change:

    python -m benchmarks.anny_landmarks --check landmarks.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from display import optics
from engines.parametric.train import anny, family
from engines.parametric.train.family import Family
from engines.raster import textured
from pipeline.preprocess.facemesh import FaceDetector, LandmarkModel, region_of

SIDE = 640
YAWS = (-28, 0, 28)
WORLD = 0.55
"World units of a canonical one, so that a head fills a picture."
SKIN, LIPS, BROWS, IRIS, WHITE = (205, 165, 140), (150, 70, 70), (70, 50, 40), (40, 30, 25), (225, 225, 225)
OUT = Path(anny.__file__).with_name("anny_landmarks.npz")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=16)
    parser.add_argument("--check", type=Path, help="a picture of the points found, on the average head")
    chosen = parser.parse_args()
    heads = anny.load()
    average = heads.vertices(anny.average())[0]
    found = _seen(heads, average, chosen.people)
    middle = np.nanmedian(found, 0)
    spread = np.nanmedian(np.linalg.norm(found - middle, axis=-1), 0) * 250
    corners, shares = nearest(average, heads.triangles[heads.face], middle)
    np.savez_compressed(OUT, corners=heads.numbers[corners].astype(np.int32), shares=shares.astype(np.float32))
    print(
        f"{OUT}: 478 points; between pictures they differ by {np.median(spread):.1f} mm (median), {spread.max():.1f} at most"
    )
    if chosen.check:
        _draw(heads, average, corners, shares, chosen.check)


def _seen(heads: Family, average: np.ndarray, people: int) -> np.ndarray:
    """[pictures, 478, 3] where each point lies on the average head; NaN where a picture does not show the place."""
    detector, model = FaceDetector(), LandmarkModel()
    rows = []
    for vertices in heads.vertices(anny.draw(people, 7)):
        for yaw in YAWS:
            picture, places, owner = _picture(heads, vertices, yaw)
            regions = detector.near(picture)
            if not regions:
                continue
            points, _ = model.look(picture, regions[0])
            points, score = model.look(picture, region_of(points))
            if score > 0.5:
                rows.append(_below(points, places, owner, heads, average))
    return np.stack(rows)


def _picture(heads: Family, vertices: np.ndarray, yaw: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """RGB, projected vertices, and which triangle each pixel shows."""
    points = (vertices * WORLD + optics.LOOK_AT).astype(np.float32)
    places = textured.project(points, optics.orbit(yaw), optics.intrinsics(), SIDE, SIDE)
    facing = family.normals(vertices, heads.triangles)
    light = np.clip(0.25 + 0.75 * facing @ np.array([0.25, 0.35, 0.9]), 0.15, 1.1).astype(np.float32)
    owner, depth = np.empty((SIDE, SIDE), np.int32), np.empty((SIDE, SIDE), np.float32)
    out, blank = np.empty((SIDE, SIDE, 4), np.uint8), np.zeros((2, 2, 3), np.uint8)
    uv = np.zeros((len(vertices), 2), np.float32)
    textured.draw(places, heads.triangles, uv, painted(heads, vertices), light, blank, owner, depth, out)
    shown = out[..., :3].copy()
    shown[owner < 0] = 120
    return shown, places, owner


def painted(heads: Family, vertices: np.ndarray) -> np.ndarray:
    """[V, 4] colours that make a face of a plaster: lips and brows are where actions move most, irises look ahead."""
    colours = np.zeros((len(vertices), 4), np.float32)
    colours[:, :3] = SKIN
    moves = {name: np.linalg.norm(move, axis=-1) for name, move in zip(heads.action_names, heads.actions, strict=True)}
    low = heads.rest - heads.rest[heads.eyes].mean(0)
    lips = moves["mouthRollLower"] + moves["mouthRollUpper"]
    colours[lips > 0.6 * lips.max(), :3] = LIPS
    brows = moves["browOuterUpLeft"] + moves["browOuterUpRight"] + 1.3 * moves["browInnerUp"]
    colours[(brows > 0.75 * brows.max()) & (low[:, 1] > 13) & (low[:, 1] < 26), :3] = BROWS
    balls = np.isin(heads.numbers, np.arange(anny.EYEBALLS[0].start, anny.EYEBALLS[1].stop))
    colours[balls, :3] = WHITE
    for side in (-1, 1):
        ball = balls & (np.sign(vertices[:, 0]) == side)
        middle = vertices[ball].mean(0)
        colours[ball & (np.linalg.norm((vertices - middle)[:, :2], axis=1) * 250 < 5.5), :3] = IRIS
    return colours


def _below(points: np.ndarray, places: np.ndarray, owner: np.ndarray, heads: Family, average: np.ndarray) -> np.ndarray:
    """[478, 3] on the average head, of points in pixels; NaN off the face and where the surface is seen at a slant."""
    row = np.full((len(points), 3), np.nan)
    x, y = (np.clip(points[:, k].round().astype(int), 0, SIDE - 1) for k in range(2))
    for k in np.flatnonzero(owner[y, x] >= 0):
        corners = heads.triangles[owner[y[k], x[k]]]
        a, b, c = places[corners, :2].astype(np.float64)
        across = np.array([b - a, c - a]).T
        if not heads.face[owner[y[k], x[k]]] or abs(np.linalg.det(across)) < 1.0:
            continue
        share = np.linalg.solve(across, points[k, :2] - a).clip(0, 1)
        row[k] = np.array([1 - share.sum(), *share]) @ average[corners]
    return row


def nearest(vertices: np.ndarray, triangles: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners [N, 3] and barycentric shares [N, 3] of the nearest places on a mesh, by a fine sample of it."""
    rng = np.random.default_rng(0)
    shares = family.barycentric(rng, 400 * len(triangles)).reshape(len(triangles), 400, 3)
    sampled = np.einsum("tks,tsc->tkc", shares, vertices[triangles])
    best = [np.linalg.norm(sampled - point, axis=-1).argmin() for point in points]
    owner, which = np.divmod(best, 400)
    return triangles[owner], shares[owner, which]


def _draw(heads: Family, average: np.ndarray, corners: np.ndarray, shares: np.ndarray, path: Path) -> None:
    pictures = []
    for yaw in YAWS:
        picture, places, _ = _picture(heads, average, yaw)
        for x, y in (places[corners, :2] * shares[..., None]).sum(1):
            cv2.circle(picture, (round(float(x)), round(float(y))), 2, (0, 255, 0), -1)
        pictures.append(picture)
    cv2.imwrite(str(path), cv2.cvtColor(np.concatenate(pictures, 1), cv2.COLOR_RGB2BGR))


if __name__ == "__main__":
    main()
