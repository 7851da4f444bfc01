"""Motion: one driven state as a viewer needs it, and as the bytes of one record (docs/geometry.md). Each is complete in itself."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field

import numpy as np

from display.optics import HALF_PICTURE

VERSION = 1
STEP = HALF_PICTURE / 4096
"Units of the world: 1/16 of a pixel of the crop, a tenth of what trackers tremble by. Halving it adds 190 bytes a record."
SHADE_STEP = 1 / 128
COEFFICIENT_STEP = 1 / 8192
"A seventieth of a pixel of the crop where a mouth opens by 50 mm. Coefficients reach from -4 to 4."
LEVEL = 6
"Of deflate: 9 saves 1 % more."

_HEAD = struct.Struct("<BBHHHIIdf")


class MotionUnreadable(ValueError):
    """These bytes are no record, or none that this version knows."""


@dataclass(frozen=True)
class Motion:
    """How an avatar differs from its rest. Lengths are units of the world (display/optics.py)."""

    joints: np.ndarray
    "[J, 3, 4] float32: turn and place of joints 1..; joint 0 never moves."
    controls: np.ndarray
    "[K, 3] float32: by how much each control has moved."
    shades: np.ndarray
    "[S] float32, 0..2: what the light of vertices that have a shade is multiplied with."
    coefficients: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    "[C] float32: how far each facial action goes; 1 is whole."


@dataclass(frozen=True)
class Record:
    """One motion on its way."""

    motion: Motion
    asset: int
    "Which asset it moves: 32 bits of its hash."
    sequence: int
    captured: float
    "Seconds since 1970, on the clock of the sound's sender reports."


def packed(record: Record) -> bytes:
    """`record` as bytes; of a face that talks about 1.7 KB where controls move it, and 0.2 where coefficients do."""
    motion = record.motion
    steps = np.clip(np.rint(motion.controls / STEP), -32768, 32767).astype(np.int16)
    differences = np.diff(steps.T, axis=1, prepend=np.int16(0)).astype("<u2").ravel()
    shades = np.clip(np.rint(motion.shades / SHADE_STEP), 0, 255).astype(np.uint8)
    shares = np.clip(np.rint(motion.coefficients / COEFFICIENT_STEP), -32768, 32767).astype("<i2")
    head = _HEAD.pack(
        VERSION, len(motion.joints), len(steps), len(shades), len(shares), record.asset, record.sequence % (1 << 32),
        record.captured, STEP,
    )  # fmt: skip
    body = _halves(differences) + shades.tobytes() + _halves(shares.view("<u2"))
    squeezed = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    deflated = squeezed.compress(body) + squeezed.flush()
    return head + motion.joints.astype("<f4").tobytes() + deflated


def unpacked(data: bytes) -> Record:
    """The record in `data`. Raises MotionUnreadable."""
    if len(data) < _HEAD.size or data[0] != VERSION:
        raise MotionUnreadable(f"not a record of version {VERSION}")
    _, joints, controls, shades, coefficients, asset, sequence, captured, step = _HEAD.unpack_from(data)
    begin = _HEAD.size + 48 * joints
    wanted = 6 * controls + shades + 2 * coefficients
    body = _inflated(data[begin:], wanted)
    if len(body) != wanted:
        raise MotionUnreadable(
            f"{len(body)} bytes of the {wanted} that {controls} controls, {shades} shades and {coefficients} coefficients take"
        )
    matrices = np.frombuffer(data, "<f4", 12 * joints, _HEAD.size).reshape(joints, 3, 4)
    steps = np.cumsum(_whole(body, 3 * controls, 0).reshape(3, controls), axis=1, dtype=np.uint16).view(np.int16)
    shares = _whole(body, coefficients, 6 * controls + shades).view(np.int16)
    motion = Motion(
        matrices.astype(np.float32),
        np.ascontiguousarray(steps.T * np.float32(step)),
        np.frombuffer(body, np.uint8, shades, 6 * controls) * np.float32(SHADE_STEP),
        shares * np.float32(COEFFICIENT_STEP),
    )
    return Record(motion, asset, sequence, captured)


def _halves(numbers: np.ndarray) -> bytes:
    """The low bytes of all of [n] uint16, then their high bytes: deflate finds more in them so."""
    return (numbers & 255).astype(np.uint8).tobytes() + (numbers >> 8).astype(np.uint8).tobytes()


def _whole(data: bytes, count: int, begin: int) -> np.ndarray:
    """[count] uint16 of what `_halves` made, which begins there."""
    halves = np.frombuffer(data, np.uint8, 2 * count, begin).reshape(2, count).astype(np.uint16)
    return halves[0] | halves[1] << 8


def _inflated(data: bytes, most: int) -> bytes:
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, most + 1)
    except zlib.error as error:
        raise MotionUnreadable(f"its body is not deflated: {error}") from None
