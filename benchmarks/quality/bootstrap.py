"""Bootstrap: intervals whose unit is the person, then the pair, then a second of film; never the frame. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

DRAWS = 2000
SEED = 20231204
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean over pairs, and where it lies with LEVEL certainty."""

    mean: float
    low: float
    high: float
    people: int
    pairs: int
    values: int

    @property
    def half(self) -> float:
        """Half the interval's width."""
        return (self.high - self.low) / 2


def interval(values: np.ndarray, people: np.ndarray, pairs: np.ndarray, seconds: np.ndarray) -> Interval | None:
    """Of `values` [N], each of a person, a pair and a second ([N] each, any labels). None where there are none.

    Pairs weigh alike, however long; people are drawn first, then their pairs, then seconds of each pair."""
    known = np.isfinite(values)
    if not known.any():
        return None
    values, people, pairs, seconds = (one[known] for one in (values, people, pairs, seconds))
    random = np.random.default_rng(SEED)
    labels, of = np.unique(pairs, return_inverse=True)
    drawn = np.stack([_pair_means(values[of == k], seconds[of == k], random) for k in range(len(labels))], 1)
    owners = np.array([people[of == k][0] for k in range(len(labels))])
    weights = _weights(tuple(owners.tolist()))
    means = (drawn * weights).sum(1) / weights.sum(1)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    mean = float(np.mean([values[of == k].mean() for k in range(len(labels))]))
    return Interval(mean, float(low), float(high), len(np.unique(owners)), len(labels), len(values))


def _pair_means(values: np.ndarray, seconds: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """[DRAWS] means of one pair, its seconds drawn anew."""
    labels, of = np.unique(seconds, return_inverse=True)
    sums, counts = np.bincount(of, values), np.bincount(of)
    chosen = random.multinomial(len(labels), np.full(len(labels), 1 / len(labels)), DRAWS)
    return (chosen @ sums) / (chosen @ counts)


@lru_cache(maxsize=64)
def _weights(owners: tuple[str, ...]) -> np.ndarray:
    """[DRAWS, P]: how often each pair is drawn when its owners are drawn first, and then as many of an owner's pairs as there are."""
    random = np.random.default_rng(SEED)
    labels, of = np.unique(owners, return_inverse=True)
    times = random.multinomial(len(labels), np.full(len(labels), 1 / len(labels)), DRAWS)
    weights = np.zeros((DRAWS, len(owners)))
    for person in range(len(labels)):
        own = np.flatnonzero(of == person)
        weights[:, own] = random.multinomial(times[:, person] * len(own), np.full(len(own), 1 / len(own)))
    return weights
