"""Turns: those who come at once are let in one after another, so that a picture waits for one of them and never for all.

An offer is a few milliseconds of the event loop, and a picture crosses that loop about ten times on its way. Where sixty offers are
looked at side by side, each crossing waits for a step of every one of them. Whoever waits here is no more than a task, and no turn
is held: what an offer waits for, a name or a TURN server, keeps nobody else out.
"""

from __future__ import annotations

import asyncio
from collections import deque

BETWEEN = 4
"Times that the event loop goes round between two, with whatever else is ready. One takes about 15 rounds, of which few are work."


class Turns:
    """In the order in which they came. Event loop only."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._going = False
        "Somebody was let in less than BETWEEN rounds ago."

    async def mine(self) -> None:
        """Returns once it is the turn of whoever waits for it; at once where nobody else comes."""
        loop = asyncio.get_running_loop()
        if self._going:
            turn = loop.create_future()
            self._waiting.append(turn)
            await turn
        else:
            self._going = True
            loop.call_soon(self._go_on, BETWEEN)

    def _go_on(self, rounds: int) -> None:
        if rounds > 1:
            asyncio.get_running_loop().call_soon(self._go_on, rounds - 1)
            return
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.cancelled():  # whose client has hung up
                turn.set_result(None)
                asyncio.get_running_loop().call_soon(self._go_on, BETWEEN)
                return
        self._going = False
