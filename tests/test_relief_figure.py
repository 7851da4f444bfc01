"""The relief engine's figure: framed with its hair and hat, closed from all sides, its glasses rigid, its grin taken out cleanly."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import cv2
import numpy as np
import pytest

from display.optics import Cameras, intrinsics, orbit
from engines.contract import AROUND, CROP, FaceObservation
from engines.geometry.asset import METRES
from engines.morphable.model import load
from engines.relief import texture
from engines.relief.avatar import ReliefAvatar
from engines.relief.engine import Relief
from engines.relief.framing import AIR, SMALLEST
from engines.relief.painted_lips import painted
from engines.relief.topology import EYES, LIP_RINGS_LOWER, LIP_RINGS_UPPER
from pipeline.puppet import scripted
from tests import people

SHOWN = 256


@cache
def observed(name: str) -> FaceObservation:
    return people.observed({"hopper": people.hopper, "astronaut": people.astronaut}[name]())


@pytest.fixture(scope="module", params=["hopper", "astronaut"])
def portrait(request: pytest.FixtureRequest) -> FaceObservation:
    return observed(request.param)


def views(relief: Relief, avatar, seen: FaceObservation, yaws: list[float]) -> np.ndarray:
    """[V, SHOWN, SHOWN, 3] uint8."""
    lens = np.repeat(intrinsics()[None], len(yaws), axis=0)
    at = Cameras(np.stack([orbit(yaw) for yaw in yaws]), lens, SHOWN, SHOWN)
    return relief.render(relief.drive(avatar, seen), at).images.numpy()[..., :3]


def test_hair_and_hats_end_below_the_upper_edge_and_the_bust_stands_on_the_lower_one(
    relief: Relief, portrait: FaceObservation
):
    cut, whole = (relief.enrol(one) for one in (replace(portrait, around=None), portrait))
    narrow, framed = (views(relief, avatar, replace(portrait, presence=0.0), [0.0])[0] for avatar in (cut, whole))
    assert (narrow[:3].max(axis=2) > 24).mean() > 0.1, "the crop cuts it"
    assert (framed[: round(0.4 * AIR * SHOWN / CROP)].max(axis=2) <= 24).all()
    assert (framed[-40:-20].max(axis=2) > 8).mean() > 0.2
    assert SMALLEST <= whole.zoom < 1
    assert np.ptp(whole.landmarks[:, 0]) == pytest.approx(whole.zoom * np.ptp(cut.landmarks[:, 0]), rel=0.02)


def test_whoever_is_shown_smaller_is_of_life_size_all_the_same(relief: Relief, portrait: FaceObservation):
    cut, whole = (relief.asset(relief.enrol(one)) for one in (replace(portrait, around=None), portrait))
    assert cut.metres == METRES
    widths = [np.ptp(one.points[one.joints[:, 0] > 0, 1]) * one.metres for one in (cut, whole)]
    assert widths[1] >= 0.98 * widths[0], widths  # a hat more, and no less of a head
    assert whole.metres > cut.metres


@pytest.mark.parametrize("turned", [-20, 0, 20])
def test_no_view_looks_into_the_figure(relief: Relief, portrait: FaceObservation, turned: int):
    """Black that skin and hair shut in, in percent of the figure; colours made light first, for hats and eyes are black."""
    avatar = relief.enrol(portrait)
    light = avatar.atlas.copy()
    light[..., :3] = np.maximum(light[..., :3], 40)
    avatar = replace(avatar, atlas=light, scaled={})
    for view in views(relief, avatar, scripted(portrait, yaw=turned), [-35.0, -17.5, 0.0, 17.5, 35.0]):
        assert _shut_in(view) < 0.05


def test_the_shell_stays_behind_whoever_opens_the_mouth(relief: Relief, portrait: FaceObservation):
    """Pixels where it hides the figure's front, head turned to both sides: at rest a head before its own shoulders. A wide mouth makes
    1.05 times as many; while the shell did not follow the jaw it was 1.35 and 1.43."""
    avatar = relief.enrol(portrait)
    at_rest, wide = (
        sum(_shell_before_front(relief, avatar, scripted(portrait, yaw=yaw, mouth=mouth)) for yaw in (-20, 20))
        for mouth in (0.0, 1.0)
    )
    assert wide < 1.15 * at_rest


def _shell_before_front(relief: Relief, avatar: ReliefAvatar, seen: FaceObservation) -> int:
    atlas, mesh, back = avatar.atlas.copy(), avatar.mesh, avatar.parts.back
    (left, top), (right, bottom) = mesh.uv[back].min(axis=0).astype(int), mesh.uv[back].max(axis=0).astype(int) + 1
    assert top >= texture.SIDE, "its colours lie on a panel of their own"
    atlas[top:bottom, left:right, :3] = 255, 0, 255
    painted_shell = replace(avatar, atlas=atlas, scaled={})
    kept = mesh.triangles[:, 0] >= back.stop
    number = np.append(np.cumsum(kept) - 1, -1)
    front = replace(mesh, triangles=mesh.triangles[kept], culled=mesh.culled[kept],
                    beside=number[mesh.beside[kept]].astype(np.int32))  # fmt: skip
    yaws = [-35.0, -17.5, 0.0, 17.5, 35.0]
    whole = views(relief, painted_shell, seen, yaws).astype(int)
    alone = views(relief, replace(painted_shell, mesh=front), seen, yaws)
    shell = (whole[..., 0] > 60) & (whole[..., 1] < whole[..., 0] // 4) & (whole[..., 2] > 60)
    return int((shell & (alone.max(axis=-1) > 24)).sum())


def _shut_in(view: np.ndarray) -> float:
    black = (view.max(axis=2) <= 6).astype(np.uint8)
    black[0], black[:, 0], black[:, -1], black[-32:] = 1, 1, 1, 0  # at the lower edge light goes
    _count, labels, stats, _ = cv2.connectedComponentsWithStats(black, connectivity=4)
    inside = labels != labels[0, 0]
    return 100 * float((inside & (black > 0) & (stats[labels, cv2.CC_STAT_AREA] > 3)).sum()) / float((black == 0).sum())


def test_a_frame_does_not_bend_with_brows(relief: Relief):
    head, glasses, bare = load(), observed("hopper"), observed("astronaut")
    frowning = head.points[2][head.action_names.index("browDownLeft")]
    frames = np.array([282, 283, 276])  # the left brow's lower edge, where a frame is
    moved = {}
    for name, portrait in (("glasses", glasses), ("bare", bare)):
        avatar = relief.enrol(portrait)
        seen = scripted(portrait)
        now = relief.drive(avatar, replace(seen, shape=seen.shape + frowning)).points[avatar.parts.face]
        before = relief.drive(avatar, seen).points[avatar.parts.face]
        moved[name] = np.linalg.norm(now - before, axis=1)[frames].max() / avatar.width
    assert moved["glasses"] < 0.25 * moved["bare"]


def test_eyes_shut_behind_glasses(relief: Relief):
    portrait = observed("hopper")
    avatar = relief.enrol(portrait)
    shut = relief.drive(avatar, scripted(portrait, blink=1.0)).points[avatar.parts.face]
    for eye in EYES:
        assert np.linalg.norm(shut[eye.upper[3:6], :2] - shut[eye.lower[3:6], :2], axis=1).max() < 0.02 * avatar.width


def test_lips_of_a_grin_are_painted_and_nothing_else_is():
    portrait = observed("astronaut")
    assert portrait.crop is not None
    assert portrait.matte is not None
    picture = texture.continued(
        portrait.crop.astype(np.float32),
        np.ones((CROP, CROP), np.float32),
        texture.content_of(portrait.crop, portrait.matte, None),
    )[0]
    changed = np.abs(painted(picture, portrait.landmarks, 1.0) - picture).max(axis=2) > 2
    lips = np.zeros(changed.shape, np.uint8)
    for rings in (LIP_RINGS_UPPER, LIP_RINGS_LOWER):
        outline = portrait.landmarks[[*rings[0], *rings[3][::-1]], :2] + AROUND
        cv2.fillPoly(lips, [outline.round().astype(np.int32)], (1,))
    assert changed[cv2.erode(lips, np.ones((5, 5), np.uint8)) > 0].mean() > 0.5
    assert changed[cv2.dilate(lips, np.ones((11, 11), np.uint8)) == 0].sum() == 0
