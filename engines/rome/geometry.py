"""Geometry: a head and how it is driven, for whoever draws it elsewhere: a preview. Its face moves exactly as it is driven, by FLAME's own
shapes and joints; hair and shoulders stay as they are at rest, and no network shades it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from display.optics import HALF_PICTURE, LOOK_AT
from engines.geometry import charts, shapes
from engines.geometry.asset import Asset, Part
from engines.geometry.motion import Motion
from engines.raster import plain
from engines.rome import exported
from engines.rome.architecture import EXPRESSION
from engines.rome.drive import RomeState, at_rest
from engines.rome.enrol import RomeAvatar, Stand
from engines.rome.flame import atlas, rotation
from engines.rome.network import Rome

SIDE = 512
"Texels of the atlas, which is laid out as the head's own texture."
UNSCALED = 64
"Pictures of up to so few pixels alone are drawn from a smaller atlas."
LEAST = 1e-4
"World units, a twelfth of a pixel of the crop, below which a shape moves nothing."
HEAD, JAW = 1, 2
"Joints."


def asset(network: Rome, avatar: RomeAvatar) -> Asset:
    """What is drawn of the avatar, at rest, and what moves with what."""
    flame, stand = network.flame, avatar.stand
    rest = at_rest(network, avatar)
    codes = {"shape": avatar.shape, "exp": rest.face[:, :EXPRESSION] * 0, "pose": rest.face.new_zeros(1, 6)}
    still = network.posed(codes).vertices  # as joints and shapes move it
    left = rest.vertices - network.posed(codes | {"pose": _jaw(rest)}).vertices
    corners = (flame.corners_uv.cpu().numpy() + 1) * SIDE / 2
    source, uv, drawn = charts.welded(flame.faces.cpu().numpy(), corners)
    hinged = flame.jaw_weight.cpu().numpy()[source]
    joints, weights = np.zeros((len(source), 4), np.uint8), np.zeros((len(source), 4), np.float32)
    joints[:, 0], joints[:, 1] = HEAD, np.where(hinged > 0, JAW, 0)
    weights[:, 0], weights[:, 1] = 1 - hinged, hinged
    return Asset(
        engine="rome",
        parallel=True,
        points=_placed(stand, (still + left)[0])[source],
        uv=(uv / SIDE).astype(np.float32),
        light=np.ones(len(source), np.float32),
        shade=np.zeros(len(source), np.int32),
        joints=joints,
        weights=weights,
        moves=shapes.moves(_shapes(network, stand), _sizes(network, stand), LEAST)[source],
        parts=(Part(drawn, culled=True),),
        atlas=_atlas(network, rest),
        crop=UNSCALED,
        largest=1.0,
    )


def motion(network: Rome, state: RomeState) -> Motion:
    """How the state differs from its avatar at rest: coefficients, the jaw's turn, the head's."""
    stand = state.avatar.stand
    jaw = rotation(state.face[:, EXPRESSION:])[0].cpu().numpy()
    opened = (jaw - np.eye(3)).ravel()
    coefficients = np.concatenate([state.face[0, :EXPRESSION].cpu().numpy(), opened])
    root, hinge = (_placed(stand, place)[0] for place in (state.root, state.hinge))
    in_world = stand.upright @ jaw @ stand.upright.T
    head, turned = _about(root, state.turn), _about(hinge, in_world)
    joints = np.stack([head, head @ turned])[:, :3].astype(np.float32)
    return Motion(joints, shapes.controls(coefficients, _sizes(network, stand)), np.zeros(0, np.float32))


def _jaw(rest: RomeState) -> Tensor:
    """[1, 6]: the axis-angles of a head that is not turned, and of its jaw."""
    return torch.cat((torch.zeros_like(rest.face[:, EXPRESSION:]), rest.face[:, EXPRESSION:]), 1)


def _scale(stand: Stand) -> np.ndarray:
    """[3, 3]: from FLAME's metres and axes to the world's."""
    return stand.scale * HALF_PICTURE * stand.upright


def _placed(stand: Stand, points: Tensor) -> np.ndarray:
    """[N, 3] float32 world of a head at rest: what its views turn about lies in the middle of the cameras' orbit."""
    return (LOOK_AT + (points.cpu().numpy() - stand.middle) @ _scale(stand).T).astype(np.float32)


def _about(place: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """[4, 4]: turned about a place."""
    whole = np.eye(4)
    whole[:3, :3], whole[:3, 3] = turn, place - turn @ place
    return whole


def _shapes(network: Rome, stand: Stand) -> np.ndarray:
    """[59, N, 3] world: expressions, and what the jaw's turn does besides turning."""
    flame = network.flame
    both = torch.cat((flame.expressions, flame.jaw_shapes), 2).cpu().numpy()
    return np.einsum("nck,dc->knd", both, _scale(stand)).astype(np.float32)


def _sizes(network: Rome, stand: Stand) -> np.ndarray:
    """[59] float32: the furthest that any vertex goes by each of `_shapes`, whichever way the head stands."""
    flame = network.flame
    furthest = [part.norm(dim=1).amax(0).clamp(min=1e-9) for part in (flame.expressions, flame.jaw_shapes)]
    return (stand.scale * HALF_PICTURE * torch.cat(furthest).cpu().numpy()).astype(np.float32)


def _atlas(network: Rome, rest: RomeState) -> np.ndarray:
    """[SIDE, SIDE, 4] uint8: what the head's views show, laid out as its texture; islands' colours go on beyond their edges."""
    import cv2

    flame = network.flame
    middle = torch.from_numpy(rest.avatar.stand.middle.astype(np.float32)).to(network.device)
    colours = exported.coloured(network, rest, middle)
    seen = atlas(flame.uv, flame.uv_faces, SIDE)
    laid = plain.interpolated(seen, colours[flame.faces.long()])[0].permute(1, 2, 0)
    pixels = (laid * 255).round().clamp(0, 255).byte().cpu().numpy()
    known = (seen.face[0] >= 0).cpu().numpy().astype(np.uint8)
    _, nearest = cv2.distanceTransformWithLabels(1 - known, cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL)
    label = np.asarray(nearest, np.int64)
    of_label = np.zeros((int(label.max()) + 1, 3), np.uint8)
    of_label[label[known > 0]] = pixels[known > 0]
    return np.dstack([of_label[label], np.full(known.shape, 255, np.uint8)])
