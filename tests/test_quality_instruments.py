"""Quality's instruments, where they were brought (`make quality-instruments`): they tell what they are there to tell. Else skipped."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from benchmarks.quality.instruments import catalogue, naturalness, perceptual
from benchmarks.quality.instruments.face import BLENDSHAPES, Looker
from benchmarks.quality.seen import Picture
from engines.contract import FaceObservation
from tests import people


def brought(name: str) -> None:
    if not catalogue.here(name):
        pytest.skip(f"{name} was not brought: {catalogue.COMMAND}")


@pytest.fixture(scope="module")
def pictures(sample_portrait: FaceObservation) -> tuple[np.ndarray, np.ndarray]:
    other = people.observed(people.astronaut())
    assert sample_portrait.crop is not None
    assert other.crop is not None
    return sample_portrait.crop, other.crop


def test_st_lpips_forgives_a_shift_and_not_another_person(pictures):
    brought("stlpips")
    small, other = (cv2.resize(one, (256, 256), interpolation=cv2.INTER_AREA) for one in pictures)
    features = perceptual.features(small)

    def away(shown: np.ndarray) -> float:
        return perceptual.distance(features, perceptual.features(shown))

    assert away(small) == 0.0
    assert away(np.roll(small, 1, 1)) < 0.03  # seen: 0.004 to 0.02
    assert away(cv2.GaussianBlur(small, (0, 0), 2)) > 0.1  # seen: 0.4
    assert away(other) > 0.4  # seen: 0.6


def test_brisque_prefers_a_sharp_photograph(pictures):
    brought("brisque")
    small = cv2.resize(pictures[0], (256, 256), interpolation=cv2.INTER_AREA)
    _, spoilt = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 10])
    sharp = naturalness.brisque(small)
    assert sharp < 40
    assert naturalness.brisque(cv2.GaussianBlur(small, (0, 0), 2)) > sharp + 15
    assert naturalness.brisque(cv2.imdecode(spoilt, cv2.IMREAD_COLOR)) > sharp + 10


@pytest.mark.parametrize(("network", "same", "others"), [("faceres", 0.75, 0.6), ("mobileface", 0.6, 0.35)])
def test_a_network_knows_a_face_again_and_tells_two_apart(pictures, network: str, same: float, others: float):
    brought(network)
    looker = Looker(plain=True)
    one, other = (Picture(pixels, looker.look(pixels)) for pixels in pictures)
    dim = cv2.convertScaleAbs(cv2.GaussianBlur(pictures[0], (0, 0), 2), alpha=0.7, beta=10)
    again = Picture(dim, looker.look(dim))
    assert one.faces[network] @ again.faces[network] > same
    assert one.faces[network] @ other.faces[network] < others


def test_blendshapes_see_who_smiles(pictures):
    brought("blendshapes")
    looker = Looker()
    smiles = []
    for pixels in pictures:
        look = looker.look(pixels)
        assert look is not None
        assert look.blendshapes is not None
        smiles.append(look.blendshapes[BLENDSHAPES.index("mouthSmileLeft")])
    assert smiles[0] < 0.3  # the admiral does not
    assert smiles[1] > 0.7  # the astronaut does
