"""Enrol: everything that depends on the portrait alone, once: its planes and all they and its face add to the transfer.

Where the official preprocessing is replaced: landmarks, pose and the crop's place come from MediaPipe's mesh fitted to the
canonical face instead of face-alignment with Deep3DFaceRecon (pipeline/preprocess/framing.py states how closely the framing
agrees), and the matte is the pipeline's instead of MODNet's. The rest is as published: picture times matte, cut off to whole
bytes, on black, 512 x 512.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from engines.contract import FaceObservation, PortraitRejected
from engines.staging import onto
from engines.voodoo3d.network import Voodoo3D


@dataclass(frozen=True)
class Samples:
    """How finely rays are looked along, by every march."""

    coarse: int = 96
    fine: int = 96


@dataclass(frozen=True)
class Voodoo3dAvatar:
    """A portrait as the transfer wants it; 29 MB."""

    planes: Tensor
    "[1, 3, 32, 256, 256]."
    source_share: Tensor
    "[1, 1024, 32, 32]: what the portrait's frontal view and planes add to the transfer's patch embedding."
    mouth_seen: bool = True
    "Whether the portrait shows a mouth. An expression moves the whole face at once, so without one there is none."


def enrol(network: Voodoo3D, portrait: FaceObservation, samples: Samples) -> Voodoo3dAvatar:
    """One lift, one frontal march, one super-resolution. Raises PortraitRejected."""
    if portrait.crop is None or portrait.matte is None:
        raise PortraitRejected("no_picture", "this portrait was kept without its picture; upload it again")
    planes = network.lift(picture01(portrait, network))
    frontal01 = network.source_frontal(planes, samples.coarse, samples.fine)
    return Voodoo3dAvatar(planes, network.source_share(frontal01, planes), portrait.mouth_seen)


def picture01(seen: FaceObservation, network: Voodoo3D) -> Tensor:
    """[1, 3, S, S] in 0..1: the crop on black, at the side the network takes."""
    assert seen.crop is not None
    matte = 1.0 if seen.matte is None else seen.matte[..., None]
    on_black = (seen.crop * matte).astype(np.uint8)
    picture = onto(on_black, network.device).permute(2, 0, 1)[None].float() / 255
    side = network.arch.image
    return picture if picture.shape[-1] == side else F.interpolate(picture, size=(side, side), mode="area")
