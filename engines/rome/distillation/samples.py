"""Samples: what the full model makes of one portrait, and all of them on disk, so that nothing is done twice."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from display import optics
from display.optics import Cameras
from engines.contract import CROP, FaceObservation
from engines.rome import enrol
from engines.rome.drive import RomeState, codes_of, drive
from engines.rome.network import Rome
from engines.rome.render import render
from engines.staging import onto


@dataclass(frozen=True)
class Sample:
    """What the full model makes of one portrait."""

    image: Tensor
    "[3, S, S] uint8: the aligned portrait."
    offsets: Tensor
    "[N, 3] float32 metres: how far the full model takes each vertex from the posed head."
    error: float
    "Mean absolute difference, 0..1, of the full model's picture from the portrait where the person is."


@torch.no_grad()
def sampled(network: Rome, portrait: FaceObservation) -> Sample:
    """The portrait as its own driver, by the full model. Raises PortraitRejected."""
    image, _ = enrol.aligned(network, portrait)
    avatar = enrol.enrol(network, portrait)
    state = drive(network, avatar, portrait)
    posed = network.posed(codes_of(network, avatar, portrait, 1.0)).vertices
    error = picture_error(network, state, portrait)
    return Sample((255 * image[0]).round().byte().cpu(), (state.vertices - posed)[0].cpu(), error)


@torch.no_grad()
def own_picture_error(network: Rome, portrait: FaceObservation) -> float:
    """picture_error of the portrait as its own driver."""
    return picture_error(network, drive(network, enrol.enrol(network, portrait), portrait), portrait)


def picture_error(network: Rome, state: RomeState, portrait: FaceObservation) -> float:
    """Mean absolute difference, 0..1, of the state's frontal picture from the portrait's, where the matte has the person."""
    assert portrait.crop is not None
    assert portrait.matte is not None
    frontal = Cameras(optics.orbit(0)[None], optics.intrinsics()[None], CROP, CROP)
    made = render(network, [(state, frontal)])[0].images[0, ..., :3].float()
    matte = onto(portrait.matte, network.device)[..., None]
    apart = (made - onto(portrait.crop, network.device).float()).abs() * matte
    return float(apart.sum() / (3 * 255 * matte.sum().clamp(min=1)))


class Samples:
    """A folder of samples by the hash of the photo that they were made of."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def __contains__(self, photo: str) -> bool:
        return self._place(photo).is_file()

    def keep(self, photo: str, sample: Sample) -> None:
        """Write `sample` for the photo with this hash: whole, or not at all."""
        part = self._place(photo).with_suffix(".part")
        parts = {"image": sample.image, "offsets": sample.offsets, "error": torch.tensor(sample.error)}
        save_file({name: part.contiguous() for name, part in parts.items()}, part)
        os.replace(part, self._place(photo))

    def read(self, photo: str) -> Sample:
        """The sample of the photo with this hash, which is kept here."""
        held = load_file(self._place(photo))
        return Sample(held["image"], held["offsets"], float(held["error"]))

    def _place(self, photo: str) -> Path:
        assert photo.isalnum(), photo
        return self._folder / f"{photo}.safetensors"


def stacked(samples: list[Sample]) -> tuple[Tensor, Tensor, np.ndarray]:
    """Images [P, 3, S, S] uint8, offsets [P, N, 3] and picture errors [P]."""
    images, offsets = (torch.stack(parts) for parts in zip(*((one.image, one.offsets) for one in samples), strict=True))
    return images, offsets, np.array([one.error for one in samples])
