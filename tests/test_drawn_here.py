"""What the pages draw themselves: from asset and motion, in a real Chromium, the picture that the engine renders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np
import pytest
from playwright.sync_api import Browser

from display import label
from display.optics import Cameras, intrinsics, orbit
from display.screen import Screen, screen
from engines.contract import FaceObservation
from engines.geometry import glb, motion
from engines.geometry.asset import posed
from engines.relief.engine import Relief
from pipeline.puppet import scripted
from tests import people
from tests.browsing import browsing
from tests.easel import Easel

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

YAWS = [-17.5, -4.0, 17.5]
DRIVEN: list[dict[str, float]] = [
    {"yaw": 14, "pitch": 6, "roll": -5, "mouth": 0.6, "blink": 0.4},
    {"yaw": -11, "pitch": -7, "blink": 1.0},
]
SIZES = [(420, 560), (819, 455)]
"Of a view of the Looking Glass Portrait, and of a wide one."
REGION = 12
"Pixels of a side: an edge that is softened otherwise is a line through it."


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing(None) as running:
        yield running


@pytest.fixture(scope="module")
def easel(browser: Browser) -> Easel:
    return Easel(browser)


@pytest.fixture(scope="module", params=["hopper", "astronaut"])
def portrait(request: pytest.FixtureRequest) -> FaceObservation:
    return people.observed(getattr(people, request.param)())


def tile(width: int, height: int) -> Screen:
    """One view of that size, as it is shown."""
    return replace(screen("telequilt").only(0), quilt_width=width, quilt_height=height, aspect=width / height)


def rendered(relief: Relief, state: object, width: int, height: int) -> np.ndarray:
    """[V, H, W, 3] uint8: the engine's views from YAWS, with the mark."""
    per_view = np.repeat(intrinsics(width / height)[None], len(YAWS), axis=0)
    views = relief.render(state, Cameras(np.stack([orbit(yaw) for yaw in YAWS]), per_view, width, height))  # type: ignore[arg-type]
    pixels = views.images.numpy().copy()
    mark = label.mark(tile(width, height))
    for view in pixels:
        mark.put(view.reshape(height, 1, width, 4))
    return pixels[..., :3]


def decibels(one: np.ndarray, other: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / ((one.astype(float) - other) ** 2).mean()))


def test_what_is_drawn_is_what_the_engine_renders(relief: Relief, portrait: FaceObservation, easel: Easel) -> None:
    avatar = relief.enrol(portrait)
    packed = glb.packed(relief.asset(avatar), label.TEXT)
    asset = glb.unpacked(packed.data)[0]
    easel.enrol(packed.data)
    for sequence, face in enumerate(DRIVEN):
        state = relief.drive(avatar, scripted(portrait, **face))
        record = motion.packed(motion.Record(relief.motion(state), packed.number, sequence, 0.0))
        points, light = posed(asset, motion.unpacked(record).motion)
        assert np.abs(easel.pose(record) - np.column_stack([points, light])).max() < 1e-5
        for width, height in SIZES:
            right, seen = rendered(relief, state, width, height), easel.draw(YAWS, width, height)
            assert all(decibels(*pair) >= 38 for pair in zip(seen, right, strict=True))
            off = [
                cv2.blur(np.abs(one.astype(np.float32) - other).mean(axis=2), (REGION, REGION))
                for one, other in zip(seen, right, strict=True)
            ]
            assert np.max(off) < 20, "no region is off by more than edges softened otherwise"
