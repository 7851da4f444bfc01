"""Gathering: how long a STUN or TURN server may take, and which of them are silent or refuse us. Answers to clients wait for them.

aioice tells nobody where a server gives no address: gathering just ends without one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import aioice.stun
import structlog

from server.tally import Tally

T = TypeVar("T")
PATIENCE = 1.5
"Seconds. A TURN server on the other side of the world takes four round trips of 0.3 s: three for TLS, two to be let in."
SILENT_FOR = 60.0
"Seconds for which a server that was silent is not asked again, by the same way: else every client would wait for it."
STUN_SILENT = "a STUN server does not answer"
TURN_SILENT = "a TURN server does not answer"
TURN_REFUSES = "a TURN server refuses this server's credential: is TELEQUILT_TURN_SECRET its static-auth-secret?"
TURN_FAILURES = {TURN_SILENT: "silent", TURN_REFUSES: "refused"}
"What metrics call them."
UNAUTHORISED = (401, 403)
"Codes of RFC 8489, section 14.8."


class Gathering:
    """Asks servers, each for a bounded time, and remembers who was silent. Event loop only."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._silent: dict[tuple[object, ...], float] = {}
        "Server and local address -> when it may be asked again: one interface may lead nowhere (Docker, a VPN)."
        self.told = Tally(structlog.get_logger(__name__))

    async def ask(self, asking: Callable[[], Awaitable[T]], server: tuple[str, int], by: str, silent: str) -> T:
        """What `asking` returns. Raises ConnectionError where `server` gives nothing, or did not lately. `silent` says so."""
        if self._now() < self._silent.get((server, by), 0.0):
            raise ConnectionError(f"{server} was silent lately")
        try:
            async with asyncio.timeout(PATIENCE):
                answer = await asking()
        except Exception as failure:
            self._silent[server, by] = self._now() + SILENT_FOR
            cause = (
                f"nothing within {PATIENCE:g} s" if isinstance(failure, TimeoutError) else str(failure) or repr(failure)
            )
            self.told.count(
                TURN_REFUSES if refuses(failure) else silent, server="{}:{}".format(*server), by=by, cause=cause
            )
            raise ConnectionError(f"{server}: {cause}") from failure
        self._silent.pop((server, by), None)
        return answer

    async def reflexive(self, asking: Callable[..., Awaitable[Any]], protocol: Any, server: tuple[str, int]) -> Any:
        """In the place of aioice's server_reflexive_candidate, which is `asking`."""
        return await self.ask(lambda: asking(protocol, server), server, protocol.local_candidate.host, STUN_SILENT)

    async def relayed(self, asking: Callable[..., Awaitable[Any]], **how: Any) -> Any:
        """In the place of aioice's relayed_candidate, which is `asking`."""
        return await self.ask(lambda: asking(**how), how["turn_server"], "any interface", TURN_SILENT)

    @property
    def turn_failures(self) -> dict[str, int]:
        """How often a TURN server gave no address, by reason."""
        return {name: self.told.counts.get(reason, 0) for reason, name in TURN_FAILURES.items()}


def refuses(failure: BaseException) -> bool:
    """Whether a server did answer, and would not have us."""
    if not isinstance(failure, aioice.stun.TransactionFailed):
        return False
    code, _ = failure.response.attributes.get("ERROR-CODE", (0, ""))
    return code in UNAUTHORISED
