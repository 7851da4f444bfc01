"""Architecture: the sizes of the parametric head's networks, the thesis' own and the small one that trains on a CPU.

Sizes: Bandyopadhyay, "Learning Neural Parametric Head Models with 2D Adversarial Objectives", TU Munich 2024.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

MILLIMETRES = 250.0
"Of one unit of canonical space: FLAME's metres times four (NPHM, arXiv 2212.02761)."

SKIP_SCALE = 1 / math.sqrt(2)
"What a skip connection's sum is scaled by."


@dataclass(frozen=True)
class Architecture:
    """The thesis' sizes; the two networks together, since the expression is conditioned on the identity."""

    z_id: int = 512
    "Numbers of an identity."
    z_ex: int = 200
    "Numbers of an expression."
    generator: int = 64
    "Channels of the generator's widest map; its deepest has eight times as many."
    channels: int = 32
    "Of each plane."
    side: int = 256
    "Of the planes, in texels: 64 times a power of two. Parameters do not depend on it."
    reach: float = 1.0
    "Half the side, in canonical units, of the cube that the planes span."
    batch_norm: bool = True
    "The thesis' generator normalises by batch; ours by group, so that one identity alone means what it meant among others."
    hidden: int = 256
    "Width of the decoder."
    deform_hidden: int = 1024
    deform_layers: int = 8

    def __post_init__(self) -> None:
        assert self.side % 64 == 0, self.side


FULL = Architecture()

SMALL = Architecture(
    z_id=96, z_ex=32, generator=32, channels=16, side=64, reach=0.7, batch_norm=False, hidden=128,
    deform_hidden=160, deform_layers=6,
)  # fmt: skip
"What the shipped checkpoint has."
