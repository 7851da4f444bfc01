"""A head of Gaussians does what a filmed caller does, as an independent FaceMesh sees it; with our own table, without MediaPipe's file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engines.splats.engine import Splats
from pipeline.preprocess.observer import Observer
from server.media import clips
from tests.face_meter import FaceMeter, Reading
from tests.people import FRONT


@pytest.mark.golden
def test_mouth_and_eyes_of_the_public_sample_do_what_a_filmed_callers_do(media: Path, exported_sample: bytes):
    engine, meter = Splats(), FaceMeter()
    avatar = engine.made(engine.bring(exported_sample).arrays)
    pairs: list[tuple[Reading, Reading]] = []
    with Observer(engine.wants) as observer:
        for frame in clips.frames(media / "clips" / "talk_frontal.mp4"):
            seen = observer.observe(frame)
            if frame.sequence % 6:
                continue
            view = engine.render(engine.drive(avatar, seen), FRONT).images[0, :, :, :3].numpy()
            did, does = meter.read(frame.pixels), meter.read(view)
            assert did is not None
            assert does is not None, f"no face in the view of frame {frame.sequence}"
            pairs.append((did, does))
    for what in ("mouth", "eyes"):
        told = np.array([[getattr(one, what) for one in pair] for pair in pairs]).T
        assert np.corrcoef(told)[0, 1] >= 0.92, what  # seen, with every third frame: 0.978 and 0.956
