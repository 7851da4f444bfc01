"""An avatar in a headset: npm's emulated one, worn in a real Chromium."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from display import label
from engines.contract import FaceObservation
from engines.geometry import glb, motion
from engines.geometry.asset import Asset, posed
from engines.relief.engine import Relief
from pipeline.puppet import scripted
from tests import npm
from tests.browsing import browsing
from tests.easel import Easel

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

IWER = ("iwer", "2.2.1", "a72c6359226cabfb0fcbfdd9c5e83d253807e0e8e0453dd75d427b13a4d0a053")
WORN = "window.device = new IWER.XRDevice(IWER.metaQuest3, { stereoEnabled: true }); device.installRuntime();"
DISTANCE, EYES_APART, OPENING = 1.2, 0.063, np.pi / 2
"Metres, metres, and radians from the lowest to the highest that an eye sees: as the emulated device has them."


@pytest.fixture(scope="module")
def easel() -> Iterator[Easel]:
    with npm.package(*IWER) as archive, browsing(None) as browser:
        found = archive.extractfile("package/build/iwer.min.js")
        assert found is not None
        yield Easel(browser, found.read().decode() + "\n" + WORN)


def bounds(picture: np.ndarray) -> np.ndarray:
    """Left, top, right and bottom of what is not dark in [H, W, 3]."""
    rows, columns = np.nonzero(picture.max(axis=2) > 24)
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], float)


def test_it_stands_at_life_size_at_the_distance_of_a_conversation(
    relief: Relief, sample_portrait: FaceObservation, easel: Easel
) -> None:
    avatar = relief.enrol(sample_portrait)
    packed = glb.packed(relief.asset(avatar), label.TEXT)
    state = relief.drive(avatar, scripted(sample_portrait, yaw=8, mouth=0.4))
    record = motion.packed(motion.Record(relief.motion(state), packed.number, 0, 1000.0))
    easel.enrol(packed.data, packed.number)
    easel.hear([(record, 0.0)])
    assert easel.page.evaluate("import('/geometry/headset.js').then(({ offered }) => offered())") == "immersive-vr"
    easel.page.evaluate("wear()")
    left, right = easel.eyes()
    height = left.shape[0]
    pixels = height / 2 / np.tan(OPENING / 2)  # of a metre at a metre

    asset = glb.unpacked(packed.data)[0]
    assert isinstance(asset, Asset)
    points = posed(asset, motion.unpacked(record).motion)[0]
    metres = asset.metres * (points - [0, 0, 0.2])
    seen = pixels * metres[:, :2] / (DISTANCE - metres[:, 2:])
    apart = pixels * EYES_APART / DISTANCE
    assert np.ptp(seen[:, 1]) * 0.6 < np.ptp(bounds(left)[1::2]) <= np.ptp(seen[:, 1]) + 1, "its fringes are soft"
    assert (bounds(left) - bounds(right))[[0, 2]] == pytest.approx([apart, apart], abs=0.25 * apart), (
        "each eye sees for itself"
    )
    assert bounds(left)[[0, 2]].mean() > left.shape[1] / 2 > bounds(right)[[0, 2]].mean()

    easel.page.evaluate("device.position.x += 0.3")
    easel.page.wait_for_timeout(100)
    beside = easel.eyes()[0]
    assert bounds(beside)[[0, 2]].mean() < bounds(left)[[0, 2]].mean() - 0.8 * pixels * 0.3 / DISTANCE, (
        "who steps aside looks from there"
    )

    easel.page.evaluate("headset.end()")
    easel.page.wait_for_function("() => !device.activeSession")
