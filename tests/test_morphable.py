"""The head that portraits are fitted with: it finds who was drawn, what their face does and how they stand; and what relief makes of it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from engines.contract import FaceObservation
from engines.morphable import fit, model
from engines.relief.engine import Relief
from engines.relief.topology import LOWER_LIP_INNER, UPPER_LIP_INNER
from pipeline.preprocess.canonical import CANONICAL
from tests import modelled, people

GRIN = {"mouthSmile": 0.9, "mouthUpperUp": 0.6, "jawOpen": 0.15}


@cache
def portrait(seed: int, yaw: float = 0.0, pitch: float = 0.0, grinning: bool = False) -> FaceObservation:
    vertices = modelled.person(seed, **(GRIN if grinning else {}))
    return people.observed(modelled.picture(vertices, modelled.turned(yaw, pitch)))


def turn_of(points: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """[yaw, pitch, roll] degrees, as a puppet counts them, of a face of `shape` [478, 3] whose points [478, 3] lie in a crop."""
    flat = points * [1.0, -1.0, -1.0]
    a, b = shape - shape.mean(axis=0), flat - flat.mean(axis=0)
    u, _, vt = np.linalg.svd(b.T @ a)
    r = u @ vt
    return np.degrees([np.arctan2(r[0, 2], r[2, 2]), np.arcsin(r[1, 2]), np.arctan2(r[1, 0], r[1, 1])])


def test_the_mean_lies_on_mediapipes_face_and_shuts_its_mouth():
    points = model.load().points[0]
    away = np.linalg.norm(points - CANONICAL, axis=1)[:468]
    assert away.mean() < 0.6
    assert np.abs(points[UPPER_LIP_INNER, 1] - points[LOWER_LIP_INNER, 1]).max() < 0.4


def test_both_sides_have_each_others_counterparts():
    head = model.load()
    assert (head.mirrored[head.mirrored] == np.arange(478)).all()
    flipped = head.points[0][head.mirrored] * [-1, 1, 1]
    assert np.linalg.norm(flipped - head.points[0], axis=1)[:468].mean() < 0.1


def test_made_up_people_are_plausible():
    """Proportions of drawn identities stay those of faces: width to height, eyes to width, mouth to width."""
    head = model.load()
    for identity in np.clip(np.random.default_rng(1).normal(size=(40, len(head.modes))), -2.5, 2.5):
        points = head.points[0] + np.tensordot(identity, head.points[1], 1)
        width = np.linalg.norm(points[454] - points[234])
        assert 0.65 < width / np.linalg.norm(points[10] - points[152]) < 1.15
        assert 0.5 < np.linalg.norm(points[263] - points[33]) / width < 0.75
        assert 0.22 < np.linalg.norm(points[291] - points[61]) / width < 0.45


@pytest.mark.parametrize("turn", [(0, 0), (25, 0), (-15, 12)])
def test_a_head_is_found_again(turn):
    """From its own points, depth a little flat as MediaPipe's is: pose within a degree, points within half a millimetre."""
    head = model.load()
    rng = np.random.default_rng(5)
    identity = np.clip(rng.normal(size=len(head.modes)), -1.5, 1.5) * 0.7
    expression = np.zeros(len(head.actions))
    expression[head.action_names.index("jawOpen")] = 0.3
    true = fit.Fitted(identity, expression, modelled.turned(*turn), 1.0, np.array([0.2, -0.3, 0.0]), 0.0)
    seen = true.seen(
        sum(np.tensordot(c, m, 1) for c, m in zip((identity, expression), head.points[1:], strict=True))
        + head.points[0]
    )
    seen[:, 2] /= 1.35
    started = modelled.turned(turn[0] + 4, turn[1] - 3)
    found = fit.fit(head, seen.astype(np.float32), started)
    off = np.degrees(np.arccos((np.trace(found.rotation @ true.rotation.T) - 1) / 2))
    assert off < 1.5
    assert found.off < 0.05
    assert abs(found.expression[head.action_names.index("jawOpen")] - 0.3) < 0.1
    assert ((found.expression >= 0) & (found.expression <= 1)).all()


@pytest.mark.parametrize("turn", [(0, 0), (30, 0), (-35, 0), (15, 14), (0, -16)])
def test_at_rest_it_looks_straight_ahead_however_its_portrait_was_turned(relief: Relief, turn):
    seen = portrait(4, *turn)
    avatar = relief.enrol(seen)
    state = relief.drive(avatar, replace(seen, presence=0.0))
    assert np.abs(turn_of(state.points[avatar.parts.face][:468], avatar.shape[:468])).max() < 4


def test_a_grin_is_taken_out_and_kept_where_that_is_wanted(relief: Relief):
    """Measured: 2.2 of 3.8 mm are left, of which 1.1 are what a fit reads into this face at rest."""
    calm, grin = portrait(4), portrait(4, grinning=True)
    wanted = relief.enrol(calm).shape
    off = {}
    for kept in (0.0, 0.5, 1.0):
        shape = relief.enrol(replace(grin, expression_kept=kept)).shape
        off[kept] = float(np.linalg.norm((shape - wanted)[:468], axis=1).mean())
    assert off[0.0] < 0.7 * off[1.0], off
    assert off[0.0] < off[0.5] < off[1.0]
    shut = relief.enrol(replace(grin, expression_kept=0.0)).shape
    assert (shut[UPPER_LIP_INNER, 1] - shut[LOWER_LIP_INNER, 1]).max() < 0.05
