"""Relief held to a truth: ICT's heads (another topology, scans of real people) drawn as portraits, calm, smiling and turned."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from display.optics import Cameras, intrinsics, orbit
from engines.contract import CROP, FaceObservation
from engines.morphable import fit, model
from engines.parametric.train import ict
from engines.relief.engine import Relief
from engines.relief.live import deepened
from engines.relief.resting import DOUBT
from pipeline.preprocess.tracker import open_tracker
from tests import modelled, people
from tests.face_meter import FaceMeter

pytestmark = pytest.mark.golden

PEOPLE = (1, 2, 5)
SMILE = {"mouthSmile": 0.9, "jawOpen": 0.12, "mouthUpperUp": 0.4, "cheekSquint": 0.5}
MILLIMETRES = 10.0
UNSEEN = (-35.0, -17.5, 0.0, 17.5, 35.0)
"Degrees."
SHOWN = 192


@dataclass(frozen=True, eq=False)
class Heads:
    "ICT's family, to be drawn."

    family: ict.Family

    def vertices(self, person: int, smiling: bool) -> np.ndarray:
        """[V, 3] centimetres, about the middle between the eyes, a little below."""
        heads = self.family
        identity = 0.8 * ict.drawn(PEOPLE[-1] + 1)[person]
        does = np.zeros(len(heads.action_names), np.float32)
        does[heads.action_names.index("jawOpen")] = -ict.OPEN
        for name, share in SMILE.items() if smiling else ():
            for k, action in enumerate(heads.action_names):
                does[k] += share * (action in (name, f"{name}Left", f"{name}Right"))
        points = heads.rest + np.tensordot(identity, heads.sliders, 1) + np.tensordot(does, heads.actions, 1)
        return (points - points[heads.eyes].mean(axis=0) + [0, 25, 0]) / 10

    @property
    def colours(self) -> np.ndarray:
        heads = self.family
        moves = dict(zip(heads.action_names, np.linalg.norm(heads.actions, axis=-1), strict=True))
        colours = np.tile(np.array(modelled.SKIN, np.float32), (len(heads.rest), 1))
        lips = moves["mouthRollLower"] + moves["mouthRollUpper"]
        brows = sum(move for name, move in moves.items() if name.startswith("brow") and "Up" in name)
        low = heads.rest - heads.rest[heads.eyes].mean(axis=0)
        colours[(brows > 0.75 * np.max(brows)) & (low[:, 1] > 13) & (low[:, 1] < 26)] = modelled.BROW
        colours[lips > 0.6 * lips.max()] = modelled.LIPS
        for side in (-1, 1):
            ball = heads.eyes[np.sign(low[heads.eyes, 0]) == side]
            middle = heads.rest[ball].mean(axis=0)
            colours[ball] = modelled.WHITE
            colours[ball[np.linalg.norm((heads.rest[ball] - middle)[:, :2], axis=1) < 5.5]] = modelled.IRIS
        return colours


@pytest.fixture(scope="module")
def heads(media: Path) -> Heads:
    return Heads(ict.load(media.parent / "heads" / "ict_facekit_f16.npz"))


@cache
def picture(heads: Heads, person: int, yaw: float, smiling: bool, distance: float | None = 90.0) -> np.ndarray:
    shown, _ = modelled.drawn(
        heads.vertices(person, smiling), heads.family.triangles, heads.colours, modelled.turned(yaw), distance
    )
    return shown


def portrait(heads: Heads, person: int, yaw: float = 0.0, smiling: bool = False) -> FaceObservation:
    return people.observed(picture(heads, person, yaw, smiling))


def off(one: np.ndarray, other: np.ndarray) -> float:
    """Millimetres, in the mean over the face."""
    return float(np.linalg.norm((one - other)[:468], axis=1).mean()) * MILLIMETRES


def test_their_smiles_are_taken_out(heads: Heads, relief: Relief):
    """Measured: 4.1 mm as in the photo, 2.0 neutral."""
    rows = []
    for person in PEOPLE:
        calm, smiling = portrait(heads, person), portrait(heads, person, smiling=True)
        left = [off(relief.enrol(replace(smiling, expression_kept=kept)).shape, calm.shape) for kept in (1.0, 0.0)]
        rows.append([*left, off(relief.enrol(calm).shape, calm.shape)])
    kept, taken, calm = np.mean(rows, axis=0)
    print(
        f"smiles: {kept:.2f} mm of expression as in the photo, {taken:.2f} neutral; calm portraits are moved by {calm:.2f}"
    )
    assert taken < 0.52 * kept, rows


@pytest.mark.parametrize("yaw", [-30, -20, 20, 30])
def test_turned_portraits_look_where_straight_ones_do(heads: Heads, relief: Relief, yaw: int):
    meter, ahead = FaceMeter(), Cameras(orbit(0)[None], intrinsics()[None], 448, 448)
    rows = []
    for person in PEOPLE:
        seen = portrait(heads, person, yaw)
        avatar = relief.enrol(seen)
        view = relief.render(relief.drive(avatar, replace(seen, presence=0.0)), ahead).images[0, :, :, :3].numpy()
        reading = meter.read(np.ascontiguousarray(view))
        assert reading is not None
        rows.append(reading.yaw)
    print(f"portraits turned by {yaw}: avatars at rest look {np.round(rows, 1)} degrees aside")
    assert np.abs(rows).max() < 8
    assert abs(np.mean(rows)) < 5


def test_their_depth_is_found(heads: Heads):
    """At the landmarks, of portraits from the front; what is drawn at each of them is the truth.

    Measured: 7.6 mm fitted, 8.4 MediaPipe's, 8.1 stretched."""
    rows = []
    for person in PEOPLE:
        seen = portrait(heads, person)
        truth = _depth(heads, person)
        rows.append([_spread(points, truth) for points in (_fitted(seen), seen.landmarks, deepened(seen.landmarks))])
    fitted, mediapipe, before = np.mean(rows, axis=0)
    print(
        f"depth off by {fitted:.1f} mm (fitted), {mediapipe:.1f} (MediaPipe's), {before:.1f} (MediaPipe's, stretched)"
    )
    assert fitted <= mediapipe
    assert fitted < 1.1 * before


