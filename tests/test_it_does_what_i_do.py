"""It does what I do: an independent FaceMesh, run on the rendered middle view, sees the avatar move as the driver moved."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engines.contract import FaceObservation
from engines.relief.engine import Relief
from pipeline.frame import Frame
from pipeline.preprocess.observer import Observer
from server.media import clips
from tests.face_meter import FaceMeter, Reading
from tests.people import FRONT, astronaut, hopper, observed, performance, read

Pair = tuple[Reading, Reading]
"What the driver did, and what the avatar did."


def played(frames: Iterator[Frame], relief: Relief, portrait: FaceObservation, every: int) -> list[Pair]:
    """Drive the portrait with all the frames and read every n-th of them, driver and avatar."""
    avatar, meter, pairs = relief.enrol(portrait), FaceMeter(), []
    with Observer(relief.wants) as observer:
        for frame in frames:
            seen = observer.observe(frame)
            if frame.sequence % every:
                continue
            view = relief.render(relief.drive(avatar, seen), FRONT).images[0, :, :, :3].numpy()
            did, does = meter.read(frame.pixels), meter.read(view)
            assert did is not None
            assert does is not None, f"no face in the view of frame {frame.sequence}"
            pairs.append((did, does))
    return pairs


def columns(pairs: list[Pair], what: str) -> tuple[np.ndarray, np.ndarray]:
    return np.array([getattr(a, what) for a, _ in pairs]), np.array([getattr(b, what) for _, b in pairs])


def correlation(pairs: list[Pair], what: str) -> float:
    return float(np.corrcoef(*columns(pairs, what))[0, 1])


PEOPLE = {"hopper": hopper, "astronaut": astronaut}


@pytest.mark.parametrize(
    ("driver", "portrait", "mouth"),
    [("hopper", "astronaut", 0.9), pytest.param("astronaut", "hopper", 0.85, marks=pytest.mark.soak)],
)
def test_it_does_what_another_person_does(relief: Relief, driver: str, portrait: str, mouth: float):
    """Seen: 0.98 and 0.89 for the mouth; the astronaut's has 30 pixels. Yaw's slope is 1.19 to 1.21 from Hopper to the astronaut: behind
    her glasses the meter reads her less turned than she is."""
    one, other = (observed(PEOPLE[name]()) for name in (driver, portrait))
    pairs = played(performance(relief, one), relief, other, every=2)
    assert correlation(pairs, "mouth") >= mouth
    assert correlation(pairs, "yaw") >= 0.95
    assert 0.7 <= np.polyfit(*columns(pairs, "yaw"), 1)[0] <= 1.3
    assert correlation(pairs, "eyes") >= 0.6


@pytest.mark.golden
@pytest.mark.parametrize("name", ["frontal_sharp_woman.jpg", "glasses_cap_navy_officer.jpg"])
def test_the_mouth_and_the_eyes_do_what_a_filmed_callers_do(media: Path, relief: Relief, name: str):
    portrait = observed(read(media / "portraits" / name))
    pairs = played(clips.frames(media / "clips" / "talk_frontal.mp4"), relief, portrait, every=6)
    assert correlation(pairs, "mouth") >= 0.9
    assert correlation(pairs, "eyes") >= 0.6


@pytest.mark.golden
def test_the_head_turns_as_a_filmed_callers_does(media: Path, relief: Relief):
    portrait = observed(read(media / "portraits" / "hair_small_face_astronaut.png"))
    pairs = played(clips.frames(media / "clips" / "head_turns_strong.mp4"), relief, portrait, every=2)
    assert correlation(pairs, "yaw") >= 0.95
    assert 0.7 <= np.polyfit(*columns(pairs, "yaw"), 1)[0] <= 1.2
