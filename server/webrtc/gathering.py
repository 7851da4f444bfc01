"""Gathering: how long a STUN or TURN server may take, and which of them are silent. Answers to clients wait for them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import structlog

from server.tally import Tally

T = TypeVar("T")
PATIENCE = 1.5
"Seconds. A TURN server on the other side of the world takes four round trips of 0.3 s: three for TLS, two to be let in."
SILENT_FOR = 60.0
"Seconds for which a server that was silent is not asked again, by the same way: else every client would wait for it."
SILENT = "a STUN or TURN server does not answer"


class Gathering:
    """Asks servers, each for a bounded time, and remembers who was silent. Event loop only."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._silent: dict[tuple[object, ...], float] = {}
        "Server and local address -> when it may be asked again: one interface may lead nowhere (Docker, a VPN)."
        self.told = Tally(structlog.get_logger(__name__))

    async def ask(self, asking: Callable[[], Awaitable[T]], server: tuple[str, int], by: str) -> T:
        """What `asking` returns. Raises ConnectionError where `server` is silent, or was lately."""
        if self._now() < self._silent.get((server, by), 0.0):
            raise ConnectionError(f"{server} was silent lately")
        try:
            async with asyncio.timeout(PATIENCE):
                answer = await asking()
        except Exception as failure:
            self._silent[server, by] = self._now() + SILENT_FOR
            cause = f"nothing within {PATIENCE:g} s" if isinstance(failure, TimeoutError) else repr(failure)
            self.told.count(SILENT, server="{}:{}".format(*server), by=by, cause=cause)
            raise ConnectionError(f"{server}: {cause}") from failure
        self._silent.pop((server, by), None)
        return answer

    async def reflexive(self, asking: Callable[..., Awaitable[Any]], protocol: Any, server: tuple[str, int]) -> Any:
        """In the place of aioice's server_reflexive_candidate, which is `asking`."""
        return await self.ask(lambda: asking(protocol, server), server, protocol.local_candidate.host)

    async def relayed(self, asking: Callable[..., Awaitable[Any]], **how: Any) -> Any:
        """In the place of aioice's relayed_candidate, which is `asking`."""
        return await self.ask(lambda: asking(**how), how["turn_server"], "any interface")
