"""Membership: a node's part in the cluster: it reports twice a second, and hears who else is there. Event loop only."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from server.cluster.members import DEAD_SECONDS, Heard, Report
from server.cluster.registry import Registry
from server.tally import Tally

log = structlog.get_logger(__name__)

EVERY = 0.5
"Seconds between reports."
ANSWER_SECONDS = 2.0


class Membership:
    def __init__(
        self, registry: Registry, report: Callable[[], Report], forgotten: Callable[[], tuple[str, ...]],
        learn: Callable[[tuple[str, ...]], Awaitable[None]],
    ) -> None:  # fmt: skip
        """`report`: what this node has now. `forgotten`, `learn`: avatars that were forgotten, which it knows, and is told of."""
        self.registry, self._report = registry, report
        self._forgotten, self._learn = forgotten, learn
        self.node = report().node
        self.nodes: tuple[Report, ...] = ()
        "As heard last."
        self.draining = False
        self._joined, self._known = False, 0
        "Whether the directory knows this node, and of how many forgotten avatars it has told."
        self._heard_at, self._settled = 0.0, False
        self._turn = asyncio.Lock()
        self._told = Tally(log)
        self._going: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Join, and go on reporting. Raises ConnectionError."""
        await self._beat()
        self._going = asyncio.create_task(self._go())

    async def end(self) -> None:
        """Say goodbye."""
        if self._going is not None:
            self._going.cancel()
            await asyncio.gather(self._going, return_exceptions=True)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self.registry.leave(self.node)
        except (ConnectionError, TimeoutError):
            log.info("the directory does not answer; it will miss this machine by itself")

    async def tell(self) -> None:
        """Report now: what has just begun here is asked for at another door at once. Where nobody hears it, the next report tells."""
        with suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._beat()

    def join_again(self) -> None:
        """With the next report."""
        self._joined = False

    def away(self) -> bool:
        """The directory has not answered for so long that it takes this node for gone."""
        return time.monotonic() - self._heard_at > DEAD_SECONDS

    def blind(self) -> bool:
        """What was forgotten elsewhere may not be known here (yet)."""
        return not self._settled or self.away()

    async def _go(self) -> None:
        while True:
            await asyncio.sleep(EVERY)
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    await self._beat()
            except (ConnectionError, TimeoutError) as failure:
                self._told.count("the cluster's directory does not answer; who is live stays so", error=repr(failure))
            except Exception as failure:  # a machine whose reports end is taken for dead, and its callers with it
                self._told.count("what the directory told could not be done", error=repr(failure))

    async def _beat(self) -> None:
        async with self._turn:
            await self._reported()

    async def _reported(self) -> None:
        report = self._report()
        heard = await self.registry.beat(report, self._known) if self._joined else None
        if heard is None:
            self._joined, self._known = True, 0
            heard = await self.registry.join(report, self._forgotten())
            log.info("joined the cluster", node=self.node, machines=len(heard.nodes))
        await self._take(heard)

    async def _take(self, heard: Heard) -> None:
        self._heard_at, self.nodes = time.monotonic(), heard.nodes
        if heard.draining != self.draining:
            log.info("drained: takes nobody any more" if heard.draining else "takes callers again", node=self.node)
        self.draining = heard.draining
        self._known += len(heard.forgotten)
        await self._learn(heard.forgotten)
        self._settled = self._settled or heard.settled
