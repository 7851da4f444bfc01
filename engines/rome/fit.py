"""Fit: FLAME's codes from landmarks in a picture, by Gauss-Newton in a few thousand numbers; where no encoder is at hand.

Minimised are the distances of the landmarks' places on the head, projected, from where they are seen (-1..1 across the picture,
those of lids and inner lips three times), with ridges that hold codes to zero and the jaw nearly shut. Unknown are the codes, the
jaw, the head's rotation and the camera. Depths are not looked at: a picture's landmarks do not know theirs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from engines.rome.embedding import Embedding
from engines.rome.flame import Flame

NOISE = 1e-4
"Variance of landmarks in -1..1, and so the ridge of a code, whose unit is its standard deviation."
REST_JAW = np.array([0.05, 0.0, 0.0])
"Axis-angle of a mouth at rest."
JAW_RIDGE = NOISE / 0.15**2
FURTHEST_CODE = 3.0
LEAST_JAW, MOST_JAW = np.array([0.0, -0.15, -0.15]), np.array([0.5, 0.15, 0.15])
STEP = 1e-4
"Radians, of the jaw's derivatives."


@dataclass(frozen=True)
class Rig:
    """The vertices under some landmarks, as codes move them."""

    rest: np.ndarray
    "[3 K, 3] metres."
    moves: np.ndarray
    "[3 K, 3, C] metres by each of C codes."
    jaw_shapes: np.ndarray
    "[3 K, 3, 9]."
    jaw_weight: np.ndarray
    "[3 K, 1]."
    weights: np.ndarray
    "[K, 3] barycentric: three vertices make a landmark."
    joints: np.ndarray
    "[2, 3]: root and jaw."
    joint_moves: np.ndarray
    "[2, 3, C]."

    def points(self, codes: np.ndarray, jaw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Landmarks [K, 3] and root [3]."""
        root, hinge = self.joints + self.joint_moves @ codes
        return self._with_jaw(self.rest + self.moves @ codes, hinge, jaw), root

    def slopes(self, codes: np.ndarray, jaw: np.ndarray) -> np.ndarray:
        """[K, 3, C + 3]: how landmarks move with each code and with the jaw's angles."""
        shaped, hinge = self.rest + self.moves @ codes, self.joints[1] + self.joint_moves[1] @ codes
        still = self._with_jaw(shaped, hinge, jaw)
        by_jaw = [(self._with_jaw(shaped, hinge, jaw + step) - still) / STEP for step in STEP * np.eye(3)]
        turned = (rotation(jaw) - np.eye(3)) @ (self.moves - self.joint_moves[1])
        by_codes = self._landmarks(self.moves + self.jaw_weight[..., None] * turned)
        return np.concatenate((by_codes, np.stack(by_jaw, 2)), 2)

    def _with_jaw(self, shaped: np.ndarray, hinge: np.ndarray, jaw: np.ndarray) -> np.ndarray:
        """[L, 3] metres: landmarks of the shaped head [N, 3] with its jaw turned about `hinge` [3] by an axis-angle [3]."""
        opened = rotation(jaw) - np.eye(3)
        vertices = shaped + self.jaw_shapes @ opened.ravel()
        return self._landmarks(vertices + self.jaw_weight * ((vertices - hinge) @ opened.T))

    def _landmarks(self, vertices: np.ndarray) -> np.ndarray:
        """[K, ...] of [3 K, ...]."""
        corners = vertices.reshape(*self.weights.shape, -1)
        return (self.weights[:, None] @ corners).reshape(len(self.weights), *vertices.shape[1:])


@dataclass(frozen=True)
class Fitted:
    """A head as it was found."""

    codes: np.ndarray
    "[C]."
    jaw: np.ndarray
    "[3] axis-angle."
    turn: np.ndarray
    "[3, 3] rotation about the root."
    cam: np.ndarray
    "[3]: scale, x, y of the parallel projection onto -1..1."


