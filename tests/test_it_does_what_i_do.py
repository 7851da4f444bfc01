"""It does what I do: an independent FaceMesh, run on the rendered middle view, sees the avatar move as the driver moved."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
import skimage

from display.optics import Cameras, intrinsics, orbit
from engines.contract import FaceObservation
from engines.relief.engine import Relief
from pipeline import puppet
from pipeline.frame import Frame
from pipeline.preprocess.observer import Observer
from tests.face_meter import FaceMeter, Reading
from tests.test_relief import from_file

MIDDLE = Cameras(orbit(0)[None], intrinsics()[None], 448, 448)

Pair = tuple[Reading, Reading]
"What the driver did, and what the avatar did."


def clip_frames(path: Path) -> Iterator[Frame]:
    with av.open(str(path)) as container:
        for number, decoded in enumerate(container.decode(video=0)):
            yield Frame(decoded.to_ndarray(format="rgb24"), float(decoded.time or 0.0), number)


def puppet_frames(relief: Relief) -> Iterator[Frame]:
    return islice(puppet.Puppet(relief).frames(), round(puppet.PERIOD * puppet.RATE))


def played(frames: Iterator[Frame], relief: Relief, portrait: FaceObservation, every: int) -> list[Pair]:
    """Drive the portrait with all the frames and read every n-th of them, driver and avatar."""
    avatar, meter, pairs = relief.enrol(portrait), FaceMeter(), []
    with Observer(relief.wants) as observer:
        for frame in frames:
            seen = observer.observe(frame)
            if frame.sequence % every:
                continue
            view = relief.render(relief.drive(avatar, seen), MIDDLE).images[0, :, :, :3].numpy()
            did, does = meter.read(frame.pixels), meter.read(view)
            assert did is not None
            assert does is not None, f"no face in the view of frame {frame.sequence}"
            pairs.append((did, does))
    return pairs


def columns(pairs: list[Pair], what: str) -> tuple[np.ndarray, np.ndarray]:
    return np.array([getattr(a, what) for a, _ in pairs]), np.array([getattr(b, what) for _, b in pairs])


def correlation(pairs: list[Pair], what: str) -> float:
    return float(np.corrcoef(*columns(pairs, what))[0, 1])


@pytest.fixture(scope="module")
def somebody_else() -> FaceObservation:
    """Another person than the puppet: scikit-image brings a public-domain portrait of the astronaut Eileen Collins."""
    return from_file(Path(skimage.__file__).parent / "data" / "astronaut.png")


@pytest.mark.parametrize("name", ["frontal_sharp_woman.jpg", "glasses_cap_navy_officer.jpg"])
def test_the_mouth_and_the_eyes_do_what_a_talking_callers_do(media: Path, relief: Relief, name: str):
    pairs = played(
        clip_frames(media / "clips" / "talk_frontal.mp4"), relief, from_file(media / "portraits" / name), every=6
    )
    assert correlation(pairs, "mouth") >= 0.9
    assert correlation(pairs, "eyes") >= 0.6


@pytest.mark.parametrize("name", ["hair_small_face_astronaut.png"])
def test_the_head_turns_as_the_callers_does(media: Path, relief: Relief, name: str):
    pairs = played(
        clip_frames(media / "clips" / "head_turns_strong.mp4"), relief, from_file(media / "portraits" / name), every=2
    )
    assert correlation(pairs, "yaw") >= 0.95
    assert 0.7 <= np.polyfit(*columns(pairs, "yaw"), 1)[0] <= 1.2


def test_it_does_what_the_puppet_does(relief: Relief, somebody_else: FaceObservation):
    pairs = played(puppet_frames(relief), relief, somebody_else, every=4)
    assert correlation(pairs, "mouth") >= 0.9
    assert correlation(pairs, "yaw") >= 0.95
    assert 0.7 <= np.polyfit(*columns(pairs, "yaw"), 1)[0] <= 1.2
    assert correlation(pairs, "eyes") >= 0.6
