"""Drive: the avatar's head as a driver's face moves it. Head turns are the pipeline's; expression and jaw are read off
the picture, by the linear model's small regressor or by DECA's encoder, whichever was imported, or else fitted.

Eyes stay at rest, as published: where they look is in the texture alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engines.contract import FaceObservation
from engines.rome import crops, fit
from engines.rome.architecture import EXPRESSION
from engines.rome.embedding import CENTIMETRES
from engines.rome.enrol import RomeAvatar, in_picture, picture01
from engines.rome.network import Codes, Rome
from engines.staging import onto
from engines.turns import part_of_turn

FURTHEST = 5.0
"Centimetres from its rest beyond which no landmark counts."


@dataclass(frozen=True)
class RomeState:
    """The avatar at one moment."""

    avatar: RomeAvatar
    vertices: Tensor
    "[1, N, 3] metres, the head's frame."
    normals: Tensor
    "[1, N, 3]."
    root: Tensor
    "[1, 3]: what the head turns about."
    turn: np.ndarray
    "[3, 3], in the display's world: how the head is turned from rest."
    hinge: Tensor
    "[1, 3]: what the jaw turns about."
    face: Tensor
    "[1, 53]: the expression's coefficients, and the jaw's axis-angle."


def drive(network: Rome, avatar: RomeAvatar, seen: FaceObservation) -> RomeState:
    """Codes, the posed head, and its hair and shoulders: by the geometry U-Net, or by the linear model where that is loaded."""
    presence = float(np.clip(np.nan_to_num(seen.presence), 0.0, 1.0))
    turn = seen.head_rotation.astype(np.float64)
    if not np.isfinite(turn).all():
        turn = np.eye(3)
    return _state(network, avatar, codes_of(network, avatar, seen, presence), part_of_turn(turn, presence))


def at_rest(network: Rome, avatar: RomeAvatar) -> RomeState:
    """The avatar looking straight ahead, without an expression."""
    return _state(network, avatar, _at_rest(network, avatar), np.eye(3))


def _state(network: Rome, avatar: RomeAvatar, codes: Codes, turn: np.ndarray) -> RomeState:
    posed = network.posed(codes)
    if avatar.coefficients is not None and network.basis is not None:
        vertices = posed.vertices + network.basis(avatar.coefficients.to(network.device))
    else:
        vertices = network.dressed(avatar.texture, posed.vertices)
    face = torch.cat((codes["exp"], codes["pose"][:, 3:]), 1)
    return RomeState(avatar, vertices, network.flame.normals(vertices), posed.root, turn, posed.hinge, face)


def codes_of(network: Rome, avatar: RomeAvatar, seen: FaceObservation, presence: float) -> Codes:
    """Shape of the avatar, expression and jaw of the driver, `presence` of the way from rest; at rest where no mouth may open."""
    shape = avatar.shape.to(network.device)
    if (
        presence == 0
        or not avatar.mouth_seen
        or not (np.isfinite(seen.landmarks).all() and np.isfinite(seen.shape).all())
    ):
        return _at_rest(network, avatar)
    if network.mobile is not None and seen.crop is not None:
        found = network.mobile_codes(picture01(seen.crop, network))
        return _codes(shape, presence * torch.cat((found["exp"], found["pose"]), 1))
    if network.deca is not None and seen.crop is not None:
        box = crops.box_about(in_picture(seen.landmarks[crops.SIXTY_EIGHT]))
        found = network.codes(crops.cut(picture01(seen.crop, network), box, network.arch.crop))
        return _codes(shape, presence * torch.cat((found["exp"], found["pose"]), 1))
    fitted = fitted_to(avatar, seen)
    eased = fit.REST_JAW + presence * (fitted.jaw - fit.REST_JAW)
    moved = np.concatenate((presence * fitted.codes, np.zeros(3), eased))
    return _codes(shape, onto(moved[None].astype(np.float32), network.device))


def _at_rest(network: Rome, avatar: RomeAvatar) -> Codes:
    rest = np.concatenate((np.zeros(EXPRESSION + 3), fit.REST_JAW))[None].astype(np.float32)
    return _codes(avatar.shape.to(network.device), onto(rest, network.device))


def fitted_to(avatar: RomeAvatar, seen: FaceObservation) -> fit.Fitted:
    """The expression that moves the avatar's landmarks as the driver's move from rest, seen from where the driver is seen.

    How the two faces differ at rest is nobody's expression, and neither is how far a landmark's place on the head is off.
    """
    rig, places, stand = avatar.rig, avatar.embedding, avatar.stand
    none = np.zeros(rig.moves.shape[2])
    rest, root = rig.points(none, fit.REST_JAW)
    moved = (seen.shape - seen.neutral)[places.landmarks].astype(np.float64).clip(-FURTHEST, FURTHEST) / CENTIMETRES
    upright = seen.head_rotation.astype(np.float64) @ stand.upright
    shown = (rest + moved @ stand.upright - root) @ upright.T + root
    cam = np.array([stand.scale, 0.0, 0.0])
    start = fit.Fitted(none, fit.REST_JAW, upright, cam)
    return fit.fitted(rig, cam[0] * shown[:, :2] * [1, -1], places.emphasis, start)


def _codes(shape: Tensor, moved: Tensor) -> dict[str, Tensor]:
    """`moved` [1, 56]: expression, then axis-angles of head and jaw."""
    return {"shape": shape, "exp": moved[:, :EXPRESSION], "pose": moved[:, EXPRESSION:]}