def test_they_look_from_unseen_angles_as_they_are(heads: Heads, relief: Relief, tmp_path: Path):
    """What is drawn of the head itself, from where no photo was taken, is the truth; beside it the photo, shown flat."""
    lens = np.repeat(intrinsics()[None], len(UNSEEN), 0)
    cameras = Cameras(np.stack([orbit(yaw) for yaw in UNSEEN]), lens, SHOWN, SHOWN)
    rows, pictures = [], []
    for person in PEOPLE:
        seen = portrait(heads, person)
        state = relief.drive(
            relief.enrol(replace(seen, expression_kept=1.0, around=None)), replace(seen, neutral=seen.shape)
        )
        views = relief.render(state, cameras).images[..., :3].numpy().astype(np.float32)
        truths = _as_cropped(heads, person, seen)
        flat = truths[UNSEEN.index(0.0)]
        rows.append([[_levels(one, truth) for one in (view, flat)] for view, truth in zip(views, truths, strict=True)])
        pictures += [np.concatenate(truths, axis=1), np.concatenate(list(views), axis=1)]
    cv2.imwrite(str(tmp_path / "unseen.png"), np.concatenate(pictures)[..., ::-1])
    print(tmp_path / "unseen.png")
    for yaw, (view, flat) in zip(UNSEEN, np.mean(rows, axis=0), strict=True):
        print(f"from {yaw:+.1f} degrees: off by {view:.1f} levels of 255; the photo, shown flat, by {flat:.1f}")
        assert yaw == 0 or view < 0.8 * flat, (yaw, view, flat)


def _as_cropped(heads: Heads, person: int, seen: FaceObservation) -> list[np.ndarray]:
    """[SHOWN, SHOWN, 3] float32 from each of UNSEEN: the head itself in the light of its portrait, on black, where its crop has it."""
    vertices, triangles = heads.vertices(person, False), heads.family.triangles
    found = _tracked(picture(heads, person, 0, False))[:468, :2]
    places = seen.landmarks[:468, :2] * (SHOWN / CROP)
    to_crop, _ = cv2.estimateAffinePartial2D(found.astype(np.float32), places.astype(np.float32))
    light, white = modelled.lit(triangles, vertices), np.full_like(heads.colours, 255)
    out = []
    for yaw in UNSEEN:
        turn = modelled.turned(-yaw)
        shown, _ = modelled.drawn(vertices, triangles, heads.colours, turn, 90.0, light)
        bare, _ = modelled.drawn(vertices, triangles, white, turn, 90.0, np.ones_like(light))
        alone = shown * (bare > 240).all(axis=2, keepdims=True)
        out.append(cv2.warpAffine(alone.astype(np.float32), to_crop, (SHOWN, SHOWN)))
    return out


def _levels(view: np.ndarray, truth: np.ndarray) -> float:
    """Levels in the mean over both figures [SHOWN, SHOWN, 3], the one slid sideways to where they agree best: what a head turns about is
    a convention."""
    return min(_apart(np.roll(view, slide, axis=1), truth) for slide in range(-20, 21, 2))


def _apart(view: np.ndarray, truth: np.ndarray) -> float:
    either = (view.max(axis=2) > 12) | (truth.max(axis=2) > 12)
    return float(np.abs(view - truth)[either].mean())


def _fitted(seen: FaceObservation) -> np.ndarray:
    """[478, 3] crop pixels: where the fitted head has the landmarks."""
    head = model.load()
    found = fit.fit(head, seen.landmarks, seen.head_rotation, DOUBT)
    return found.seen(head.at_points(head.vertices(found.identity, found.expression).astype(np.float32)))


def _tracked(pixels: np.ndarray) -> np.ndarray:
    """[478, 3] pixels."""
    tracker = open_tracker(None)
    try:
        return tracker.search(pixels)[0].points * pixels.shape[1]
    finally:
        tracker.close()


def _depth(heads: Heads, person: int) -> np.ndarray:
    """[478] centimetres towards the viewer of what the picture shows where each landmark lies; NaN off the head."""
    found = _tracked(picture(heads, person, 0, False))
    _, places = modelled.drawn(heads.vertices(person, False), heads.family.triangles, heads.colours, np.eye(3), 90.0)
    face = places[heads.family.triangles]
    depth = np.full(478, np.nan)
    for k, (x, y) in enumerate(found[:, :2]):
        a, b, c = face[:, 0, :2], face[:, 1, :2], face[:, 2, :2]
        area = np.cross(b - a, c - a)
        u = np.cross(np.array([x, y]) - a, c - a) / np.where(area == 0, 1, area)
        v = np.cross(b - a, np.array([x, y]) - a) / np.where(area == 0, 1, area)
        inside = (area < -1e-6) & (u >= 0) & (v >= 0) & (u + v <= 1)
        if inside.any():
            z = face[:, 0, 2] * (1 - u - v) + face[:, 1, 2] * u + face[:, 2, 2] * v
            depth[k] = 200 - z[inside].min()
    return depth


def _spread(points: np.ndarray, truth: np.ndarray) -> float:
    """Millimetres, root mean square about the mean, of crop pixels [478, 3] against centimetres [478]."""
    known = np.isfinite(truth) & (np.arange(478) < 468)
    apart = -points[known, 2] / 21.94 - truth[known]
    return float(np.std(apart)) * MILLIMETRES
