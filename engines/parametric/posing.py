"""Posing: which head, doing what and standing where, shows its landmarks at given pixels. Gauss-Newton, without any field.

Landmarks are linear in the identity's whitened coefficients and, about the average head, in those of the expressions, so that
a step is one small linear system.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from display import optics
from engines.contract import CROP
from engines.parametric import points
from engines.parametric.head import HeadModel

IDENTITIES, EXPRESSIONS = 80, 32
"""Coefficients that are looked for: all of any use. With 48 and 12, five photos' landmarks were missed by 2.2, 2.8, 3.4, 3.2 and 5.2
pixels, with these by 1.9, 2.2, 2.7, 2.6 and 4.3, by smaller coefficients."""
STEPS = 12
PIXELS, OUTLINE_PIXELS = 2.0, 6.0
"Standard deviations of a landmark in the 512-pixel crop; of those of the outline, which FaceMesh slides along the cheeks."
DEEP, DEEP_GAIN = 16.0, 1.5
"Standard deviation of a landmark's depth in pixels, and what MediaPipe's flat depths are multiplied with."
PLACE = 0.02
"World units by which the landmarks' middle may lie before or behind the orbit's: a picture alone tells size from distance badly."
SIZE = 0.05
"Of the head's scale, relative to what the distance between the eyes gives, which differs little among people."
TURN = 0.15
"Radians by which a head's own axes may differ from those of MediaPipe's canonical face."


@dataclass(frozen=True)
class Posed:
    """What was found."""

    coefficients: np.ndarray
    "[K] of the identity, in standard deviations."
    expression: np.ndarray
    "[E] code of the portrait's own expression."
    scale: float
    "World units of a canonical unit."
    rotation: np.ndarray
    "[3, 3] from canonical to world axes."
    shift: np.ndarray
    "[3] world."
    off: float
    "Root mean square of how far landmarks are missed, in crop pixels, outline left out."

    def padded(self, count: int) -> np.ndarray:
        """[count] coefficients: those that were not looked for are the average's."""
        return np.pad(self.coefficients, (0, count - len(self.coefficients)))

    def to_world(self, places: np.ndarray) -> np.ndarray:
        """[..., 3] world places of canonical ones."""
        return self.scale * places @ self.rotation.T + self.shift


def fit(model: HeadModel, landmarks: np.ndarray, cam2world: np.ndarray) -> Posed:
    """The head whose landmarks the camera [4, 4] sees at `landmarks` [478, 3] (crop pixels, depth in the same)."""
    linear = _Linear.of(model)
    seen = landmarks[list(model.landmark_indices)].astype(np.float64)
    noise = np.where(np.isin(model.landmark_indices, points.JAW + points.FOREHEAD), OUTLINE_PIXELS, PIXELS)
    state = np.zeros(linear.identities + linear.expressions + 7)
    size = np.log(_size(linear, model, seen))
    state[-1] = size
    state[-4:-1] = optics.LOOK_AT * [1, 1, 0.5]
    for _ in range(STEPS):
        residual = _residual(linear, state, seen, cam2world, noise, size)
        slopes = _slopes(linear, state, seen, cam2world, noise, size, residual)
        state = state - np.linalg.solve(slopes.T @ slopes, slopes.T @ residual)
    pixels = _seen(linear, state, cam2world)[0] - seen[:, :2]
    inner = noise == PIXELS
    rotation = _turned(state[-7:-4])
    k = linear.identities
    code = linear.code_middle + state[k : k + linear.expressions] @ linear.code_basis
    return Posed(
        coefficients=state[:k],
        expression=code,
        scale=float(np.exp(state[-1])),
        rotation=rotation,
        shift=state[-4:-1],
        off=float(np.sqrt((pixels[inner] ** 2).sum(1).mean())),
    )


