"""Turns: whoever comes beside many others is let in in turn, and the event loop goes round between two."""

from __future__ import annotations

import asyncio
from itertools import pairwise

from server.channels.turns import BETWEEN, Turns


async def test_many_who_come_at_once_are_let_in_one_by_one_in_their_order() -> None:
    turns, rounds, let_in = Turns(), 0, list[tuple[int, int]]()

    async def come(number: int) -> None:
        await turns.mine()
        let_in.append((number, rounds))

    coming = [asyncio.create_task(come(number)) for number in range(60)]
    while len(let_in) < 60:
        await asyncio.sleep(0)  # a picture on its way, say
        rounds += 1
        assert rounds < 60 * (BETWEEN + 2)
    assert [number for number, _ in let_in] == list(range(60))
    at = [when for _, when in let_in]
    assert all(later - earlier >= BETWEEN for earlier, later in pairwise(at)), at
    await asyncio.gather(*coming)


async def test_who_comes_alone_waits_for_nobody_and_who_hangs_up_keeps_nobody_out() -> None:
    turns = Turns()
    alone = turns.mine()
    try:
        alone.send(None)
    except StopIteration:
        pass
    else:
        raise AssertionError("it waited")
    waiting = [asyncio.create_task(turns.mine()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    waiting[1].cancel()
    await waiting[2]
    for _ in range(BETWEEN + 1):
        await asyncio.sleep(0)
    assert not turns._going
