"""Endings: how channels end and who leaves them: once, for one reason, which whoever asks is told where we have ended one."""

from __future__ import annotations

import asyncio
from collections import Counter

import structlog

from server.channels import refusals
from server.channels.channel import STOPPING, Channel
from server.channels.closing import PATIENCE
from server.channels.lifecycle import Event
from server.channels.tasks import Tasks
from server.problems import Problem
from server.webrtc.peers import Peer

log = structlog.get_logger(__name__)

ENDING_PATIENCE = 3 * PATIENCE
"Seconds that anybody waits for a channel's end: pictures, session and recording close one after another."
MOST_TOLD = 64
"Channels that we ended of which it is remembered why."


class Endings:
    """Event loop only."""

    def __init__(self, channels: dict[str, Channel], tasks: Tasks) -> None:
        """`channels`: those that are not over, by name; one that ends is taken out."""
        self._channels, self._tasks = channels, tasks
        self._ending: dict[Channel, asyncio.Task[None]] = {}
        self.stopping = False
        "Nobody comes in any more."
        self.ended: Counter[str] = Counter()
        "Reason -> channels that we have ended."
        self.told: dict[str, str] = {}
        "Channel -> why we have ended the last one of that name."

    def end(self, channel: Channel, reason: str) -> asyncio.Future[None]:
        """End it for `reason`, if it is not over. What is returned is done once everything of it is closed."""
        channel.end(reason)
        if self._channels.get(channel.name) is channel:
            del self._channels[channel.name]
            self._ending[channel] = self._tasks.see_to(self._ended(channel))
        ending = self._ending.get(channel)
        return asyncio.shield(ending) if ending is not None else _done()

    def broken(self, channel: Channel, reason: str) -> None:
        log.error("a channel ends: its devices have failed", channel=channel.name, reason=reason)
        self._we_end(channel, "its devices have failed")

    def unreceived(self, channel: Channel, reason: str) -> None:
        log.error("a channel ends: its pictures cannot be taken in any more", channel=channel.name, reason=reason)
        self._we_end(channel, "its pictures could not be taken in")

    def overdue(self, channel: Channel, reason: str) -> None:
        log.warning("a channel ends: it keeps its place for nothing", channel=channel.name, reason=reason)
        self._we_end(channel, reason)

    def withdrawn(self, channel: Channel) -> None:
        log.info("a channel ends: consent to its portrait is withdrawn", channel=channel.name)
        self._we_end(channel, "consent to the portrait was withdrawn")

    async def leave(self, name: str, peer: Peer, reason: str) -> None:
        """Let `peer` go. A caller takes the channel with it, unless that is held for one, whose end is waited for."""
        channel = self._channels.get(name)
        if channel is None:
            return
        if channel.successor is not None and channel.successor.peer is peer:
            channel.give_up(reason)
        elif channel.caller is peer and channel.held and not channel.life.over:
            channel.lose_caller()
            log.info("caller lost; the place is held", channel=name, reason=reason)
        elif channel.caller is peer:
            await asyncio.wait([self.end(channel, reason)], timeout=ENDING_PATIENCE)
        elif peer.id in channel.viewers:
            channel.happen(Event.LEFT, peer.id)
            log.info("viewer left", channel=name, reason=reason, viewers=channel.watching)

    async def of(self, avatar: str) -> bool:
        """Whether all channels with `avatar` that were ending are at their end."""
        endings = [ending for channel, ending in self._ending.items() if channel.avatar == avatar]
        return not endings or not (await asyncio.wait(endings, timeout=ENDING_PATIENCE))[1]

    async def close(self) -> None:
        """End all, and whatever is under way with them. What hangs is left behind. Never raises."""
        for channel in list(self._channels.values()):
            self.end(channel, STOPPING)
        hanging = await self._tasks.finished(ENDING_PATIENCE)
        if hanging:
            log.error("the server stops without what does not end", tasks=hanging)

    def still_there(self, channel: Channel) -> None:
        """Raises Problem where it ended while somebody was waiting, its caller's patience for one."""
        if channel.life.over:
            raise self.over(channel)

    def over(self, channel: Channel) -> Problem:
        """What whoever comes to `channel` is told after its end."""
        return refusals.stopping() if self.stopping else refusals.not_live(channel.name)

    def _we_end(self, channel: Channel, reason: str) -> None:
        """Nobody has asked for it, so everybody who asks is told why."""
        if channel.life.over:
            return
        self.ended[reason] += 1
        self.told[channel.name] = reason
        while len(self.told) > MOST_TOLD:
            del self.told[next(iter(self.told))]
        self.end(channel, reason)

    async def _ended(self, channel: Channel) -> None:
        await channel.ended()
        self._ending.pop(channel, None)
        log.info("caller left", channel=channel.name, reason=channel.reason)


def _done() -> asyncio.Future[None]:
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    done.set_result(None)
    return done