@dataclass(frozen=True)
class _Linear:
    """Landmarks = middle + identity @ by_identity + expression @ by_expression."""

    middle: np.ndarray
    by_identity: np.ndarray
    by_expression: np.ndarray
    code_middle: np.ndarray
    code_basis: np.ndarray

    @property
    def identities(self) -> int:
        return len(self.by_identity)

    @property
    def expressions(self) -> int:
        return len(self.by_expression)

    @classmethod
    @torch.no_grad()
    def of(cls, model: HeadModel) -> _Linear:
        rest = model.landmarks_of(model.mean[None])[0]
        by_identity = torch.einsum("kz,zlc->klc", model.basis[:IDENTITIES], model.landmarks[1:])
        codes = model.expressions
        middle = model.mean[None].expand(len(codes), -1)
        moved = model.deformation.displacement(rest[None].expand(len(codes), -1, -1), middle, codes).flatten(1)
        moves = moved - moved[0]
        left, size, axes = np.linalg.svd(moves.numpy().astype(np.float64), full_matrices=False)
        kept = min(EXPRESSIONS, len(size))
        spread = size[:kept] / np.sqrt(len(codes))
        # each direction's own mixture of the named codes; one standard deviation long, as the prior wants
        mixture = (left[:, :kept] / size[:kept] * spread).T
        return cls(
            (rest.flatten() + moved[0]).view(-1, 3).numpy().astype(np.float64),
            by_identity.numpy().astype(np.float64),
            (axes[:kept] * spread[:, None]).reshape(kept, -1, 3),
            codes[0].numpy().astype(np.float64),
            mixture @ (codes - codes[0]).numpy().astype(np.float64),
        )

    def places(self, state: np.ndarray) -> np.ndarray:
        k, e = self.identities, self.expressions
        return (
            self.middle
            + np.tensordot(state[:k], self.by_identity, 1)
            + np.tensordot(state[k : k + e], self.by_expression, 1)
        )


def _seen(linear: _Linear, state: np.ndarray, cam2world: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Pixels [L, 2], depths [L] in pixels beyond the landmarks' middle, and how far that is away in world units."""
    world = np.exp(state[-1]) * linear.places(state) @ _turned(state[-7:-4]).T + state[-4:-1]
    camera = (world - cam2world[:3, 3]) @ cam2world[:3, :3]
    focal = optics.FOCAL * CROP
    away = float(camera[:, 2].mean())
    depth = (camera[:, 2] - away) * focal / away
    return camera[:, :2] / camera[:, 2:] * focal + CROP / 2, depth, away


def _size(linear: _Linear, model: HeadModel, seen: np.ndarray) -> float:
    """World units of a canonical one, by the distance between the middles of the eyes of `seen` [L, 3], turned as the head may be."""
    corners = [
        [model.landmark_indices.index(k) for k in (eye[0], eye[8])] for eye in (points.EYE_RIGHT, points.EYE_LEFT)
    ]
    right, left = (linear.middle[pair].mean(0) for pair in corners)
    across = seen[corners[0]].mean(0) - seen[corners[1]].mean(0)
    pixels = float(np.hypot(np.hypot(across[0], across[1]), across[2]))
    return pixels / (optics.FOCAL * CROP) * optics.ORBIT_RADIUS / float(np.linalg.norm(right - left))


def _residual(
    linear: _Linear, state: np.ndarray, seen: np.ndarray, cam2world: np.ndarray, noise: np.ndarray, size: float
) -> np.ndarray:
    """[M] in standard deviations: 2 L of pixels, L of depth, place and size, coefficients, turn. `seen` [L, 3], `noise` [L]."""
    pixels, depth, distance = _seen(linear, state, cam2world)
    wanted = (seen[:, 2] - seen[:, 2].mean()) * DEEP_GAIN
    prior = state[: linear.identities + linear.expressions]
    return np.concatenate(
        [
            ((pixels - seen[:, :2]) / noise[:, None]).ravel(),
            (depth - wanted) / DEEP,
            [(distance - optics.ORBIT_RADIUS) / PLACE, (state[-1] - size) / SIZE],
            prior,
            state[-7:-4] / TURN,
        ]
    )


def _slopes(
    linear: _Linear,
    state: np.ndarray,
    seen: np.ndarray,
    cam2world: np.ndarray,
    noise: np.ndarray,
    size: float,
    base: np.ndarray,
) -> np.ndarray:
    """[M, K] by forward differences from `base` [M]: how each of _residual changes with each of `state` [K]."""
    step = 1e-5
    moved = (_residual(linear, state + step * one, seen, cam2world, noise, size) for one in np.eye(len(state)))
    return np.stack([(other - base) / step for other in moved], 1)


def _turned(vector: np.ndarray) -> np.ndarray:
    """[3, 3] rotation by a vector (Rodrigues)."""
    angle = float(np.linalg.norm(vector))
    cross = np.array([[0, -vector[2], vector[1]], [vector[2], 0, -vector[0]], [-vector[1], vector[0], 0]])
    if angle < 1e-9:
        return np.eye(3) + cross
    return np.eye(3) + np.sin(angle) / angle * cross + (1 - np.cos(angle)) / angle**2 * cross @ cross
