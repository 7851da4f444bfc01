"""Costs counted in a fixed piece of other work: what has become dearer is named, and a slower machine makes nothing dearer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.lib import yardstick
from benchmarks.lib.yardstick import UNSURE, WORSE, Cost, comparison, measured

COMMITTED = {"a packet passed on": Cost(50.0, 0.005, 0.0005, 24), "a table's picture": Cost(3500.0, 0.38, 0.02, 24)}


def found(machine: float, planted: float = 1.0):
    """What is measured on a machine that is `machine` times as slow, of work that is `planted` times as dear. No clock is asked."""
    counted = dict.fromkeys(COMMITTED, 0)

    def slices(name: str, cost: Cost):
        async def one() -> float:
            counted[name] += 1
            wobbles = 1 + 0.04 * (counted[name] % 3 - 1)
            return wobbles * planted * machine * 0.01 * cost.yards

        return one

    return measured({name: (slices(name, cost), lambda: 0.01 * machine) for name, cost in COMMITTED.items()}, 24)


@pytest.mark.parametrize("machine", [0.5, 1.0, 2.0])
async def test_the_same_work_passes_on_a_machine_of_any_speed(machine: float):
    now = await found(machine)
    assert comparison(now, COMMITTED) == []
    assert now["a table's picture"].slices == 24
    assert now["a table's picture"].microseconds == pytest.approx(3800 * machine)


@pytest.mark.parametrize("machine", [0.5, 1.0, 2.0])
async def test_a_planted_slowdown_is_named_with_its_size(machine: float):
    now = await found(machine, planted=WORSE + 0.1)
    first, second = comparison(now, COMMITTED)
    assert first.startswith("a packet passed on: 30 % more than it was")
    assert second.startswith("a table's picture: 30 % more than it was")
    assert comparison(await found(machine, planted=WORSE - 0.05), COMMITTED) == []


def test_only_what_has_become_dearer_is_named():
    cheap, dear = COMMITTED
    now = {cheap: COMMITTED[cheap], dear: replace(COMMITTED[dear], yards=0.5), "what is new": COMMITTED[cheap]}
    (words,) = comparison(now, COMMITTED)
    assert words.startswith(dear)


def test_what_is_too_unsteady_is_neither_passed_nor_blamed():
    name, cost = next(iter(COMMITTED.items()))
    wild = replace(cost, spread=2 * UNSURE * cost.yards * cost.slices**0.5)
    (words,) = comparison({name: wild}, COMMITTED)
    assert "measure again" in words
    assert comparison({name: replace(wild, slices=4 * cost.slices)}, COMMITTED) == [], "more slices make it known"


@pytest.mark.parametrize("kind", [yardstick.Interpreted, yardstick.Sound, yardstick.Pictures])
def test_a_yard_is_work(kind):
    stick = kind()
    assert all(0 < stick.lay() < 10 for _ in range(3))
