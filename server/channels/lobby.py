"""Lobby: the call manager: who is live, who watches, and who may still come in. Event loop only; slow work goes to threads.

What happens to a call is decided by server/channels/lifecycle.py and carried out by server/channels/channel.py.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import structlog

from display.screen import Screen
from pipeline.clock import UNKNOWN
from pipeline.devices.capacity import Load
from pipeline.executors.deployments import Deployment
from pipeline.session import Session
from server import workers
from server.channels import refusals
from server.channels.admission import MOST_COMING, Admission
from server.channels.channel import STOPPING, Channel
from server.channels.closing import PATIENCE
from server.channels.lifecycle import Event, Viewing
from server.channels.report import ChannelReport, report_of, shown
from server.channels.rounds import Rounds
from server.channels.services import Services
from server.displays.attached import Attached
from server.media.encode import Form, form_for, layout_for
from server.media.present import Presenter
from server.problems import Problem
from server.recordings.archive import Archive, Facts
from server.settings import Settings
from server.webrtc import offers
from server.webrtc.backlog import Limits
from server.webrtc.offers import Offer
from server.webrtc.peers import Peer

log = structlog.get_logger(__name__)
T = TypeVar("T")

ENDING_PATIENCE = 3 * PATIENCE
"Seconds that anybody waits for a call's end: pictures, session and recording close one after another."
MOST_TOLD = 64
"Calls that we ended of which it is remembered why."


@dataclass(frozen=True)
class Accepted:
    """What a client gets for its offer."""

    peer: Peer
    answer: str


class Lobby:
    def __init__(
        self, settings: Settings, services: Services, codec: str, archive: Archive, attached: Attached | None = None
    ) -> None:
        self._settings, self._services, self._codec, self._attached = settings, services, codec, attached
        self.archive = archive
        self.channels: dict[str, Channel] = {}
        "Those that are not over, by name."
        self._ending: dict[Channel, asyncio.Task[None]] = {}
        self._forgetting: Counter[str] = Counter()
        self._under_way: set[asyncio.Task[Any]] = set()
        self._stopping = False
        self.turned_away: dict[str, int] = {"callers": 0, "viewers": 0}
        self._admission = Admission(settings)
        self._limits = Limits(settings.max_picture_pixels)
        self.ended: Counter[str] = Counter()
        "Reason -> calls that we have ended."
        self._told: dict[str, str] = {}
        "Channel -> why we have ended its last call."
        self._rounds = Rounds(settings, self.channels, self._failing, self._overdue, self._measure)

    async def publish(self, name: str, sdp: str, avatar: str, engine: str) -> Accepted:
        """Let a caller in. Raises Problem, UnknownAvatar, UnknownEngine, WeightsMissing."""
        offer = offers.publishing(sdp)
        channel = self._reserve(name, avatar, engine)
        try:
            return await self.whole(self._open(channel, offer))
        except asyncio.CancelledError:
            self._end(channel, "whoever asked for it has gone")
            raise

    async def view(self, name: str, sdp: str, screen: Screen) -> Accepted:
        """Let a viewer in. Raises Problem."""
        offer = offers.viewing(sdp)
        channel = self.live(name)
        self._check_viewer(channel, screen)
        return await self.whole(self._admit(channel, offer, screen))

    async def whole(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` returns. It goes on to its end even where whoever waits for it is cancelled."""
        return await asyncio.shield(self.see_to(work))

    def live(self, name: str) -> Channel:
        """The channel called `name`. Raises Problem 404, with the time to ask again, while nobody is live there."""
        channel = self.channels.get(name)
        if channel is None or not channel.life.live:
            raise refusals.not_live(name, self._told.get(name, ""))
        return channel

    def caller(self, name: str, peer_id: str) -> Peer:
        """Raises Problem 404 unless `peer_id` is the caller of `name`."""
        channel = self.channels.get(name)
        if channel is None or channel.caller is None or channel.caller.id != peer_id:
            raise refusals.no_session()
        return channel.caller

    def viewer(self, name: str, peer_id: str) -> Peer:
        """Raises Problem 404 unless `peer_id` is a viewer of `name`."""
        channel = self.channels.get(name)
        if channel is None or peer_id not in channel.viewers:
            raise refusals.no_session()
        return channel.viewers[peer_id].peer

    async def leave(self, name: str, peer: Peer, reason: str = "asked to") -> None:
        """Let `peer` go. A caller takes the channel with it, whose end is waited for."""
        channel = self.channels.get(name)
        if channel is None:
            return
        if channel.caller is peer:
            await asyncio.wait([self._end(channel, reason)], timeout=ENDING_PATIENCE)
        elif peer.id in channel.viewers:
            channel.happen(Event.LEFT, peer.id)
            log.info("viewer left", channel=name, reason=reason, viewers=channel.watching)

    @asynccontextmanager
    async def forgetting(self, avatar: str) -> AsyncIterator[None]:
        """While this lasts nobody is live with `avatar`, nor can be, and what was is at its end, recordings too.

        Raises Problem: 409 where somebody is, 503 where what was does not end.
        """
        if any(channel.avatar == avatar for channel in self.channels.values()):
            raise refusals.avatar_live()
        self._forgetting[avatar] += 1
        try:
            endings = [ending for channel, ending in self._ending.items() if channel.avatar == avatar]
            if endings and (await asyncio.wait(endings, timeout=ENDING_PATIENCE))[1]:
                raise refusals.call_ending()
            yield
        finally:
            self._forgetting -= Counter({avatar: 1})

    def report(self, channel: Channel) -> ChannelReport:
        return report_of(channel, self._settings.private)

    def reports(self) -> list[ChannelReport]:
        """Of every live channel."""
        return [self.report(channel) for channel in self.channels.values() if channel.life.live]

    def shown(self, facts: Facts) -> Facts:
        """A recording's facts as clients get them: an avatar's id is the key to a face."""
        return shown(facts, self._settings.private)

    def check_room(self, engine: str) -> None:
        """Raises Problem 503 where no caller of `engine` can come in now."""
        self._admission.check(self._loads, engine, self._services.places.reports(engine))

    def check_devices(self, engine: str) -> None:
        """Raises Problem 503 where no picture of `engine` can be made."""
        self._admission.check_devices(self._services.places.reports(engine))

    @property
    def places(self) -> list[Deployment]:
        """Where engines run."""
        return self._services.places.all()

    @property
    def utilisation(self) -> dict[str, float]:
        """Device -> share of the time that it works when everybody is watched."""
        return self._admission.utilisation(self._loads)

    async def close(self) -> None:
        """Everybody out, and nobody in any more. What hangs is left behind. Never raises."""
        self._stopping = True
        await self._rounds.close()
        for channel in list(self.channels.values()):
            self._end(channel, STOPPING)
        while self._under_way:
            _, hanging = await asyncio.wait(self._under_way, timeout=ENDING_PATIENCE)
            if hanging:
                log.error("the server stops without what does not end", tasks=len(hanging))
                return

    def form(self, screen: Screen) -> Form:
        """How `screen` is sent. Raises ValueError where it is larger than H.264 goes."""
        width, height = screen.quilt_width + screen.quilt_width % 2, screen.quilt_height + screen.quilt_height % 2
        return form_for(width, height, self._settings.frames_per_second, self._settings.bitrate)

    def _reserve(self, name: str, avatar: str, engine: str) -> Channel:
        if self._stopping:
            raise refusals.stopping()
        if name in self.channels:
            raise refusals.channel_taken(name)
        if self._forgetting[avatar]:
            raise refusals.avatar_being_forgotten()
        try:
            self.check_room(engine)
        except Problem:
            self.turned_away["callers"] += 1
            raise
        self._told.pop(name, None)
        channel = Channel(name, avatar, engine, Presenter(self.form, self._codec), self._may_be_shown)
        self.channels[name] = channel
        return channel

    async def _open(self, channel: Channel, offer: Offer) -> Accepted:
        try:
            session = await self._make(channel)
            self._still_there(channel)
            channel.caller = peer = self._peer(channel, "caller")
            await peer.take(offer)
            self._still_there(channel)
            channel.receive(peer, offer, session, self._limits, partial(self._unreceived, channel))
            answer = await peer.answer()
            channel.happen(Event.ANSWERED)
            self._still_there(channel)
        except BaseException:
            ended = channel.reason
            await self._end(channel, "it could not start")
            if ended:  # whatever it was that failed, failed for that
                raise self._over(channel) from None
            raise
        log.info("caller came", channel=channel.name, engine=channel.engine, audio=offer.audio)
        return Accepted(peer, answer)

    async def _make(self, channel: Channel) -> Session:
        """Its session; one that comes after the call's end is closed again."""
        try:
            loop = asyncio.get_running_loop()
            channel.session, channel.parallel = await workers.slow(self._session, channel, loop)
        except BaseException:
            channel.happen(Event.UNMADE)
            raise
        channel.happen(Event.MADE)
        return channel.session

    def _session(self, channel: Channel, loop: asyncio.AbstractEventLoop) -> tuple[Session, bool]:
        """In a thread: loading an engine takes its time, and so does asking what it can, while another one loads."""

        def gone(reason: str) -> None:
            loop.call_soon_threadsafe(self._broken, channel, reason)

        composed = partial(self._attached.take, channel.name) if self._attached is not None else None
        marked, layout, present = self._settings.mark, layout_for(self._codec), channel.presenter.present
        session = self._services.session(channel.engine, channel.avatar, present, marked, layout, composed, gone)
        return session, self._services.engine(channel.engine).abilities.parallel

    async def _admit(self, channel: Channel, offer: Offer, screen: Screen) -> Accepted:
        self._still_there(channel)
        coming = channel.life.viewers(Viewing.COMING)
        if len(coming) >= MOST_COMING:  # an offer costs nothing: those who never connect must not keep others out
            await self.leave(channel.name, channel.viewers[coming[0]].peer, "a newer viewer took its place")
        peer = self._peer(channel, "viewer")
        viewer = channel.admit(peer, screen)
        peer.connection.on("connectionstatechange", partial(self._connected, channel, peer))
        try:
            await channel.send(viewer, offer)
            answer = await peer.answer(self.form(screen).level)
            self._still_there(channel)
        except BaseException:
            channel.happen(Event.LEFT, peer.id)
            self._still_there(channel)  # whatever it was that failed, failed for that
            raise
        return Accepted(peer, answer)

    def _check_viewer(self, channel: Channel, screen: Screen) -> None:
        """Raises Problem 503 where one more viewer of it cannot be served."""
        sent = sum(one.presenter.packets for one in self.channels.values())
        try:
            self._admission.check_viewer(channel.watching, channel.presenter.watched, sent, screen, self.form(screen))
        except Problem:
            self.turned_away["viewers"] += 1
            raise

    def _connected(self, channel: Channel, peer: Peer) -> None:
        """From now on it costs: there may be no place any more, where many came at once."""
        if not peer.connected or channel.life.of(peer.id) is not Viewing.COMING:
            return
        screen = channel.viewers[peer.id].screen
        try:
            self._check_viewer(channel, screen)
        except Problem as full:
            self.see_to(self.leave(channel.name, peer, full.detail))
            return
        channel.happen(Event.CONNECTED, peer.id)
        log.info("viewer came", channel=channel.name, screen=screen.name, viewers=channel.watching)

    def _peer(self, channel: Channel, role: str) -> Peer:
        def gone(reason: str) -> None:
            log.info("peer lost", channel=channel.name, role=role, reason=reason)
            self.see_to(self.leave(channel.name, peer, reason))

        peer = Peer(self._settings, gone)
        return peer

    @property
    def _loads(self) -> list[Load]:
        return [
            Load(one.engine, one.session.cost(), one.session.fps())
            if one.session is not None
            else Load(one.engine, UNKNOWN)
            for one in self.channels.values()
        ]

    def _broken(self, channel: Channel, reason: str) -> None:
        log.error("a call ends: its devices have failed", channel=channel.name, reason=reason)
        self._we_end(channel, "its devices have failed")

    def _unreceived(self, channel: Channel, reason: str) -> None:
        log.error("a call ends: its pictures cannot be taken in any more", channel=channel.name, reason=reason)
        self._we_end(channel, "its pictures could not be taken in")

    def _overdue(self, channel: Channel, reason: str) -> None:
        log.warning("a call ends: it keeps its place for nothing", channel=channel.name, reason=reason)
        self._we_end(channel, reason)

    def _we_end(self, channel: Channel, reason: str) -> None:
        """Nobody has asked for it, so everybody who asks is told why."""
        if channel.life.over:
            return
        self.ended[reason] += 1
        self._told[channel.name] = reason
        while len(self._told) > MOST_TOLD:
            del self._told[next(iter(self._told))]
        self._end(channel, reason)

    def _measure(self) -> None:
        self._admission.look(self._loads)

    def _failing(self, channel: Channel) -> str:
        reports = self._services.places.reports(channel.engine)
        return "; ".join(f"{one.device}: {one.reason}" for one in reports if not one.up)

    def _end(self, channel: Channel, reason: str) -> asyncio.Future[None]:
        """End it for `reason`, if it is not over. What is returned is done once everything of it is closed."""
        channel.end(reason)
        return self._see_off(channel)

    def _see_off(self, channel: Channel) -> asyncio.Future[None]:
        if self.channels.get(channel.name) is channel:
            del self.channels[channel.name]
            self._ending[channel] = self.see_to(self._ended(channel))
        ending = self._ending.get(channel)
        return asyncio.shield(ending) if ending is not None else _done()

    async def _ended(self, channel: Channel) -> None:
        await channel.ended()
        self._ending.pop(channel, None)
        log.info("caller left", channel=channel.name, reason=channel.reason)

    def see_to(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task that close() waits for; a task that nobody holds may vanish."""
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # told to whoever waits, if anybody
        return task

    def _may_be_shown(self, channel: Channel, live: bool) -> None:
        """Let the display of this machine watch a live channel, if it has none."""
        if self._attached is None:
            return
        if not live and self._attached.channel == channel.name:
            self._attached.leave()
        if self._attached.channel is not None:
            return
        for one in self.channels.values():
            if one.life.live and one.session is not None and self._attached.wants(one.name):
                self._attached.watch(one.name, one.session, one.parallel)
                return

    def _still_there(self, channel: Channel) -> None:
        """Raises Problem where the call ended while we were waiting, its caller's patience for one."""
        if channel.life.over:
            raise self._over(channel)

    def _over(self, channel: Channel) -> Problem:
        return refusals.stopping() if self._stopping else refusals.not_live(channel.name)


def _done() -> asyncio.Future[None]:
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    done.set_result(None)
    return done
