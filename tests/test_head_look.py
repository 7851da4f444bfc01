"""Look around: a head that moves before a camera steers the angle that its page shows. The face is seen by the real observer, and the
page's own modules decide, in node."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pipeline.frame import Frame
from pipeline.preprocess import framing, heading
from pipeline.preprocess.canonical import CANONICAL
from pipeline.preprocess.observer import Observer
from tests.people import hopper

PAGES = Path(__file__).parents[1] / "server" / "pages" / "shared"
RATE, WIDTH, HEIGHT = 25, 640, 480
DISTANCE, SWEEP = 600.0, 150.0
"Millimetres."
LATE = 0.070
"Seconds from capture until the page hears of it, as on a LAN; every third picture 25 ms more."
FAN, VIEWS = 35.0, 24

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="needs node: apt-get install nodejs")

SHOWN = """
const { HeadLook, ServerClock, shareFrom, softened, trust } = await import(HEAD);
const { ShownAngle } = await import(ANGLE);
const { looks, until, hands = [], still = false } = INPUT;
const [head, angle] = [new HeadLook(), new ShownAngle(still)];
const shown = [];
for (let now = 0; now < until; now += 1000 / 60) {
  while (looks.length && looks[0].heard <= now) head.hear(looks.shift());
  while (hands.length && hands[0].at <= now) angle.aim(hands.shift().share, now);
  const { share, weight, slide } = head.at(now);
  angle.lead(share, weight, now);
  shown.push({ now, share: angle.at(now), weight, slide });
}
console.log(JSON.stringify(shown));
"""


def in_node(script: str, **given: Any) -> Any:
    """What `script` prints, with the page's modules under HEAD and ANGLE and `given` as INPUT."""

    def module(name: str) -> str:
        return "data:text/javascript;base64," + base64.b64encode((PAGES / name).read_bytes()).decode()

    names = {"HEAD": module("head.js"), "ANGLE": module("angle.js"), "INPUT": given}
    head = "".join(f"const {name} = {json.dumps(value)};\n" for name, value in names.items())
    command = ["node", "--input-type=module", "-"]
    done = subprocess.run(command, input=head + script, text=True, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def camera(x: float, number: int, noise: float = 1.5) -> Frame:
    """What a camera of 65 degrees sees of somebody at (x, 0, DISTANCE) millimetres, with a sensor's noise."""
    pixels_per_mm = heading.FOCAL * WIDTH / DISTANCE
    photo, face = hopper(), _photographed()
    gain = pixels_per_mm / (face.scale * photo.shape[1] / 10)
    across, down = face.shift[0] * photo.shape[1], -face.shift[1] * photo.shape[1]
    place = np.array([[gain, 0, WIDTH / 2 - x * pixels_per_mm - gain * across], [0, gain, HEIGHT / 2 - gain * down]])
    pixels = cv2.warpAffine(photo, place, (WIDTH, HEIGHT), flags=cv2.INTER_AREA, borderValue=(96, 96, 96))
    grain = np.random.default_rng(number).normal(0, noise, pixels.shape)
    return Frame(np.clip(pixels + grain, 0, 255).astype(np.uint8), number / RATE, number)


@cache
def _photographed() -> framing.Stance:
    """How the head stands in the photo."""
    observer = Observer()
    try:
        found = observer._find(Frame(hopper(), 0.0), None)
        assert found is not None
        return framing.stance_of(found.points)
    finally:
        observer.close()


def looks(path: np.ndarray) -> list[dict[str, float]]:
    """What a page hears of a head that goes along `path` [N] millimetres, as the real observer sees it."""
    told = []
    with Observer() as observer:
        for number, x in enumerate(path.tolist()):
            seen = observer.observe(camera(x, number))
            assert seen.place is not None
            x, y, z = seen.place.tolist()
            at = 1000 * number / RATE
            late = 1000 * (LATE + 0.025 * (number % 3 == 0))
            told.append({"x": x, "y": y, "z": z, "seen": seen.confidence, "at": at, "heard": at + late})
    return sorted(told, key=lambda look: look["heard"])


def sweep(seconds: np.ndarray) -> np.ndarray:
    return SWEEP * np.sin(2 * np.pi * 0.5 * seconds)


@needs_node
def test_the_shown_angle_follows_a_head_that_sweeps():
    shown = in_node(SHOWN, looks=looks(sweep(np.arange(0, 4.5, 1 / RATE))), until=4500)
    times, shares = (np.array([one[key] for one in shown]) for key in ("now", "share"))
    settled = times > 1500

    def truth(lag: float) -> np.ndarray:
        return 0.5 + np.degrees(np.arctan2(sweep((times - lag) / 1000), DISTANCE)) / FAN

    fits = {lag: np.corrcoef(truth(lag)[settled], shares[settled])[0, 1] for lag in range(-60, 200, 5)}
    lag = max(fits, key=lambda one: fits[one])
    assert np.corrcoef(truth(0)[settled], shares[settled])[0, 1] >= 0.95
    assert fits[lag] >= 0.98
    assert lag <= 100
    slope = np.polyfit(truth(lag)[settled], shares[settled], 1)[0]
    assert slope == pytest.approx(1.0, abs=0.15), "millimetres are millimetres, but for the size of the face"


@needs_node
def test_a_still_head_does_not_make_the_picture_tremble():
    shown = in_node(SHOWN, looks=looks(np.full(4 * RATE, 60.0)), until=4000)
    shares = np.array([one["share"] for one in shown if one["now"] > 2500])
    assert (shares.max() - shares.min()) * (VIEWS - 1) <= 0.1
    assert shares.mean() == pytest.approx(0.5 + np.degrees(np.arctan2(60, DISTANCE)) / FAN, abs=0.04)


STILL = [{"x": 120.0, "y": 40.0, "z": 600.0, "seen": 1.0, "at": 40.0 * n, "heard": 40.0 * n + 50} for n in range(200)]


@needs_node
def test_a_lost_face_gives_the_angle_back_and_a_hand_wins():
    lost = [look | {"seen": 1.0 if look["at"] < 3000 else 0.0} for look in STILL]
    shown = in_node(SHOWN, looks=lost, until=5000)
    assert shown[170]["weight"] == 1
    assert shown[-1]["weight"] == 0
    weights = [one["weight"] for one in shown]
    assert max(abs(a - b) for a, b in pairwise(weights)) < 0.03, "eased, both ways"

    held = in_node(SHOWN, looks=STILL, until=7000, hands=[{"at": 2000, "share": 0.1}])
    by_hand = [one["share"] for one in held if 2800 < one["now"] < 4900]
    assert max(by_hand) < 0.15, "for three seconds"
    assert held[-1]["share"] > 0.7, "then the head leads again"


@needs_node
def test_who_wants_little_motion_is_left_alone():
    shown = in_node(SHOWN, looks=STILL, until=2000, still=True)
    assert {one["share"] for one in shown} == {0.5}


@needs_node
def test_somebody_else_is_eased_to():
    other = [look | {"x": -150.0} if look["at"] > 3000 else look for look in STILL]
    shares = [one["share"] for one in in_node(SHOWN, looks=other, until=6000)]
    assert max(abs(a - b) for a, b in pairwise(shares)) < 0.1
    assert shares[-1] < 0.2


@needs_node
def test_the_older_a_place_the_less_it_steers():
    script = """
    const { trust, softened, shareFrom, ServerClock } = await import(HEAD);
    const clock = new ServerClock();
    const before = clock.here(50, 777);
    clock.answered(1000, 1040, 51.02), clock.answered(2000, 2600, 52.9);
    console.log(JSON.stringify([[0, 150, 200, 250, 300, 301].map(trust), [0.5, 0.9, 1, 5].map(softened), before, clock.here(51, 1e9)]));
    """
    ages, soft, before, after = in_node(script)
    assert ages == [1, 1, 0.75, 0.5, 0.5, 0]
    assert soft[:2] == [0.5, 0.9]
    assert 0.97 < soft[2] < soft[3] <= 1
    assert before == 777, "as it came, while nothing is known of the server's clock"
    assert after == pytest.approx(1000, abs=1), "by the ping that took the shortest way"


@pytest.mark.parametrize(("x", "y", "z"), [(0, 0, 600), (120, -40, 500), (-200, 80, 900)])
def test_a_place_is_told_in_millimetres_and_as_the_person_sees_it(x: float, y: float, z: float):
    scale = 10 * heading.FOCAL / z
    shift = np.array([0.5 - scale * x / 10, scale * y / 10 - 0.375, 0.0])
    stance = framing.stance_of((scale * CANONICAL + shift) @ framing.UPRIGHT)
    np.testing.assert_allclose(heading.place_of(stance, 0.75), [x, y, z], atol=0.5)
    turned = replace(stance, rotation=framing.turn_in_picture(0.3) @ stance.rotation)
    np.testing.assert_allclose(heading.place_of(turned, 0.75), heading.place_of(stance, 0.75))
