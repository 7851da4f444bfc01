"""Fit: which head, with which expression, standing how, shows its 478 points where a picture has them. Gauss-Newton; numpy alone.

Points are linear in identity and expression, so a step is one small linear system (about 120 unknowns). A picture tells little of
depth: MediaPipe's own counts a little, and the rest is the prior's, that of made-up people.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engines.contract import CROP
from engines.morphable.model import Head

PIXELS_PER_CM = 21.94
"Of the crop (pipeline/preprocess/framing.py)."
DISTANCE = 90.0
"Centimetres from which a portrait is taken to be photographed: a picture alone tells this badly. Of webcams it is 60, of portraits 150."
STEPS = 8
POINT, OUTLINE, HIDDEN = 0.22, 0.5, 1.0
"""Centimetres: standard deviations of a landmark across, of one on the outline, which FaceMesh slides along the cheeks, and of one that
is turned away, where it guesses. Neighbours are off alike, so that these are larger than what a single point is off by."""
DEEP, DEEP_GAIN, DEEP_SPREAD = 1.0, 1.35, 0.2
"Of a landmark's depth; what MediaPipe's flat depths have to be multiplied with, and the spread of that: it differs from face to face."
TURN, SCALE = 0.12, 0.06
"Radians and share by which a head may stand and be large otherwise than MediaPipe's own fit says."
USUAL, RARE, LOPSIDED = 0.5, 0.15, 0.2
"Standard deviations of an action; of those that a portrait hardly ever shows or that look like somebody's shape; of left against right."
RARELY = (
    "jawForward",
    "jawLeft",
    "jawRight",
    "cheekPuff",
    "mouthLeft",
    "mouthRight",
    "noseSneer",
    "mouthRoll",
    "mouthShrug",
)
LOOKS = ("eyeLook",)
"Actions that turn the eyes: where irises are is measured, not fitted."
OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
IRISES = 468


@dataclass(frozen=True)
class Fitted:
    """What was found."""

    identity: np.ndarray
    "[K], in standard deviations."
    expression: np.ndarray
    "[A] 0..1."
    rotation: np.ndarray
    "[3, 3]: turns the head at rest to the head as seen, y up."
    scale: float
    "Of the head, in canonical centimetres."
    shift: np.ndarray
    "[3] centimetres from the crop's middle: right, up, towards the viewer."
    off: float
    "Root mean square of how far points that are seen are missed, in centimetres."

    def seen(self, places: np.ndarray) -> np.ndarray:
        """[..., 3] crop pixels, x right, y down, z into the scene, of places on the head; in perspective."""
        world = self.scale * places @ self.rotation.T + self.shift
        return _projected(world)


def _projected(world: np.ndarray) -> np.ndarray:
    nearer = PIXELS_PER_CM * DISTANCE / (DISTANCE - world[..., 2:])
    across = world[..., :2] * [1.0, -1.0] * nearer + CROP / 2
    return np.concatenate([across, -PIXELS_PER_CM * world[..., 2:]], axis=-1)


def fit(head: Head, landmarks: np.ndarray, rotation: np.ndarray, doubt: float = 1.0) -> Fitted:
    """The head of `landmarks` [478, 3] in crop pixels, which MediaPipe sees turned by `rotation` [3, 3] (y up, no roll).

    `doubt` multiplies by how much landmarks may be off: 1 where the head is to lie beneath them; more where it is asked what people
    usually look like who show such a face."""
    mean, modes, actions = (part.astype(np.float64) for part in head.points)
    k, a = len(modes), len(actions)
    spread = _action_spread(head.action_names)
    wanted = np.column_stack([(landmarks[:, :2] - CROP / 2) * [1, -1], -landmarks[:, 2:]]) / PIXELS_PER_CM
    wanted[:, 2] -= wanted[:IRISES, 2].mean()
    state, turn = np.zeros(k + a + 8), rotation.astype(np.float64)
    state[-5:-2] = wanted.mean(0) - (mean @ turn.T).mean(0)
    known = _Problem(
        mean,
        modes,
        actions,
        wanted,
        doubt * _noise(mean @ turn.T),
        doubt * DEEP,
        spread,
        np.pad(_sides(head.action_names), ((0, 0), (k, 8))),
        turn,
    )
    for _ in range(STEPS):
        state = known.step(state)
    return known.found(state)


def _action_spread(names: tuple[str, ...]) -> np.ndarray:
    """[A] standard deviations."""
    return np.array([1e-4 if n.startswith(LOOKS) else RARE if n.startswith(RARELY) else USUAL for n in names])


def _sides(names: tuple[str, ...]) -> np.ndarray:
    """[P, A]: by how much each pair of actions differs, in standard deviations of LOPSIDED."""
    rights = [
        (k, names.index(n.replace("Left", "Right")))
        for k, n in enumerate(names)
        if n.endswith("Left") and n not in ("jawLeft", "mouthLeft")
    ]
    rows = np.zeros((len(rights), len(names)))
    for row, (left, right) in zip(rows, rights, strict=True):
        row[[left, right]] = 1 / LOPSIDED, -1 / LOPSIDED
    return rows


def _noise(turned: np.ndarray) -> np.ndarray:
    """[478] centimetres across, of points [478, 3] turned as the head is: what lies behind the turned face's rim is guessed."""
    noise = np.full(len(turned), POINT)
    noise[list(OVAL)] = OUTLINE
    middle = turned[:IRISES].mean(0)
    outward = turned - [middle[0], turned[:, 1].mean(), middle[2] - 6.0]  # a face is about a ball of nine centimetres
    outward[:, 1] *= 0.5
    facing = outward[:, 2] / np.linalg.norm(outward, axis=1)
    hidden = np.clip((0.45 - facing) / 0.3, 0.0, 1.0)
    return np.maximum(noise, POINT + (HIDDEN - POINT) * hidden)


