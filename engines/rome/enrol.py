"""Enrol: everything that depends on the portrait alone: its texture, its head's shape, and how that head stands in the display.

As published, but for who finds what: landmarks and matte are the pipeline's (MediaPipe, docs/rome.md shows which of its 478 points
stand for the 68), the picture is the pipeline's crop, and the head's place in it comes from a fit of FLAME to the landmarks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from engines.contract import CROP, FaceObservation, PortraitRejected
from engines.rome import crops, embedding, fit
from engines.rome.architecture import SHAPE
from engines.rome.embedding import Embedding
from engines.rome.network import Rome
from engines.runtime import say_once
from engines.staging import onto

STEPS = 8
"Of the portrait's fit, whose 159 unknowns start from an average face."

PLAUSIBLE = 4.0, 20.0
"Half crops by the metre; a crop in the agreed framing has about 9, which a head of 20 cm fills."


@dataclass(frozen=True)
class Stand:
    """How a FLAME head stands in the display's world, whose axes are those of a face at rest (display/optics.py)."""

    upright: np.ndarray
    "[3, 3]: from FLAME's axes to the world's; they agree but for what each calls looking straight ahead."
    middle: np.ndarray
    "[3] metres, FLAME's frame: what views turn about, and what lies on the plane of the glass."
    scale: float
    "Of the parallel projection: half crops by the metre."


@dataclass(frozen=True)
class RomeAvatar:
    """A portrait as ROME knows it; 2 MB."""

    texture: Tensor
    "[1, 8, 256, 256]."
    shape: Tensor
    "[1, 100]."
    coefficients: Tensor | None
    "[1, 60], of the linear model."
    stand: Stand
    embedding: Embedding
    rig: fit.Rig
    "Of the landmarks' places on this head, moved by expressions."
    mouth_seen: bool = True
    "Whether the portrait shows a mouth. FLAME's expressions move all of a face, so without one there is none."


def enrol(network: Rome, portrait: FaceObservation) -> RomeAvatar:
    """One texture; with DECA's encoder one look for the shape, without it a fit. Raises PortraitRejected."""
    if portrait.crop is None or portrait.matte is None:
        raise PortraitRejected("no_picture", "this portrait was kept without its picture; upload it again")
    if not np.isfinite(portrait.landmarks).all():
        raise PortraitRejected("no_face", "no face could be measured in this picture; use one that shows a whole face")
    image, matte = aligned(network, portrait)
    places, head = _found(network, portrait)
    shape = torch.from_numpy(head.codes[None, :SHAPE]).float()
    if network.deca is not None:
        shape = network.codes(_about_face(image, portrait, network.arch.crop))["shape"]
    rig = fit.rig(network.flame, places, shape.cpu().double().numpy()[0])
    head = _fitted(rig, portrait, places)
    return RomeAvatar(
        network.texture(image, matte),
        shape.to(network.device),
        network.coefficients(image) if network.linear is not None else None,
        _stand(rig, head, portrait.head_rotation),
        places,
        rig,
        portrait.mouth_seen,
    )


def in_picture(landmarks: np.ndarray) -> np.ndarray:
    """Crop pixels [..., 2 or 3] as places [..., 2] in -1..1."""
    return landmarks[..., :2].astype(np.float64) / (CROP / 2) - 1


def picture01(crop: np.ndarray, network: Rome) -> Tensor:
    """[1, C, S, S] in 0..1 of a crop [512, 512, C] uint8, or float in 0..1, at the side that the networks take."""
    picture = onto(crop, network.device).permute(2, 0, 1)[None].float()
    picture = picture / 255 if crop.dtype == np.uint8 else picture
    side = network.arch.image
    return F.interpolate(picture, size=(side, side), mode="area")


def aligned(network: Rome, portrait: FaceObservation) -> tuple[Tensor, Tensor]:
    """Picture [1, 3, S, S] and matte [1, 1, S, S] as the texture encoder wants them; what lies outside the crop is black."""
    assert portrait.crop is not None
    assert portrait.matte is not None
    whole = torch.cat((picture01(portrait.crop, network), picture01(portrait.matte[..., None], network)), 1)
    theta = crops.alignment(in_picture(portrait.landmarks[crops.SIXTY_EIGHT]))
    seen = crops.aligned(whole, theta, network.arch.image)
    return seen[:, :3], seen[:, 3:]


def _about_face(image: Tensor, portrait: FaceObservation, side: int) -> Tensor:
    """[1, 3, side, side]: what DECA's encoder sees of the aligned portrait [1, 3, S, S]."""
    points = in_picture(portrait.landmarks[crops.SIXTY_EIGHT])
    there = crops.into_aligned(points, crops.alignment(points))
    return crops.cut(image, crops.box_about(there), side)


def _found(network: Rome, portrait: FaceObservation) -> tuple[Embedding, fit.Fitted]:
    """Where the portrait's landmarks lie on a head, by the embedding that was imported if it is of such a head; and that head."""
    if network.embedding is not None:
        head = _fitted(fit.rig(network.flame, network.embedding), portrait, network.embedding)
        if PLAUSIBLE[0] < head.cam[0] < PLAUSIBLE[1]:
            return network.embedding, head
        say_once("the landmark embedding is of another head than this FLAME model's; places are looked for instead")
    flame = network.flame
    places = embedding.found(portrait.shape, flame.template.cpu().numpy(), flame.faces.cpu().numpy())
    return places, _fitted(fit.rig(flame, places), portrait, places)


def _fitted(rig: fit.Rig, portrait: FaceObservation, places: Embedding) -> fit.Fitted:
    """Codes, turn and camera of the head that the crop shows, from how the pipeline saw it turned."""
    seen = in_picture(portrait.landmarks[places.landmarks])
    start = fit.from_rotation(rig, seen, portrait.head_rotation.astype(np.float64))
    return fit.fitted(rig, seen, places.emphasis, start, STEPS)


def _stand(rig: fit.Rig, head: fit.Fitted, turned: np.ndarray) -> Stand:
    """`rig`: of this head at rest; `head`: as it was found in the crop, where it is `turned` [3, 3] from rest."""
    points, root = rig.points(np.zeros(rig.moves.shape[2]), fit.REST_JAW)
    depth = ((points - root) @ head.turn.T + root)[:, 2].mean()
    in_the_middle = np.array([-head.cam[1], -head.cam[2], depth])
    middle = (in_the_middle - root) @ head.turn + root
    return Stand(turned.astype(np.float64).T @ head.turn, middle, float(head.cam[0]))
