"""Geometry: a head of Gaussians for viewers who draw it themselves: its asset once, then 51 coefficients and a turn a frame."""

from __future__ import annotations

import numpy as np

from engines.actions import ACTIONS
from engines.geometry.cloud import Cloud, Target
from engines.geometry.motion import Motion
from engines.splats.avatar import SplatAvatar
from engines.splats.drive import SplatState

SEEN = 1 / 255
"Opacity below which a Gaussian is drawn nowhere: a twelfth of those of an exported head."


def asset(avatar: SplatAvatar) -> Cloud:
    """What is drawn of `avatar`, at rest, and how its actions move that."""
    kept = avatar.opacities >= SEEN
    places = np.cumsum(kept) - 1
    w, x, y, z = avatar.rotations[kept].T
    return Cloud(
        engine="splats",
        parallel=False,
        points=avatar.points[kept],
        scales=avatar.scales[kept],
        rotations=np.stack([x, y, z, w], axis=1),
        colours=avatar.colours[kept],
        opacities=avatar.opacities[kept],
        targets=tuple(_target(avatar, action, kept, places) for action in range(len(ACTIONS))),
    )


def motion(state: SplatState) -> Motion:
    """A driven state, as asset() of its avatar is moved by it."""
    none = np.zeros((0, 3), np.float32)
    joint = np.concatenate([state.turn, (state.pivot - state.turn @ state.pivot)[:, None]], axis=1)
    return Motion(joint[None].astype(np.float32), none, none[:, 0], state.weights)


def _target(avatar: SplatAvatar, action: int, kept: np.ndarray, places: np.ndarray) -> Target:
    own = slice(avatar.starts[action], avatar.starts[action + 1])
    which, moves = avatar.which[own], avatar.moves[own]
    seen = kept[which]
    return Target(ACTIONS[action], places[which[seen]].astype(np.int32), moves[seen])
