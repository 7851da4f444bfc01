"""Entry: how a caller comes to a channel, how a viewer does, another server too: from an offer to an answer. Slow work goes to threads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import structlog

from display.screen import Screen
from engines.contract import FaceObservation
from engines.geometry.motion import Motion
from pipeline.frame import Frame
from pipeline.session import Session
from server import workers
from server.channels import refusals
from server.channels.admission import MOST_COMING
from server.channels.channel import Channel, Handover
from server.channels.drawing import Drawing
from server.channels.endings import Endings
from server.channels.gate import Gate
from server.channels.lifecycle import Event, Viewing
from server.channels.origin import origin_of
from server.channels.services import Services
from server.channels.tasks import Tasks
from server.displays.attached import Attached
from server.media.encode import layout_for
from server.problems import Problem
from server.provenance.statement import Statement
from server.settings import Settings
from server.webrtc.audio import Listen
from server.webrtc.backlog import Limits
from server.webrtc.offers import Offer
from server.webrtc.outlet import Outlet
from server.webrtc.peers import Peer

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Accepted:
    """What a client gets for its offer."""

    peer: Peer
    answer: str


class Entry:
    """Event loop only."""

    def __init__(
        self,
        settings: Settings,
        services: Services,
        codec: str,
        attached: Attached | None,
        gate: Gate,
        endings: Endings,
        tasks: Tasks,
    ) -> None:
        self._settings, self._services, self._codec, self._attached = settings, services, codec, attached
        self._gate, self._endings, self._tasks = gate, endings, tasks
        self._limits = Limits(settings.max_picture_pixels)

    async def caller(self, channel: Channel, offer: Offer, driver: str | None) -> Accepted:
        """Let a channel's caller in. Where that fails, the channel is over. Raises Problem, and what making a session does."""
        try:
            session = await self._make(channel)
            self._endings.still_there(channel)
            channel.caller = peer = self._peer(channel, "caller")
            await peer.take(offer)
            self._endings.still_there(channel)
            channel.moved_by(driver)
            channel.receive(peer, offer, session, self._limits, partial(self._endings.unreceived, channel))
            answer = await peer.answer()
            channel.happen(Event.ANSWERED)
            self._endings.still_there(channel)
        except BaseException:
            ended = channel.reason
            await self._endings.end(channel, "it could not start")
            if ended:  # whatever it was that failed, failed for that
                raise self._endings.over(channel) from None
            raise
        log.info("caller came", channel=channel.name, engine=channel.engine, audio=offer.audio)
        return Accepted(peer, answer)

    async def caller_again(self, channel: Channel, offer: Offer, driver: str | None) -> Accepted:
        """Let the caller of a held channel come back: make before break. The channel must be live. Raises Problem."""
        peer = self._peer(channel, "caller")
        try:
            await peer.take(offer)
            self._endings.still_there(channel)
            channel.moved_by(driver)
            channel.succeed(peer, offer, self._limits, partial(self._endings.unreceived, channel))
            peer.connection.on("connectionstatechange", partial(self._came_back, channel, peer))
            answer = await peer.answer()
            self._endings.still_there(channel)
        except BaseException:
            if channel.successor is not None and channel.successor.peer is peer:
                channel.give_up("it could not start")
            else:
                await peer.close()
            raise
        log.info("caller comes again", channel=channel.name, audio=offer.audio)
        return Accepted(peer, answer)

    def _came_back(self, channel: Channel, peer: Peer) -> None:
        if peer.connected and not channel.life.over:
            channel.take_over(peer)

    async def viewer(
        self, channel: Channel, offer: Offer, forms: Sequence[Screen | None], listen: Listen | None = None
    ) -> Accepted:
        """Let a viewer in, who may be sent any of `forms` (forms.py), and hears what `listen` gives, or else the caller.
        Raises Problem."""
        await self._make_place(channel)
        peer = self._peer(channel, "viewer")
        viewer = channel.admit(peer, forms, listen)
        level = self._gate.form(viewer.screen).level
        return await self._answered(channel, peer, channel.send(viewer, offer), level)

    async def drawer(self, channel: Channel, offer: Offer, listen: Listen | None = None) -> Accepted:
        """Let in a viewer who draws the avatar itself. Raises Problem."""
        if channel.drawing is None:
            raise refusals.no_geometry(channel.lacks)
        await channel.drawing.asset()
        await self._make_place(channel)
        peer = self._peer(channel, "viewer")
        drawer = channel.admit_drawer(peer, listen)
        return await self._answered(channel, peer, channel.send_motion(drawer, offer))

    async def _make_place(self, channel: Channel) -> None:
        self._endings.still_there(channel)
        coming = channel.life.viewers(Viewing.COMING)
        if len(coming) >= MOST_COMING:  # an offer costs nothing: those who never connect must not keep others out
            longest = channel.viewers[coming[0]].peer
            await self._endings.leave(channel.name, longest, "a newer viewer took its place")

    async def _answered(
        self, channel: Channel, peer: Peer, sending: Coroutine[Any, Any, None], level: int | None = None
    ) -> Accepted:
        """The answer to a viewer whose offer `sending` applies. Where that fails, it is gone."""
        peer.connection.on("connectionstatechange", partial(self._connected, channel, peer))
        try:
            await sending
            answer = await peer.answer(level)
            self._endings.still_there(channel)
        except BaseException as failure:
            displaced = peer.closed and isinstance(failure, Exception)
            channel.happen(Event.LEFT, peer.id)
            self._endings.still_there(channel)  # whatever it was that failed, failed for that
            if displaced:
                raise refusals.displaced(MOST_COMING) from None
            raise
        return Accepted(peer, answer)

    async def handover(
        self, channel: Channel, screen: Screen, url: str, token: str, listen: Listen | None = None
    ) -> Handover:
        """Publish a channel at another server, with what `listen` gives, or else its caller's sound. Raises Problem."""
        self._endings.still_there(channel)
        if channel.handed_over is not None:
            raise refusals.handed_over(channel.name, channel.handed_over.host)
        outlet = Outlet(self._settings, lambda reason: self._gone(channel, outlet, "handover", reason))
        viewer = channel.admit(outlet, [screen], listen)
        channel.handover = Handover(urlsplit(url).hostname or "", time.time(), outlet)
        outlet.connection.on("connectionstatechange", partial(self._connected, channel, outlet))
        try:
            await channel.publish(viewer, outlet, url, token)
            self._endings.still_there(channel)
        except BaseException:
            channel.happen(Event.LEFT, outlet.id)
            self._endings.still_there(channel)
            raise
        log.info("handed over", channel=channel.name, host=channel.handover.host)
        return channel.handover

    def _connected(self, channel: Channel, peer: Peer) -> None:
        """From now on it costs: there may be no place any more, where many came at once."""
        if not peer.connected or channel.life.of(peer.id) is not Viewing.COMING:
            return
        screen = channel.viewers[peer.id].screen
        try:
            self._gate.viewer(channel, screen)
        except Problem as full:
            self._tasks.see_to(self._endings.leave(channel.name, peer, full.detail))
            return
        channel.happen(Event.CONNECTED, peer.id)
        log.info(
            "viewer came", channel=channel.name, screen=screen.name if screen else "geometry", viewers=channel.watching
        )

    async def _make(self, channel: Channel) -> Session:
        """Its session; one that comes after the channel's end is closed again."""
        try:
            loop = asyncio.get_running_loop()
            made = await workers.slow(self._session, channel, loop)
            channel.session, channel.parallel, channel.origin = made
        except BaseException:
            channel.happen(Event.UNMADE)
            raise
        channel.make_as_told()
        channel.happen(Event.MADE)
        return channel.session

    def _session(self, channel: Channel, loop: asyncio.AbstractEventLoop) -> tuple[Session, bool, Statement]:
        """In a thread: loading an engine takes its time, and so does asking what it can, while another one loads."""

        def gone(reason: str) -> None:
            loop.call_soon_threadsafe(self._endings.broken, channel, reason)

        def looked(seen: FaceObservation, captured: float) -> None:
            if channel.looked is not None:
                loop.call_soon_threadsafe(channel.looked, seen, captured)

        composed = partial(self._attached.take, channel.name) if self._attached is not None else None
        marked, layout, present = self._settings.mark, layout_for(self._codec), channel.presenter.present
        moved = self._drawn(channel, loop)
        session = self._services.session(
            channel.engine, channel.avatar, present, marked, layout, composed, gone, looked, moved
        )
        parallel = self._services.engine(channel.engine).abilities.parallel
        return session, parallel, origin_of(channel.engine, channel.avatar, self._settings, self._services)

    def _drawn(self, channel: Channel, loop: asyncio.AbstractEventLoop) -> Callable[[Motion, Frame], None] | None:
        """What hears of motion, where viewers may draw the avatar themselves."""
        engine = self._services.engine(channel.engine)
        if (
            not engine.abilities.geometry or engine.noise
        ):  # what is noise says so in every view, which is its renderer's
            return None
        if not self._settings.geometry:
            channel.lacks = "operator"
            return None
        enrolled = partial(self._services.enrolled, channel.avatar, engine)
        channel.drawing = Drawing(engine, enrolled, self._settings.mark, loop)
        return channel.drawing.moved

    def _peer(self, channel: Channel, role: str) -> Peer:
        peer = Peer(self._settings, lambda reason: self._gone(channel, peer, role, reason))
        return peer

    def _gone(self, channel: Channel, peer: Peer, role: str, reason: str) -> None:
        log.info("peer lost", channel=channel.name, role=role, reason=reason)
        self._tasks.see_to(self._endings.leave(channel.name, peer, reason))
