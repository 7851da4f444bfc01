"""Gaussians that the pages draw themselves: from asset and record, in a real Chromium, the picture that the engine renders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
from playwright.sync_api import Browser

from display import label
from display.optics import Cameras, fan, intrinsics, orbit
from display.quilt import compose
from display.screen import Screen, fan_yaws
from engines.actions import INDEX
from engines.geometry import glb, motion, plain
from engines.geometry.motion import Motion, Record
from engines.splats import geometry, importing
from engines.splats.drive import SplatState, seen_from
from engines.splats.render import Renderer
from tests import exported
from tests.browsing import browsing
from tests.easel import Easel
from tests.test_drawn_here import decibels

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

YAWS = [-17.5, 4.0, 17.5]
TURN = np.array([[0.96, 0.0, 0.28], [0.0, 1.0, 0.0], [-0.28, 0.0, 0.96]], np.float32)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing(None) as running:
        yield running


@dataclass(frozen=True)
class Subject:
    """An avatar at two moments, and what of it travels."""

    asset: glb.Packed
    states: tuple[SplatState, SplatState]

    def record(self, moment: int) -> bytes:
        return motion.packed(
            Record(geometry.motion(self.states[moment]), self.asset.number, moment, 1000 + 0.04 * moment)
        )


@pytest.fixture(scope="module")
def subject() -> Subject:
    avatar = importing.made(importing.bring(exported.head().zipped()).arrays)
    weights = np.zeros((2, 51), np.float32)
    weights[1, [INDEX["jawOpen"], INDEX["eyeBlinkLeft"], INDEX["eyeLookOutRight"]]] = 0.7, 1.0, 0.3
    pivot = np.array([0.0, -0.1, -0.05], np.float32)
    states = (
        SplatState(avatar, weights[0], np.eye(3, dtype=np.float32), pivot),
        SplatState(avatar, weights[1], TURN, pivot),
    )
    return Subject(glb.packed(geometry.asset(avatar), label.TEXT), states)


def rendered(state: SplatState, yaws: list[float], screen: Screen) -> np.ndarray:
    """[V, H, W, 3] uint8: the engine's views, each as a picture of `screen`, with the mark."""
    per_view = np.repeat(intrinsics(screen.aspect)[None], len(yaws), axis=0)
    at = Cameras(np.stack([orbit(yaw) for yaw in yaws]), per_view, screen.tile_width, screen.tile_height)
    pixels = Renderer()(state.avatar, state.weights, seen_from(state, at)).images.numpy().copy()
    for view in pixels:
        label.mark(screen).put(view[:, None])
    return pixels[..., :3]


@pytest.mark.parametrize(
    ("threads", "width", "height"),
    [(True, 240, 320), (False, 320, 180)],
    ids=["sorted in a thread", "where there are none"],
)
def test_what_is_drawn_is_what_the_engine_renders(
    browser: Browser, subject: Subject, threads: bool, width: int, height: int
) -> None:
    easel = Easel(browser, "" if threads else "delete globalThis.Worker")
    easel.enrol(subject.asset.data, subject.asset.number)
    pose = easel.pose(subject.record(1), 1).ravel()
    moved = motion.unpacked(subject.record(1)).motion
    assert np.allclose(pose, [*moved.coefficients, *moved.joints.ravel()], atol=1e-6)
    right = rendered(subject.states[1], YAWS, Screen("one", 1, 1, width, height, width / height, (0.0,)))
    seen = easel.draw(YAWS, width, height)
    assert all(
        decibels(*pair) >= 45 for pair in zip(seen, right, strict=True)
    )  # the sample at 420 x 560: 57.7 and more
    assert decibels(seen[0], right[1]) < 30, "another angle would be seen"
    easel.page.close()


def test_between_two_records_it_goes_straight(browser: Browser, subject: Subject) -> None:
    easel = Easel(browser)
    easel.enrol(subject.asset.data, subject.asset.number)
    easel.hear([(subject.record(0), 0.0), (subject.record(1), 40.0)], 1)
    halfway = easel.acted(60.0, 200, 200)
    first, second = (motion.unpacked(subject.record(one)).motion for one in (0, 1))
    between = Motion(
        (first.joints + second.joints) / 2, first.controls, first.shades, (first.coefficients + second.coefficients) / 2
    )
    at = Screen("one", 1, 1, 200, 200, 1.0, (0.0,))
    views = plain.drawn(glb.unpacked(subject.asset.data)[0], between, fan(at))
    right = compose([views], at, label.mark(at)).pixels.numpy()[..., :3]
    assert decibels(halfway, right) >= 40
    assert decibels(halfway, easel.acted(100.0, 200, 200)) < 35, "it goes on"
    easel.page.close()


def test_a_panel_shows_its_own_views(browser: Browser, subject: Subject) -> None:
    """Each in its own order, though they are asked for at once."""
    easel = Easel(browser)
    easel.enrol(subject.asset.data, subject.asset.number)
    easel.pose(subject.record(1), 1)
    yaws = list(fan_yaws(9))
    right = rendered(subject.states[1], yaws, Screen("one", 1, 1, 90, 120, 0.75, (0.0,)))
    assert all(decibels(*pair) >= 42 for pair in zip(easel.draw(yaws, 90, 120), right, strict=True))
    easel.page.close()


def test_a_record_of_another_cloud_is_dropped(browser: Browser, subject: Subject) -> None:
    easel = Easel(browser)
    easel.enrol(subject.asset.data, subject.asset.number)
    moved = geometry.motion(subject.states[1])
    fewer = replace(moved, coefficients=moved.coefficients[:40])
    told = easel.hear([(motion.packed(Record(fewer, subject.asset.number, 3, 0.0)), 0.0)], 1)
    assert told[0][0] == 0
    easel.page.close()