@dataclass
class _Problem:
    mean: np.ndarray
    modes: np.ndarray
    actions: np.ndarray
    wanted: np.ndarray
    noise: np.ndarray
    deep: float
    spread: np.ndarray
    sides: np.ndarray
    turn: np.ndarray

    def step(self, state: np.ndarray) -> np.ndarray:
        """One Gauss-Newton step; actions that would be negative or more than whole are held there and the rest solved anew."""
        slopes, residual = self._linear(state)
        k, a = len(self.modes), len(self.actions)
        normal, right = slopes.T @ slopes, slopes.T @ (slopes @ state - residual)
        free, fixed, solved = np.ones(len(state), bool), np.zeros(len(state)), state
        for _ in range(6):
            solved = fixed.copy()
            pulled = right[free] - normal[np.ix_(free, ~free)] @ fixed[~free]
            solved[free] = np.linalg.solve(normal[np.ix_(free, free)], pulled)
            faces = solved[k : k + a]
            outside = np.flatnonzero((faces < -1e-9) | (faces > 1 + 1e-9)) + k
            if not len(outside):
                break
            fixed[outside] = np.clip(solved[outside], 0.0, 1.0)
            free[outside] = False
        return np.where(free, solved, fixed)

    def _linear(self, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(slopes [M, S], residuals [M]) in standard deviations, at `state` [S]."""
        rotation, scale, places, world = self._placed(state)
        nearer = DISTANCE / (DISTANCE - world[:, 2])
        across = world[:, :2] * nearer[:, None]
        depth = world[:, 2] - world[:IRISES, 2].mean()
        turned = scale * places @ rotation.T
        moves = scale * np.concatenate([self.modes, self.actions]) @ rotation.T
        whirls = np.stack([np.cross(axis, turned) for axis in np.eye(3)])
        shifts = np.broadcast_to(np.eye(3)[:, None], (3, len(turned), 3))
        d_world = np.concatenate([moves, whirls, shifts, turned[None], np.zeros((1, *turned.shape))])
        d_across = d_world[..., :2] * nearer[:, None] + across[:, :] * (d_world[..., 2] * nearer / DISTANCE)[..., None]
        d_depth = d_world[..., 2] - d_world[:, :IRISES, 2].mean(axis=1, keepdims=True)
        d_depth[-1] = -self.wanted[:, 2]
        apart = (depth - (DEEP_GAIN + state[-1]) * self.wanted[:, 2]) / self.deep
        off = ((across - self.wanted[:, :2]) / self.noise[:, None])[:IRISES]
        prior = np.concatenate(
            [np.ones(len(self.modes)), self.spread, np.full(3, TURN), [np.inf, np.inf, 1.0, SCALE, DEEP_SPREAD]]
        )
        slopes = np.concatenate(
            [
                (d_across / self.noise[:, None])[:, :IRISES].reshape(len(d_world), -1).T,
                (d_depth / self.deep)[:, :IRISES].T,
                np.diag(1 / prior),
                self.sides,
            ]
        )
        residual = np.concatenate([off.ravel(), apart[:IRISES], state / prior, self.sides @ state])
        return slopes, residual

    def _placed(self, state: np.ndarray) -> tuple[np.ndarray, float, np.ndarray, np.ndarray]:
        """Rotation, scale, places on the head [478, 3] and where they are [478, 3]."""
        k, a = len(self.modes), len(self.actions)
        places = self.mean + np.tensordot(state[:k], self.modes, 1) + np.tensordot(state[k : k + a], self.actions, 1)
        rotation, scale = turned_by(state[k + a : k + a + 3]) @ self.turn, float(np.exp(state[-2]))
        return rotation, scale, places, scale * places @ rotation.T + state[-5:-2]

    def found(self, state: np.ndarray) -> Fitted:
        k, a = len(self.modes), len(self.actions)
        rotation, scale, _, world = self._placed(state)
        nearer = DISTANCE / (DISTANCE - world[:, 2:])
        clear = (self.noise < 2 * self.noise.min()) & (np.arange(len(world)) < IRISES)
        off = (world[:, :2] * nearer - self.wanted[:, :2])[clear]
        return Fitted(
            state[:k].copy(),
            np.clip(state[k : k + a], 0.0, 1.0),
            rotation,
            scale,
            state[-5:-2].copy(),
            float(np.sqrt((off**2).sum(1).mean())),
        )


def turned_by(vector: np.ndarray) -> np.ndarray:
    """[3, 3] rotation by a vector (Rodrigues)."""
    angle = float(np.linalg.norm(vector))
    cross = np.array([[0, -vector[2], vector[1]], [vector[2], 0, -vector[0]], [-vector[1], vector[0], 0]])
    if angle < 1e-9:
        return np.eye(3) + cross
    return np.eye(3) + np.sin(angle) / angle * cross + (1 - np.cos(angle)) / angle**2 * cross @ cross
