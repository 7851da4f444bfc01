"""Motion: one driven state as a viewer needs it, and as the bytes of one record (docs/geometry.md). Each is complete in itself."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import numpy as np

from display.optics import HALF_PICTURE

VERSION = 1
STEP = HALF_PICTURE / 4096
"Units of the world: 1/16 of a pixel of the crop, a tenth of what trackers tremble by. Halving it adds 190 bytes a record."
SHADE_STEP = 1 / 128
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
    """`record` as bytes; about 1.7 KB of a face that talks."""
    motion = record.motion
    steps = np.clip(np.rint(motion.controls / STEP), -32768, 32767).astype(np.int16)
    differences = np.diff(steps.T, axis=1, prepend=np.int16(0)).astype("<u2").ravel()
    shades = np.clip(np.rint(motion.shades / SHADE_STEP), 0, 255).astype(np.uint8)
    body = (differences & 255).astype(np.uint8).tobytes() + (differences >> 8).astype(np.uint8).tobytes()
    head = _HEAD.pack(
        VERSION, len(motion.joints), len(steps), len(shades), 0, record.asset, record.sequence % (1 << 32),
        record.captured, STEP,
    )  # fmt: skip
    squeezed = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    deflated = squeezed.compress(body + shades.tobytes()) + squeezed.flush()
    return head + motion.joints.astype("<f4").tobytes() + deflated


def unpacked(data: bytes) -> Record:
    """The record in `data`. Raises MotionUnreadable."""
    if len(data) < _HEAD.size or data[0] != VERSION:
        raise MotionUnreadable(f"not a record of version {VERSION}")
    _, joints, controls, shades, _, asset, sequence, captured, step = _HEAD.unpack_from(data)
    begin = _HEAD.size + 48 * joints
    wanted = 6 * controls + shades
    body = _inflated(data[begin:], wanted)
    if len(body) != wanted:
        raise MotionUnreadable(f"{len(body)} bytes of the {wanted} that {controls} controls and {shades} shades take")
    matrices = np.frombuffer(data, "<f4", 12 * joints, _HEAD.size).reshape(joints, 3, 4)
    halves = np.frombuffer(body, np.uint8, 6 * controls).reshape(2, 3, controls).astype(np.uint16)
    steps = np.cumsum(halves[0] | halves[1] << 8, axis=1, dtype=np.uint16).view(np.int16)
    motion = Motion(
        matrices.astype(np.float32),
        np.ascontiguousarray(steps.T * np.float32(step)),
        np.frombuffer(body, np.uint8, shades, 6 * controls) * np.float32(SHADE_STEP),
    )
    return Record(motion, asset, sequence, captured)


def _inflated(data: bytes, most: int) -> bytes:
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, most + 1)
    except zlib.error as error:
        raise MotionUnreadable(f"its body is not deflated: {error}") from None
