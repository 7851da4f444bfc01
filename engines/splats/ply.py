"""Ply: a table of float32 columns out of a binary PLY file (Greg Turk, The PLY Polygon File Format, 1994). Untrusted."""

from __future__ import annotations

import re

import numpy as np

LONGEST_HEADER = 8192
MOST_ROWS = 400_000


class PlyUnreadable(ValueError):
    """These bytes are not the PLY file that was asked for; the message says in what."""


def columns(data: bytes, wanted: tuple[str, ...]) -> tuple[np.ndarray, tuple[str, ...]]:
    """([N, len(wanted)] float32: the columns of a file whose only element is `vertex`, in the order asked for; the names of the
    others). Raises PlyUnreadable."""
    head, found, body = data[:LONGEST_HEADER].partition(b"end_header")
    if not found or not head.startswith(b"ply"):
        raise PlyUnreadable("it has no PLY header")
    lines = head.decode("ascii", "replace").split("\n")
    if not any(line.strip() == "format binary_little_endian 1.0" for line in lines):
        raise PlyUnreadable("it is not binary and little-endian")
    elements = re.findall(r"^element (\S+) (\d{1,9})\s*$", head.decode("ascii", "replace"), re.MULTILINE)
    names = _float_columns(lines)
    if len(elements) != 1 or elements[0][0] != "vertex":
        raise PlyUnreadable("it holds something besides vertices")
    missing = [name for name in wanted if name not in names]
    if missing or len(set(names)) != len(names):
        raise PlyUnreadable(f"{missing[0] if missing else 'a column'} is {'missing' if missing else 'there twice'}")
    rows = int(elements[0][1])
    begin = len(head) + len(found) + (2 if body.startswith(b"\r\n") else 1)
    if rows > MOST_ROWS or len(data) - begin != rows * 4 * len(names):
        raise PlyUnreadable(f"{rows} rows of {4 * len(names)} bytes are announced, {len(data) - begin} bytes follow")
    table = np.frombuffer(data, "<f4", offset=begin).reshape(rows, len(names))
    return table[:, [names.index(name) for name in wanted]], tuple(name for name in names if name not in wanted)


def _float_columns(lines: list[str]) -> list[str]:
    properties = [line.split() for line in lines if line.startswith("property")]
    if any(len(words) != 3 or words[1] not in ("float", "float32") for words in properties):
        raise PlyUnreadable("a column is not of single floats")
    return [words[2] for words in properties]