def rig(flame: Flame, embedding: Embedding, shape: np.ndarray | None = None) -> Rig:
    """Of a head with these shape codes [100], moved by its expressions; without them, by all shapes and expressions."""
    held = {name: tensor.cpu().double().numpy() for name, tensor in flame.named_buffers() if name in flame.names()}
    corners = embedding.corners.ravel()
    rest, moves = held["template"], held["expressions"]
    if shape is None:
        moves = np.concatenate((held["shapes"], moves), 2)
    else:
        rest = rest + held["shapes"] @ shape
    return Rig(
        rest[corners],
        moves[corners],
        held["jaw_shapes"][corners],
        held["jaw_weight"][corners, None],
        embedding.weights,
        held["joints"] @ rest,
        np.einsum("jn,nck->jck", held["joints"], moves),
    )


def fitted(
    rig: Rig,
    seen: np.ndarray,  # [K, 2] in -1..1, x right, y down
    emphasis: np.ndarray,  # [K]
    start: Fitted,
    steps: int = 3,
) -> Fitted:
    """The head that shows its landmarks where they are seen, from `start`; codes and jaw within what is plausible."""
    found = start
    for _ in range(steps):
        found = _stepped(rig, seen, emphasis, found)
    return found


def _stepped(rig: Rig, seen: np.ndarray, emphasis: np.ndarray, at: Fitted) -> Fitted:
    """One step of Gauss and Newton towards landmarks `seen` [L, 2], each of which counts as `emphasis` [L] says."""
    points, root = rig.points(at.codes, at.jaw)
    turned = (points - root) @ at.turn.T
    scale, count = at.cam[0], len(at.codes)
    places = turned + root
    shown = np.array([1.0, -1.0]) * scale * (places[:, :2] + at.cam[1:])
    by_pose = at.turn @ rig.slopes(at.codes, at.jaw)
    by_pose[..., :count] += (np.eye(3) - at.turn) @ rig.joint_moves[0]
    x, y, z = turned.T
    none = np.zeros_like(x)
    by_turn = np.stack((np.stack((none, z, -y), 1), np.stack((-z, none, x), 1)), 1)  # of a small turn before the shift
    by_cam = np.zeros((len(points), 2, 3))
    by_cam[:, 0, 0], by_cam[:, 1, 0] = places[:, 0] + at.cam[1], places[:, 1] + at.cam[2]
    by_cam[:, 0, 1] = by_cam[:, 1, 2] = scale
    in_metres = np.concatenate((by_pose[:, :2], by_turn), 2) * scale
    jacobian = np.concatenate((in_metres, by_cam), 2) * np.array([1.0, -1.0])[:, None]
    weight = np.repeat(np.sqrt(emphasis), 2)[:, None]
    slopes, left = jacobian.reshape(-1, count + 9) * weight, (seen - shown).reshape(-1, 1) * weight
    ridge = np.concatenate((np.full(count, NOISE), np.full(3, JAW_RIDGE), np.full(6, 1e-9)))
    away = np.concatenate((at.codes, at.jaw - REST_JAW, np.zeros(6)))
    step = np.linalg.solve(slopes.T @ slopes + np.diag(ridge), (slopes.T @ left)[:, 0] - ridge * away)
    return replace(
        at,
        codes=np.clip(at.codes + step[:count], -FURTHEST_CODE, FURTHEST_CODE),
        jaw=np.clip(at.jaw + step[count : count + 3], LEAST_JAW, MOST_JAW),
        turn=rotation(step[count + 3 : count + 6]) @ at.turn,
        cam=at.cam + step[count + 6 :],
    )


def from_rotation(rig: Rig, seen: np.ndarray, turn: np.ndarray) -> Fitted:
    """A start: the head at rest, turned by [3, 3], with the camera that shows it best on points seen [K, 2] (linear least squares)."""
    none = np.zeros(rig.moves.shape[2])
    points, root = rig.points(none, REST_JAW)
    places = ((points - root) @ turn.T + root)[:, :2] * [1, -1]
    at, of = places - places.mean(0), seen - seen.mean(0)
    scale = float((at * of).sum() / (at**2).sum())
    shift = (seen.mean(0) - scale * places.mean(0)) / scale * [1, -1]
    return Fitted(none, REST_JAW, turn, np.array([scale, *shift]))


def rotation(axis_angle: np.ndarray) -> np.ndarray:
    """[3, 3] (Rodrigues' formula)."""
    angle = float(np.linalg.norm(axis_angle))
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = axis_angle / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
