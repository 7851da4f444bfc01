"""Naturalness: BRISQUE (Mittal, Moorthy, Bovik, IEEE TIP 21(12), 2012): how far a picture's statistics are from a photograph's.

Written anew on the support vectors of the package `brisque`. Lower is better, photographs have about 0 to 50. It knows no faces.
"""

from __future__ import annotations

import pickle
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.special import gamma

from benchmarks.quality.instruments import catalogue

_SHAPES = np.arange(0.2, 10.0, 0.001)
_SYMMETRIC = gamma(2 / _SHAPES) ** 2 / (gamma(1 / _SHAPES) * gamma(3 / _SHAPES))
"E|x|^2 / E[x^2] of a generalised Gaussian of each shape."


def brisque(pixels: np.ndarray) -> float:
    """Of a picture [H, W, 3] uint8 RGB. Raises InstrumentMissing."""
    vectors, weights, rho, width, low, high = _model()
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float64)
    half = cv2.resize(grey, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_CUBIC)
    features = np.array(_features(grey) + _features(half))
    scaled = -1 + 2 * (features - low) / (high - low)
    return float(weights @ np.exp(-width * ((vectors - scaled) ** 2).sum(1)) - rho)


def _features(grey: np.ndarray) -> list[float]:
    """18 numbers of one scale: the normalised picture's shape and variance, and those of its products with four neighbours."""
    mean = cv2.GaussianBlur(grey, (7, 7), 7 / 6)
    spread = np.sqrt(np.abs(cv2.GaussianBlur(grey * grey, (7, 7), 7 / 6) - mean * mean))
    normal = (grey - mean) / (spread + 1)
    shape, left, right = _fitted(normal)
    made = [shape, (left**2 + right**2) / 2]
    for product in (
        normal[:, :-1] * normal[:, 1:],
        normal[:-1] * normal[1:],
        normal[:-1, :-1] * normal[1:, 1:],
        normal[1:, :-1] * normal[:-1, 1:],
    ):
        shape, left, right = _fitted(product)
        scale = np.sqrt(gamma(1 / shape) / gamma(3 / shape))
        made += [shape, (right - left) * scale * gamma(2 / shape) / gamma(1 / shape), left**2, right**2]
    return made


def _fitted(values: np.ndarray) -> tuple[float, float, float]:
    """Shape, left and right spread of an asymmetric generalised Gaussian, by its moments."""
    left = np.sqrt((values[values < 0] ** 2).mean()) if (values < 0).any() else 1e-6
    right = np.sqrt((values[values > 0] ** 2).mean()) if (values > 0).any() else 1e-6
    ratio = left / right
    share = np.abs(values).mean() ** 2 / max((values**2).mean(), 1e-12)
    wanted = share * (ratio**3 + 1) * (ratio + 1) / (ratio**2 + 1) ** 2
    return float(_SHAPES[np.argmin((_SYMMETRIC - wanted) ** 2)]), float(left), float(right)


class _Numbers(pickle.Unpickler):
    """Lists and numbers alone: whatever names a class is refused."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{module}.{name} has no place among numbers")


@cache
def _model() -> tuple[np.ndarray, np.ndarray, float, float, np.ndarray, np.ndarray]:
    """Support vectors [S, 36], their weights [S], rho, the kernel's width, and the features' lowest and highest values [36]."""
    machine, ranges = catalogue.files("brisque")
    with ranges.open("rb") as file:
        bounds = _Numbers(file).load()
    head, rows = _read(machine)
    vectors = np.array([[float(cell.partition(":")[2]) for cell in row[1:]] for row in rows])
    weights = np.array([float(row[0]) for row in rows])
    return (
        vectors,
        weights,
        float(head["rho"]),
        float(head["gamma"]),
        np.array(bounds["min_"]),
        np.array(bounds["max_"]),
    )


def _read(path: Path) -> tuple[dict[str, str], list[list[str]]]:
    text, _, vectors = path.read_text().partition("SV\n")
    head = dict(line.split(maxsplit=1) for line in text.splitlines())
    return head, [line.split() for line in vectors.splitlines()]
