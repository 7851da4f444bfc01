"""Action table: facial actions from how far a face's points are from their rest, by one matrix. For whoever has not MediaPipe's file.

Fitted by `python -m benchmarks.action_table`, which says how well it does on people whom it has not seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

from pipeline.preprocess.blendshapes import POINTS

FILE = "action_table.npz"


@dataclass(frozen=True)
class ActionTable:
    """Ridge regression without a constant: a face at rest does nothing."""

    weights: np.ndarray
    "[438, 51] float32: of each centimetre of 146 points, x, y and z; columns in the order of engines/actions.py."

    def moved(self, difference: np.ndarray) -> np.ndarray:
        """[51], about 0..1, of shape - neutral [478, 3], canonical centimetres."""
        return difference[POINTS].ravel().astype(np.float32) @ self.weights

    @staticmethod
    @cache
    def ours() -> ActionTable:
        """The one that comes with the program."""
        with files("pipeline.preprocess").joinpath(FILE).open("rb") as file, np.load(file) as stored:
            return ActionTable(stored["weights"].astype(np.float32))
