"""Avatar files: what is kept of one avatar, in a folder of its own: its record, its arrays, its picture. Written, and read back strictly.

Who may have one, how many there are and what is enrolled is pipeline/avatars.py's.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from safetensors.numpy import load_file

from engines.contract import AROUND, CROP, FaceObservation

FILES = ("observation.safetensors", "picture.png", "record.json")
"All that is kept of a portrait's avatar,"
BROUGHT_FILES = ("brought.safetensors", "picture.png", "record.json")
"and of one that was brought."
ID = re.compile(r"[A-Za-z0-9_-]{16,64}")
"Of an avatar; whatever else is asked for is unknown."
_NUMBERS = ("confidence", "presence", "roll")
_CHOSEN = "expression_kept"
_ARRAYS = tuple(
    f.name for f in fields(FaceObservation) if f.name not in (*_NUMBERS, _CHOSEN, "mouth_seen", "place", "actions")
)


class Consent(StrEnum):
    """Whose face it is, as stated by whoever brought the portrait."""

    ME = "me"
    CONSENTING = "consenting"
    SYNTHETIC = "synthetic"
    PUBLIC_DOMAIN = "public-domain"
    "Only the built-in sample."


@dataclass(frozen=True)
class AvatarRecord:
    id: str
    name: str
    consent: Consent
    portrait_sha256: str
    "Of the photo's bytes as they came; of several photos, of their hashes in a row. No photo itself is kept."
    created: float
    "Unix seconds."
    engine: str = ""
    "Of one that was brought: whose it is, alone. Empty for a portrait, which any engine may enrol."
    licence: str = ""
    "Of one that was brought: what made it and on which terms, for people."


def kept_of(portrait: FaceObservation) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """The arrays and the numbers that are written of a portrait."""
    arrays = {key: getattr(portrait, key) for key in _ARRAYS if getattr(portrait, key) is not None}
    numbers = {key: float(getattr(portrait, key)) for key in _NUMBERS}
    return arrays, numbers | {"mouth_seen": portrait.mouth_seen, _CHOSEN: portrait.expression_kept}


def read_record(stored: bytes, avatar: str) -> tuple[AvatarRecord, dict[str, float]]:
    """Raises ValueError, TypeError, LookupError or RecursionError where it is no record of `avatar`."""
    record = json.loads(stored)
    texts = {name: record[name] for name in ("id", "name", "portrait_sha256")}
    texts |= {name: record.get(name, "") for name in ("engine", "licence")}  # older ones were of portraits
    if not all(isinstance(text, str) for text in texts.values()) or texts["id"] != avatar:
        raise ValueError(f"a record of another avatar, or of none: {str(texts['id'])[:80]}")
    observed = {} if texts["engine"] else _observed(record["observation"])
    created = float(record["created"])
    if not all(map(math.isfinite, (created, *observed.values()))):
        raise ValueError("a number that is none: JSON has no word for it")
    return AvatarRecord(**texts, consent=Consent(record["consent"]), created=created), observed


def _observed(stored: Mapping[str, Any]) -> dict[str, float]:
    observed: dict[str, float] = {name: float(stored[name]) for name in _NUMBERS}
    observed["mouth_seen"] = bool(stored.get("mouth_seen", True))  # of older ones it is not known
    observed[_CHOSEN] = min(max(float(stored.get(_CHOSEN, 0.0)), 0.0), 1.0)  # older ones were not asked
    return observed


def read_observation(folder: Path, numbers: Mapping[str, float]) -> FaceObservation:
    """Raises OSError, SafetensorError, TypeError or ValueError."""
    stored: dict[str, Any] = {**load_file(folder / FILES[0]), **numbers}
    return _checked(FaceObservation(**stored))


def read_arrays(folder: Path) -> dict[str, np.ndarray]:
    """Of an avatar that was brought. Raises OSError or SafetensorError."""
    return load_file(folder / BROUGHT_FILES[0])


def _checked(seen: FaceObservation) -> FaceObservation:
    """Raises ValueError where it is not what `keep` writes."""
    shapes = {
        **dict.fromkeys(("landmarks", "shape", "neutral"), (478, 3)),
        "pose": (4, 4), "crop": (CROP, CROP, 3), "matte": (CROP, CROP), "around": (CROP + 2 * AROUND, CROP + 2 * AROUND, 4),
    }  # fmt: skip
    for name, shape in shapes.items():
        array = getattr(seen, name)
        if array is not None and (array.shape != shape or not np.isfinite(array).all()):
            raise ValueError(f"{name} is not {shape} or not finite")
    return seen


def png(pixels: np.ndarray) -> bytes:
    done, encoded = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    assert done
    return encoded.tobytes()


def sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
