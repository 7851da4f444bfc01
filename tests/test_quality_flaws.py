"""Quality's instruments find planted flaws, and each flaw moves its own columns and no others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from benchmarks.quality import fan, likeness, pictures, steadiness, tracking
from benchmarks.quality.instruments import catalogue
from benchmarks.quality.instruments.face import Look, Looker
from benchmarks.quality.seen import Picture
from display.optics import Cameras, intrinsics, orbit
from engines.contract import FaceObservation
from engines.relief.engine import Relief
from pipeline.puppet import scripted

RATE, SECONDS, SIDE = 25.0, 2.4, 256
YAWS = np.linspace(-17.5, 17.5, 12)
STILL = np.full(9, 1e-4)


@dataclass(frozen=True)
class Shown:
    """What an avatar shows: [T or V, SIDE, SIDE, 3] uint8 each."""

    film: np.ndarray
    held: np.ndarray
    fan: np.ndarray


def cameras(yaws: np.ndarray) -> Cameras:
    at = np.stack([orbit(float(yaw)) for yaw in yaws])
    return Cameras(at, np.repeat(intrinsics()[None], len(yaws), 0), SIDE, SIDE)


@pytest.fixture(scope="module")
def looker() -> Iterator[Looker]:
    made = Looker(plain=True)  # the same eye wherever this runs
    yield made
    made.close()


@pytest.fixture(scope="module")
def play(relief: Relief, sample_portrait: FaceObservation) -> Callable[[bool], np.ndarray]:
    avatar, times = relief.enrol(sample_portrait), np.arange(0, SECONDS, 1 / RATE)

    def film(mouth: bool) -> np.ndarray:
        spoken = 0.5 - 0.5 * np.cos(2 * np.pi * 2.1 * times)
        seen = [
            scripted(sample_portrait, yaw=8 * np.sin(2.5 * t), mouth=float(m) * mouth)
            for t, m in zip(times, spoken, strict=True)
        ]
        views = [relief.render(relief.drive(avatar, one), cameras(np.zeros(1))).images for one in seen]
        return torch.cat(views)[..., :3].numpy().copy()

    return film


@pytest.fixture(scope="module")
def sound(relief: Relief, sample_portrait: FaceObservation, play) -> Shown:
    avatar = relief.enrol(sample_portrait)
    still = replace(sample_portrait, presence=0.0)
    views = relief.render(relief.drive(avatar, still), cameras(YAWS)).images[..., :3].numpy().copy()
    return Shown(play(True), np.repeat(views[len(views) // 2][None], 15, 0), views)


def columns(shown: Shown, looker: Looker, driver: list[Look | None]) -> dict[str, float]:
    times = np.arange(len(driver)) / RATE
    looks = [looker.look(one) for one in shown.film]
    values = tracking.figures(times, likeness.signals(driver), likeness.signals(looks), STILL)
    values |= steadiness.at_rest(list(shown.held), [looker.look(one) for one in shown.held])
    values |= fan.figures(shown.fan, YAWS, True, looker, lambda pixels, look: {})[0]
    return values | {"holes": pictures.holes(shown.film[10], looks[10])}


@pytest.fixture(scope="module")
def driver(sound: Shown, looker: Looker) -> list[Look | None]:
    return [looker.look(one) for one in sound.film]


@pytest.fixture(scope="module")
def before(sound: Shown, looker: Looker, driver: list[Look | None]) -> dict[str, float]:
    return columns(sound, looker, driver)


def delayed(shown: Shown, play) -> Shown:
    return replace(shown, film=np.concatenate([shown.film[:1], shown.film[:1], shown.film[:-2]]))


def trembling(shown: Shown, play) -> Shown:
    return replace(shown, held=np.stack([np.roll(one, number % 2, 1) for number, one in enumerate(shown.held)]))


def pierced(shown: Shown, play) -> Shown:
    def hole(views: np.ndarray) -> np.ndarray:
        views = views.copy()
        views[:, 70:78, 118:126] = 0
        return views

    return Shown(hole(shown.film), hole(shown.held), hole(shown.fan))


def stepped(shown: Shown, play) -> Shown:
    return replace(shown, fan=np.stack([np.roll(one, number % 2, 0) for number, one in enumerate(shown.fan)]))


def mute(shown: Shown, play) -> Shown:
    return replace(shown, film=play(False))


FLAWS = {
    "two frames late": (delayed, {"mouth_lag": 65.0, "yaw_lag": 65.0}, {"_correlation", "_slope", "_lag"}),
    "a pixel's tremble": (trembling, {"rest_points": 3.0}, {"rest_pixels"}),
    "a black hole": (pierced, {"holes": 0.05, "view_holes": 0.05}, {"rows", "torn", "composed", "uneven", "vertical"}),
    "every second view a row off": (stepped, {"vertical": 0.3, "rows": 0.07}, {"torn", "composed"}),
    "a mouth that stays shut": (mute, {"mouth_correlation": -0.5, "mouth_slope": -0.5}, {"mouth_lag"}),
}
"Flaw -> how it is made, by how much at least which columns move, and endings of those that may move with them."
ALIKE = {"_lag": 30.0, "_correlation": 0.12, "_slope": 0.12, "rest_points": 1.0, "rest_pixels": 0.3, "yaw_view": 0.6}
"By how much a column may differ that a flaw is not to move: a hole changes what the eye sees beside it a little."
WATCHED = (
    "mouth",
    "yaw",
    "rest",
    "rows",
    "vertical",
    "torn",
    "composed",
    "yaw_span",
    "yaw_view",
    "view_holes",
    "holes",
)


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_planted_flaw_moves_its_columns_and_no_others(
    flaw: str, sound: Shown, driver: list[Look | None], before: dict[str, float], looker: Looker, play
):
    plant, moved, allowed = FLAWS[flaw]
    after = columns(plant(sound, play), looker, driver)
    for name, least in moved.items():
        change = after[name] - before[name]
        assert change >= least if least > 0 else change <= least, (name, before[name], after[name])
    for name in before:
        if not name.startswith(WATCHED) or name in moved or name.endswith(tuple(allowed)):
            continue
        limit = next((most for ending, most in ALIKE.items() if name.endswith(ending)), 0.1)
        assert abs(after[name] - before[name]) <= limit, (name, before[name], after[name])


def test_a_driver_that_shines_through_leaks_his_identity(sample_portrait: FaceObservation, looker: Looker):
    from tests import people

    if not catalogue.here("mobileface"):
        pytest.skip(f"no network for faces here: {catalogue.COMMAND}")
    other = people.observed(people.astronaut())
    assert sample_portrait.crop is not None
    assert other.crop is not None
    source, driver = (Picture(one, looker.look(one)) for one in (sample_portrait.crop, other.crop))
    matte = np.ones(source.pixels.shape[:2], np.float32)

    def leak(share: float) -> float:
        mixed = ((1 - share) * source.pixels + share * driver.pixels + 0.5).astype(np.uint8)
        shown = Picture(mixed, looker.look(mixed))
        return likeness.figures(source, driver, matte, shown, itself=False)["leak_mobileface"]

    assert abs(leak(0.0)) < 1e-3
    assert 0.001 < leak(0.05) < leak(0.3)
