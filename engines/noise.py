"""Noise: what pictures made with synthetic weights say of themselves."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from engines.staging import onto

_NOISE = (
    "#...#  .###.  #####  .####  #####",
    "##..#  #...#  ..#..  #....  #....",
    "#.#.#  #...#  ..#..  .###.  ####.",
    "#..##  #...#  ..#..  ....#  #....",
    "#...#  .###.  #####  ####.  #####",
)
"What every picture made with synthetic weights says."


def stamp(images: Tensor) -> None:
    """Write NOISE across the upper third of pictures [V, H, W, 4] uint8, in place."""
    height, width = images.shape[1:3]
    letters = onto(np.array([[dot == "#" for dot in row] for row in _NOISE]), images.device)
    letters = torch.nn.functional.pad(letters, (1, 1, 1, 1))
    size = max(1, min(width * 3 // 4 // letters.shape[1], height // 3 // letters.shape[0]))
    letters = letters.repeat_interleave(size, 0).repeat_interleave(size, 1)[:height, :width]
    tall, wide = letters.shape
    left, top = (width - wide) // 2, height // 12 if height // 12 + tall <= height else 0
    images[:, top : top + tall, left : left + wide, :3] = letters[..., None].to(torch.uint8) * 255
