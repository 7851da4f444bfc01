"""Lobby: who is live, who watches, and who may still come in. Event loop only; slow work goes to threads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import structlog
from aiortc import RTCRtpTransceiver

from display.screen import Screen
from pipeline.clock import UNKNOWN
from pipeline.devices.capacity import Load
from pipeline.executors.deployments import Deployment
from pipeline.session import Session
from server.calls.admission import RETRY_SECONDS, Admission
from server.calls.channel import Channel, ChannelReport, Viewer
from server.calls.services import Services
from server.displays.attached import Attached
from server.media.encode import Form, form_for, layout_for
from server.media.present import Presenter
from server.problems import Problem, busy
from server.recordings.archive import Archive, Facts
from server.settings import Settings
from server.webrtc import offers
from server.webrtc.audio import Voice
from server.webrtc.backlog import Limits
from server.webrtc.ingest import LONGEST_SIDE, Ingest
from server.webrtc.live_video import LiveVideo
from server.webrtc.offers import Offer
from server.webrtc.patches import on_keyframe_request, pace
from server.webrtc.peers import Peer, prefer_h264

log = structlog.get_logger(__name__)

STOPPING, CALLER_LEFT = "the server stops", "the caller left"
LIVE_RETRY_SECONDS = 2
"When to look again for a caller who is not there yet."


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
        self._leaving: set[asyncio.Task[None]] = set()
        self.turned_away: dict[str, int] = {"callers": 0, "viewers": 0}
        self._admission = Admission(settings)
        self._limits = Limits(settings.max_picture_pixels)

    async def publish(self, name: str, sdp: str, avatar: str, engine: str) -> Accepted:
        """Let a caller in. Raises Problem, UnknownAvatar, UnknownEngine, WeightsMissing."""
        offer = offers.publishing(sdp)
        channel = self._reserve(name, avatar, engine)
        try:
            present, marked, layout = channel.presenter.present, self._settings.mark, layout_for(self._codec)
            composed = partial(self._attached.take, name) if self._attached is not None else None
            loop = asyncio.get_running_loop()

            def gone(reason: str) -> None:
                loop.call_soon_threadsafe(self._broken, channel, reason)

            channel.session = await asyncio.to_thread(
                self._services.session, engine, avatar, present, marked, layout, composed, gone
            )
            channel.caller = peer = self._peer(channel, "caller")
            await peer.take(offer)
            self._still_there(channel)
            self._receive(channel, channel.session)
            answer = await peer.answer()
            self._still_there(channel)
        except BaseException:
            await asyncio.shield(self._end(channel, "it could not start"))
            raise
        self._attach()
        log.info("caller came", channel=name, engine=engine, audio=offer.audio)
        return Accepted(peer, answer)

    async def view(self, name: str, sdp: str, screen: Screen) -> Accepted:
        """Let a viewer in. Raises Problem."""
        offer = offers.viewing(sdp)
        channel = self.live(name)
        if len(channel.viewers) >= self._settings.max_viewers:
            self.turned_away["viewers"] += 1
            most = self._settings.max_viewers
            raise busy("too-many-viewers", f"{most} viewers is this channel's limit", RETRY_SECONDS, limit=most)
        peer = self._peer(channel, "viewer")
        try:
            viewer = await self._send(channel, peer, offer, screen)
            answer = offers.declare_level(await peer.answer(), viewer.track.stream.form.level)
            self._still_there(channel)
        except BaseException:
            await asyncio.shield(self._drop(channel, peer))
            raise
        log.info("viewer came", channel=name, screen=screen.name, viewers=len(channel.viewers))
        return Accepted(peer, answer)

    def live(self, name: str) -> Channel:
        """The channel called `name`. Raises Problem 404, with the time to ask again, while nobody is live there."""
        channel = self.channels.get(name)
        if channel is None or channel.session is None or channel.caller is None:
            raise self._not_live(name)
        return channel

    def caller(self, name: str, peer_id: str) -> Peer:
        """Raises Problem 404 unless `peer_id` is the caller of `name`."""
        channel = self.channels.get(name)
        if channel is None or channel.caller is None or channel.caller.id != peer_id:
            raise _no_session()
        return channel.caller

    def viewer(self, name: str, peer_id: str) -> Peer:
        """Raises Problem 404 unless `peer_id` is a viewer of `name`."""
        channel = self.channels.get(name)
        if channel is None or peer_id not in channel.viewers:
            raise _no_session()
        return channel.viewers[peer_id].peer

    async def leave(self, name: str, peer: Peer, reason: str = "asked to") -> None:
        """Let `peer` go. A caller takes the channel with it."""
        channel = self.channels.get(name)
        if channel is None:
            return
        if channel.caller is peer:
            await self._end(channel, reason)
        elif peer.id in channel.viewers:
            await self._drop(channel, peer)
            log.info("viewer left", channel=name, reason=reason, viewers=len(channel.viewers))

    def uses(self, avatar: str) -> bool:
        """Whether somebody is live with this avatar."""
        return any(channel.avatar == avatar for channel in self.channels.values())

    def report(self, channel: Channel) -> ChannelReport:
        assert channel.session is not None
        return ChannelReport(
            name=channel.name,
            avatar=channel.avatar if self._settings.private else "",  # an id is the key to a face
            engine=channel.engine,
            parallel=self.parallel(channel),
            since=channel.since,
            viewers=len(channel.viewers),
            frames_received=channel.ingest.received if channel.ingest else 0,
            drops_before_session=channel.ingest.replaced if channel.ingest else 0,
            session=channel.session.report(),
            streams=channel.presenter.reports(),
            recording=channel.recording.report() if channel.recording else None,
            recorded=self.shown(channel.recording.facts)
            if channel.recording and not channel.recording.under_way
            else None,
        )

    def shown(self, facts: Facts) -> Facts:
        """A recording's facts as clients get them: an avatar's id is the key to a face."""
        return facts if self._settings.private else replace(facts, avatar="")

    def check_room(self, engine: str) -> None:
        """Raises Problem 503 where no caller of `engine` can come in now."""
        self._admission.check(self._loads, engine, self._services.places.reports(engine))

    @property
    def places(self) -> list[Deployment]:
        """Where engines run."""
        return self._services.places.all()

    @property
    def utilisation(self) -> dict[str, float]:
        """Device -> share of the time that it works when everybody is watched."""
        return self._admission.utilisation(self._loads)

    async def close(self) -> None:
        """Everybody out."""
        await asyncio.gather(*(self._end(channel, STOPPING) for channel in list(self.channels.values())))
        await asyncio.gather(*self._leaving, return_exceptions=True)

    def _reserve(self, name: str, avatar: str, engine: str) -> Channel:
        if name in self.channels:
            raise Problem(409, "channel-taken", f"somebody is live in {name!r} already; choose another channel")
        try:
            self.check_room(engine)
        except Problem:
            self.turned_away["callers"] += 1
            raise
        channel = Channel(name, avatar, engine, time.time(), Presenter(self.form, self._codec))
        self.channels[name] = channel
        return channel

    def parallel(self, channel: Channel) -> bool:
        """Whether its views are parallel projections."""
        return getattr(self._services.engine(channel.engine), "parallel", False)

    def form(self, screen: Screen) -> Form:
        """How `screen` is sent. Raises ValueError where it is larger than H.264 goes."""
        width, height = screen.quilt_width + screen.quilt_width % 2, screen.quilt_height + screen.quilt_height % 2
        return form_for(width, height, self._settings.frames_per_second, self._settings.bitrate)

    def _peer(self, channel: Channel, role: str) -> Peer:
        def gone(reason: str) -> None:
            log.info("peer lost", channel=channel.name, role=role, reason=reason)
            self._later(self.leave(channel.name, peer, reason))

        peer = Peer(self._settings, gone)
        return peer

    @property
    def _loads(self) -> list[Load]:
        return [
            Load(one.engine, one.session.cost() if one.session is not None else UNKNOWN)
            for one in self.channels.values()
        ]

    def _broken(self, channel: Channel, reason: str) -> None:
        log.error("a call ends: its devices have failed", channel=channel.name, reason=reason)
        self._later(self._end(channel, "its devices have failed"))

    def _stopped(self, channel: Channel, reason: str) -> None:
        log.error("a call ends: its pictures cannot be taken in any more", channel=channel.name, reason=reason)
        self._later(self._end(channel, "its pictures could not be taken in"))

    def _later(self, leaving: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(leaving)
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    def _receive(self, channel: Channel, session: Session) -> None:
        assert channel.caller is not None
        for transceiver in channel.caller.connection.getTransceivers():
            track = transceiver.receiver.track
            if track is None:
                continue
            if track.kind == "video":
                sprop = offers.parameter_sets(channel.caller.connection.remoteDescription.sdp)
                video = LiveVideo(transceiver.receiver, self._limits, sprop, channel=channel.name)
                channel.ingest = Ingest(video, session.offer, partial(self._stopped, channel), LONGEST_SIDE)
            else:
                channel.voice = Voice(transceiver.receiver, channel=channel.name)

    async def _send(self, channel: Channel, peer: Peer, offer: Offer, screen: Screen) -> Viewer:
        assert channel.session is not None
        stream = channel.presenter.stream(screen)
        viewer = Viewer(peer, stream.join(), screen)
        channel.viewers[peer.id] = viewer
        channel.session.watch(screen)
        transceiver = peer.connection.addTransceiver(viewer.track, "sendonly")
        prefer_h264(transceiver)
        if offer.audio and channel.voice is not None:
            viewer.voice = channel.voice.listen()
            _prefer_opus(peer.connection.addTransceiver(viewer.voice, "sendonly"))
        await peer.take(offer)
        on_keyframe_request(transceiver.sender, stream.ask_keyframe)
        pace(transceiver.sender)
        return viewer

    async def _drop(self, channel: Channel, peer: Peer) -> None:
        viewer = channel.viewers.pop(peer.id, None)
        if viewer is not None:
            channel.presenter.leave(viewer.track)
            if viewer.voice is not None:
                viewer.voice.stop()  # aiortc stops it only where the connection once stood
            if channel.session is not None:
                channel.session.unwatch(viewer.screen)
        await peer.close()

    async def _end(self, channel: Channel, reason: str) -> None:
        if self.channels.get(channel.name) is not channel:
            return
        del self.channels[channel.name]
        if self._attached is not None and self._attached.channel == channel.name:
            self._attached.leave()
            self._attach()
        if channel.ingest is not None:
            await channel.ingest.close()
        for viewer in list(channel.viewers.values()):
            await self._drop(channel, viewer.peer)
        if channel.caller is not None:
            await channel.caller.close()
        if channel.session is not None:
            await asyncio.to_thread(channel.session.close)
            log.info("caller left", channel=channel.name, reason=reason)
        if channel.recording is not None:  # with the last pictures that were still under way
            await channel.recording.finish(reason if reason == STOPPING else CALLER_LEFT)

    def _attach(self) -> None:
        """Let the display of this machine watch a live channel, if it has none."""
        if self._attached is None or self._attached.channel is not None:
            return
        for channel in self.channels.values():
            if channel.session is not None and channel.ingest is not None and self._attached.wants(channel.name):
                self._attached.watch(channel.name, channel.session, self.parallel(channel))
                return

    def _still_there(self, channel: Channel) -> None:
        """Raises Problem 404 where the channel ended while we were waiting, its caller's patience for one."""
        if self.channels.get(channel.name) is not channel:
            raise self._not_live(channel.name)

    def _not_live(self, name: str) -> Problem:
        return Problem(
            404, "not-live", f"nobody is live in {name!r} yet; ask again", {"Retry-After": str(LIVE_RETRY_SECONDS)}
        )


def _prefer_opus(transceiver: RTCRtpTransceiver) -> None:
    capabilities = transceiver.sender.getCapabilities("audio").codecs
    transceiver.setCodecPreferences([codec for codec in capabilities if codec.mimeType == "audio/opus"])


def _no_session() -> Problem:
    return Problem(404, "no-such-session", "there is no such session; it may have ended")
