"""Seen: a picture of a face and all that instruments say of it by itself, asked once however often it is compared."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from torch import Tensor

from benchmarks.quality.instruments import catalogue, identity, inception, lpips, naturalness, perceptual
from benchmarks.quality.instruments.face import Look

SIDE = 256
"Of pictures that are compared: the product's tile."


@dataclass(frozen=True)
class Picture:
    """What stands beside a reference, or is one."""

    pixels: np.ndarray
    "[512, 512, 3] uint8 RGB on black; empty where only the look was kept."
    look: Look | None

    @cached_property
    def small(self) -> np.ndarray:
        """[SIDE, SIDE, 3] uint8."""
        return cv2.resize(self.pixels, (SIDE, SIDE), interpolation=cv2.INTER_AREA)

    @cached_property
    def features(self) -> list[Tensor]:
        """ST-LPIPS' taps of the small picture. Raises InstrumentMissing."""
        return perceptual.features(self.small)

    def perceived(self, backbone: str) -> list[Tensor]:
        """LPIPS' taps of the small picture, by a backbone that was brought. Raises InstrumentMissing."""
        if backbone not in self._perceived:
            self._perceived[backbone] = lpips.features(backbone, self.small)
        return self._perceived[backbone]

    @cached_property
    def _perceived(self) -> dict[str, list[Tensor]]:
        return {}

    @cached_property
    def deep(self) -> np.ndarray:
        """[2048] Inception's features. Raises InstrumentMissing."""
        return inception.features(self.pixels)

    @cached_property
    def faces(self) -> dict[str, np.ndarray]:
        """Network -> embedding, of those that were brought."""
        if self.look is None:
            return {}
        return {network: identity.embedded(network, self.pixels, self.look) for network in identity.here()}

    @cached_property
    def natural(self) -> dict[str, float]:
        """Sharpness, and BRISQUE where it was brought, of the face cut out to 256 pixels."""
        if self.look is None:
            return {}
        face = identity.aligned_face(self.pixels, self.look, 256)
        grey = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY).astype(np.float32)
        made = {"sharpness": float(cv2.Laplacian(grey, cv2.CV_32F).var())}
        return made | {"brisque": max(naturalness.brisque(face), 1.0)} if catalogue.here("brisque") else made
