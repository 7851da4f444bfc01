"""Results: rows of all pairs as one table of numbers, on disk and in memory, and the figures with intervals that are made of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality import bootstrap
from benchmarks.quality.bootstrap import Interval
from benchmarks.quality.columns import BY_NAME, CONDITIONS, FID, NAMES, NETWORKS
from benchmarks.quality.measuring import Measured

KINDS = ("self", "cross", "fan")


@dataclass(frozen=True)
class Rows:
    """Every row of a run. N rows, C columns as NAMES."""

    kinds: np.ndarray
    "[N] of KINDS."
    people: np.ndarray
    "[N] whom the avatar shows."
    pairs: np.ndarray
    "[N] the pair's name."
    conditions: np.ndarray
    "[N]"
    at: np.ndarray
    "[N] float64 seconds; NaN where it is of a whole film."
    values: np.ndarray
    "[N, C] float32, NaN where not measured."

    def __len__(self) -> int:
        return len(self.kinds)

    def column(self, name: str) -> np.ndarray:
        """[N]"""
        return self.values[:, NAMES.index(name)]

    def where(self, kind: str, condition: str) -> np.ndarray:
        """[N] bool"""
        return (self.kinds == kind) & (self.conditions == condition)

    def interval(self, name: str, chosen: np.ndarray) -> Interval | None:
        """Of the rows `chosen` [N] bool."""
        return bootstrap.interval(
            self.column(name)[chosen].astype(np.float64),
            self.people[chosen],
            self.pairs[chosen],
            np.nan_to_num(self.at[chosen], nan=-1.0).astype(int),
        )

    def save(self, path: Path) -> None:
        np.savez_compressed(path, **{name: getattr(self, name) for name in self.__dataclass_fields__}, columns=NAMES)

    @classmethod
    def load(cls, path: Path) -> Rows:
        """Columns that are no more are left out; new ones are NaN."""
        with np.load(path) as file:
            kept = {name: file[name] for name in cls.__dataclass_fields__}
            columns = file["columns"].tolist()
        values = np.full((len(kept["kinds"]), len(NAMES)), np.nan, np.float32)
        for index, name in enumerate(columns):
            if name in NAMES:
                values[:, NAMES.index(name)] = kept["values"][:, index]
        return cls(**kept | {"values": values})

    @classmethod
    def joined(cls, parts: list[Rows]) -> Rows:
        names = cls.__dataclass_fields__
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})

    @classmethod
    def of(cls, kind: str, person: str, pair: str, measured: Measured) -> Rows:
        """Those of one pair."""
        count = len(measured.rows)
        values = np.full((count, len(NAMES)), np.nan, np.float32)
        for row, made in zip(values, measured.rows, strict=True):
            for name, value in made.values.items():
                row[NAMES.index(name)] = value
        return cls(
            np.full(count, kind),
            np.full(count, person),
            np.full(count, pair),
            np.array([row.condition for row in measured.rows], "U16"),
            np.array([row.at for row in measured.rows]),
            values,
        )


def with_kept_share(rows: Rows) -> Rows:
    """`kept_...`: where C(out, source) lies between other people (0) and the same person at another moment (1) in this run."""
    values = rows.values.copy()
    for network in NETWORKS:
        apart = rows.column(f"apart_{network}")
        known = np.isfinite(apart) & (rows.conditions == "as run")
        same, others = (apart[known & (rows.kinds == kind)] for kind in ("self", "cross"))
        if len(same) and len(others) and same.mean() - others.mean() > 0.05:
            share = (rows.column(f"source_{network}") - others.mean()) / (same.mean() - others.mean())
            values[:, NAMES.index(f"kept_{network}")] = share
    return Rows(rows.kinds, rows.people, rows.pairs, rows.conditions, rows.at, values)


def figures(rows: Rows, failures: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, Any]]]:
    """kind -> condition -> column -> mean, interval, how many people, pairs and values; and the mean with failures at the worst value."""
    made: dict[str, dict[str, dict[str, Any]]] = {}
    for kind in KINDS:
        for condition in CONDITIONS:
            chosen = rows.where(kind, condition)
            cells = {name: cell for name in NAMES if (cell := _cell(rows, name, kind, condition, chosen, failures))}
            if cells:
                made.setdefault(kind, {})[condition] = cells
    return made


def add_fid(
    figured: dict[str, dict[str, dict[str, Any]]], kind: str, condition: str, distance: float, cell: dict[str, Any]
) -> None:
    """FID is of all pictures at once: it has no interval, which its ends say by being equal; people, pairs and pictures as in `cell`."""
    figured[kind][condition][FID] = cell | {"mean": distance, "low": distance, "high": distance}


def _cell(
    rows: Rows, name: str, kind: str, condition: str, chosen: np.ndarray, failures: list[dict[str, Any]]
) -> dict[str, Any] | None:
    found = rows.interval(name, chosen)
    if found is None:
        return None
    cell: dict[str, Any] = {
        "mean": round(found.mean, 5),
        "low": round(found.low, 5),
        "high": round(found.high, 5),
        "people": found.people,
        "pairs": found.pairs,
        "values": found.values,
    }
    blind = chosen & ~np.isfinite(rows.column(name)) & np.isfinite(rows.column("holes"))
    if condition in ("as run", "matched") and blind.any() and not name.startswith(("psnr", "ssim", "stlpips", "kept")):
        cell["mean_with_failures"] = round(_with_worst(rows, name, kind, chosen, int(blind.sum())), 5)
        cell["failed"] = int(blind.sum())
    return cell


def _with_worst(rows: Rows, name: str, kind: str, chosen: np.ndarray, failed: int) -> float:
    """The mean over frames with each failure counted as the worst value that anything of this kind had."""
    every = rows.column(name)[rows.kinds == kind]
    every = every[np.isfinite(every)]
    worst = every.min() if BY_NAME[name].better == "higher" else every.max()
    known = rows.column(name)[chosen]
    known = known[np.isfinite(known)]
    return float((known.sum() + failed * worst) / (len(known) + failed))


def load(path: Path) -> tuple[dict[str, Any], Rows]:
    """A result's JSON and the rows beside it."""
    return json.loads(path.read_text()), Rows.load(path.with_suffix(".npz"))
