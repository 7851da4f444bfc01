"""Comparing: two results of the same pairs, figure by figure on the same frames. Says better or worse only where the interval of the
difference does not hold zero. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.quality import bootstrap
from benchmarks.quality.bootstrap import Interval
from benchmarks.quality.columns import BY_NAME, NAMES
from benchmarks.quality.results import Rows

FEW = 3


@dataclass(frozen=True)
class Difference:
    """One column under one condition: the second result less the first."""

    kind: str
    condition: str
    column: str
    first: float
    second: float
    change: Interval
    won: float
    "Share of the pairs in which the second is better; NaN for a column that has no better."
    gain: float
    "By how much the second is better in the mean."
    verdict: str
    """better, worse, not shown; or differs, of a column that has no better. Of fewer than FEW people it is `better here`: of these films,
    not of engines; of fewer than FEW values nothing is shown."""


def differences(first: Rows, second: Rows, conditions: tuple[str, ...] = ("as run", "matched")) -> list[Difference]:
    """Of every column that both have, on the rows that both have."""
    mine, theirs = _keys(first), _keys(second)
    shared = sorted(mine.keys() & theirs.keys())
    a, b = (np.array([keys[key] for key in shared], int) for keys in (mine, theirs))
    made = []
    for kind, condition in dict.fromkeys((str(k), str(c)) for k, c in zip(first.kinds, first.conditions, strict=True)):
        if condition not in conditions:
            continue
        chosen = first.where(kind, condition)[a]
        for name in NAMES:
            found = _difference(first, second, a[chosen], b[chosen], kind, condition, name)
            made += [found] if found else []
    return made


def _difference(
    first: Rows, second: Rows, a: np.ndarray, b: np.ndarray, kind: str, condition: str, name: str
) -> Difference | None:
    before, after = first.column(name)[a].astype(np.float64), second.column(name)[b].astype(np.float64)
    known = np.isfinite(before) & np.isfinite(after)
    if not known.any():
        return None
    before, after, a = before[known], after[known], a[known]
    gained = _gain(name, before, after)
    seconds = np.nan_to_num(first.at[a], nan=-1.0).astype(int)
    change = bootstrap.interval(after - before, first.people[a], first.pairs[a], seconds)
    towards = bootstrap.interval(gained, first.people[a], first.pairs[a], seconds)
    assert change is not None
    assert towards is not None
    won = np.mean([gained[first.pairs[a] == pair].mean() > 0 for pair in np.unique(first.pairs[a])])
    won = float("nan") if BY_NAME[name].better == "none" else float(won)
    verdict = _verdict(name, change, towards)
    return Difference(
        kind, condition, name, float(before.mean()), float(after.mean()), change, won, towards.mean, verdict
    )


def _verdict(name: str, change: Interval, towards: Interval) -> str:
    if change.values < FEW or any(one.low <= 0 <= one.high for one in (change, towards)):
        return "not shown"  # of a slope, say, that is off by as much as before on the other side
    if BY_NAME[name].better == "none":
        return "differs"
    word = "better" if towards.low > 0 else "worse"
    return word if change.people >= FEW else f"{word} here"


def _gain(name: str, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """[N] by how much each value is better."""
    way = BY_NAME[name].better
    if way == "one":
        return np.abs(before - 1) - np.abs(after - 1)
    if name.endswith("_lag"):
        return np.abs(before) - np.abs(after)
    return before - after if way == "lower" else after - before


def _keys(rows: Rows) -> dict[tuple[str, str, str, float], int]:
    """Index of each row by what makes it the same row in another result."""
    at = np.nan_to_num(rows.at, nan=-1.0)
    labels = zip(rows.kinds.tolist(), rows.pairs.tolist(), rows.conditions.tolist(), at.tolist(), strict=True)
    return {key: index for index, key in enumerate(labels)}
