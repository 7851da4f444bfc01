"""Worlds: the heads that can be learnt from, by name."""

from __future__ import annotations

from engines.parametric.train import anny, expressions
from engines.parametric.train.dataset import Crowd, Scanner

UNSEEN = 1_000_000
"Added to the seed of people whom training never meets."


def people(count: int, seed: int = 0, scanner: Scanner = Scanner()) -> Crowd:
    """Made-up people with Anny's heads. Raises anny.HeadsMissing."""
    family = anny.load()
    names, moves = expressions.weights(family.action_names, anny.OPEN)
    return Crowd(family, anny.draw(count, seed), names, moves, scanner, seed)
