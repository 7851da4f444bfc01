"""Scan: a cloud of points from a file, in canonical space. Outside formats and units stop here."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engines.parametric.architecture import MILLIMETRES
from engines.parametric.fitting import CloudRejected

UNITS = {"mm": 1.0, "cm": 10.0, "dm": 100.0, "m": 1000.0, "canonical": MILLIMETRES}
"Millimetres of each."
LIKELY = (150.0, 480.0)
"Millimetres that a scanned head, with or without shoulders, spans."
_TYPES = {
    "char": "i1", "uchar": "u1", "int8": "i1", "uint8": "u1", "short": "i2", "ushort": "u2", "int16": "i2", "uint16": "u2",
    "int": "i4", "uint": "u4", "int32": "i4", "uint32": "u4", "float": "f4", "float32": "f4", "double": "f8", "float64": "f8",
}  # fmt: skip
TOP, FRONT = 127.0, 106.0
"Millimetres in canonical space of the average head's highest and foremost points."


def read(path: Path) -> np.ndarray:
    """[N, 3] float64 of a .ply, .npy or .npz (array `points`), in the file's own units. Raises CloudRejected or FileNotFoundError."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    readers = {".ply": _ply, ".npy": np.load, ".npz": lambda place: np.load(place)["points"]}
    if path.suffix.lower() not in readers:
        raise CloudRejected(f"{path.name}: a scan is a .ply, .npy or .npz file")
    try:
        found = np.asarray(readers[path.suffix.lower()](path), np.float64)
    except CloudRejected:
        raise
    except Exception as failure:
        raise CloudRejected(
            f"{path.name} cannot be read as a scan ({failure}): export it again, as a PLY whose vertices have x, y and z"
        ) from None
    if found.ndim != 2 or found.shape[1] < 3 or not len(found):
        raise CloudRejected(
            f"{path.name} holds no points (its array is {found.shape}, [N, 3] is wanted): export the scan again"
        )
    return found[:, :3]


def canonical(points: np.ndarray, units: str | None = None) -> tuple[np.ndarray, str]:
    """Points [N, 3] that stand upright (y up) and look along +z, moved and scaled to where heads lie, and the unit taken.

    Only about: fitting finds the rest. Raises CloudRejected where the unit can be none of UNITS.
    """
    bad = int((~np.isfinite(points)).any(1).sum())
    if bad:
        raise CloudRejected(
            f"{bad} of {len(points)} points are not finite (NaN or infinite): remove them from the scan"
        )
    extent = float(np.ptp(points, axis=0).max())
    taken = units or guessed(extent)
    if taken not in UNITS:
        raise CloudRejected(f"no unit is called {taken!r}; there are: {', '.join(UNITS)}")
    place = points * UNITS[taken]
    high = np.percentile(place, 99.5, axis=0)
    head = place[place[:, 1] > high[1] - 230]
    middle = np.array([np.median(head[:, 0]), high[1] - TOP, np.percentile(head[:, 2], 99.5) - FRONT])
    return ((place - middle) / MILLIMETRES).astype(np.float32), taken


def guessed(extent: float) -> str:
    """The unit in which something of this extent is a head. Raises CloudRejected."""
    fitting = [name for name, size in UNITS.items() if LIKELY[0] <= extent * size <= LIKELY[1]]
    if not fitting:
        raise CloudRejected(
            f"these points span {extent:.4g}, which in no unit is a head ({LIKELY[0]:.0f} to {LIKELY[1]:.0f} mm): say --units, "
            "and cut away what is not head"
        )
    return fitting[0]


def _ply(path: Path) -> np.ndarray:
    """[N, 3] float64: the vertices' places of a PLY file, text or binary, whose first element they are."""
    content = path.read_bytes()
    header, mark, body = content.partition(b"end_header")
    if not content.startswith(b"ply") or not mark:
        raise CloudRejected(f"{path.name} is no PLY file, whatever its name says: export the scan again")
    body = body.partition(b"\n")[2]
    count, names, types, form, element = 0, [], [], "", ""
    for line in header.decode("ascii", "replace").splitlines():
        words = line.split()
        if words[:1] == ["format"]:
            form = words[1]
        elif words[:1] == ["element"]:
            if element == "" and words[1] != "vertex":
                raise CloudRejected(f"{path.name}: its first element is {words[1]!r}, not the vertices")
            element = words[1]
            count = int(words[2]) if element == "vertex" else count
        elif words[:1] == ["property"] and element == "vertex":
            names.append(words[-1])
            types.append(_TYPES[words[1]])
    places = [names.index(axis) for axis in "xyz"]
    if form == "ascii":
        rows = [line.split() for line in body.decode("ascii").splitlines()[:count]]
        return np.array([[float(row[k]) for k in places] for row in rows])
    order = {"binary_little_endian": "<", "binary_big_endian": ">"}[form]
    table = np.frombuffer(body, np.dtype([(f"p{k}", order + kind) for k, kind in enumerate(types)]), count)
    return np.stack([table[f"p{k}"].astype(np.float64) for k in places], 1)
