"""Channel: one live avatar: its caller, its viewers, what is made and kept of it; and what its lifecycle says, carried out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from display.screen import Screen
from engines.contract import FaceObservation
from pipeline.session import Session
from pipeline.table import Table
from server import workers
from server.channels import receiving, sending
from server.channels.closing import PATIENCE, Closing
from server.channels.condition import Course, Facts
from server.channels.drawing import Drawer, Drawing
from server.channels.ladder import WINDOW, Ladder, Seen
from server.channels.lifecycle import Action, Do, Event, Filming, Lifecycle, Publishing, Viewing
from server.channels.viewer import Viewer
from server.media.present import Presenter
from server.provenance.statement import UNCOMPARED, UNSTATED, Agreed, Statement
from server.recordings.recording import Recording
from server.webrtc import redundancy
from server.webrtc.audio import Listen, Voice
from server.webrtc.backlog import Limits
from server.webrtc.ingest import Ingest
from server.webrtc.offers import Offer
from server.webrtc.outlet import Outlet, Sparing, prefer_h264
from server.webrtc.peers import Peer

log = structlog.get_logger(__name__)

SOON = 0.1
"Seconds within which a source that does not stand still sends its next picture; a newcomer is made one otherwise."
BUSY, SHARED = "this server is busy", "this server is shared with others"
STOPPING, CALLER_LEFT = "the server stops", "the caller left"


@dataclass
class Successor:
    """A caller who comes back before the one before has gone: it takes over once it is connected."""

    peer: Peer
    ingest: Ingest | None = None


@dataclass(frozen=True)
class Handover:
    """The channel is published at another server, which watches it as a viewer."""

    host: str
    "Where: whoever is in the channel sees it."
    since: float
    "Seconds since 1970."
    peer: Outlet


class Channel:
    """One live avatar. Event loop only; every change of its life goes through happen()."""

    def __init__(
        self, name: str, avatar: str, engine: str, presenter: Presenter, shown: Callable[[Channel, bool], None]
    ) -> None:
        """`shown` is told when the display of this machine may show it, and when it must not any more."""
        self.name, self.avatar, self.engine, self.presenter, self._shown = name, avatar, engine, presenter, shown
        self.since = time.time()
        self.life = Lifecycle()
        self.parallel = False
        "Its views are parallel projections; known once the session is made."
        self.session: Session | Table | None = None
        self.origin: Statement | None = None
        "What made it, of whom, with whose consent; known once the session is made (origin.py)."
        self.likeness = UNCOMPARED
        "Whether its caller looks like the portrait (likening.py)."
        self.displayed = False
        "The display of this machine shows it."
        self.agreed: Callable[[], Agreed] | None = None
        "Who has agreed to its being recorded; None where nobody has to."
        self.drawing: Drawing | None = None
        "For those who draw the avatar themselves; None where nobody may."
        self.lacks = "engine"
        "Why nobody may (refusals.NO_GEOMETRY)."
        self.looked: Callable[[FaceObservation, float], None] | None = None
        "Hears of each observation of the caller's face, and when it was captured, in the event loop."
        self.driven: tuple[str, ...] = ()
        "What has moved its avatar, as its callers said (statement.py): each once, in order."
        self.members: Callable[[], Sequence[Channel]] = tuple
        "Of a channel that shows what others make: those."
        self.gathered = False
        "It shows what other channels make: it has no caller, and nothing is rendered for it."
        self.held = False
        "It outlives its caller, who may come back: whoever held it ends it."
        self.caller: Peer | None = None
        self.successor: Successor | None = None
        self.ingest: Ingest | None = None
        self.voice: Voice | None = None
        self.viewers: dict[str, Viewer | Drawer] = {}
        self.recording: Recording | None = None
        "The newest; it may have ended."
        self.beginning: asyncio.Task[Recording] | None = None
        "The newest that was asked for."
        self.handover: Handover | None = None
        "The newest; it may be over."
        self.still: asyncio.Task[Any] | None = None
        "The one that is being made, for all who have asked meanwhile."
        self.reason = ""
        "Why it is over."
        self.course = Course(time.monotonic())
        self.ladder = Ladder()
        self.slowed = ""
        "Why detail is given up, for people; empty where it is not."
        self._spared = 1.0
        "Of the caller's pictures that are made, whatever detail they have."
        self._closing = Closing(name, PATIENCE)
        self._settled = asyncio.Event()

    @property
    def watching(self) -> int:
        """Viewers who are connected."""
        return len(self.life.viewers(Viewing.WATCHING))

    @property
    def geometry(self) -> bool:
        """Whether its head has left this server as geometry, to be drawn where it is seen."""
        return self.drawing is not None and self.drawing.given

    @property
    def packets(self) -> float:
        """A second, that all who watch together get."""
        return self.presenter.packets + (self.drawing.packets if self.drawing is not None else 0.0)

    @property
    def asked(self) -> set[Screen]:
        """What those who watch have asked for, and its recording."""
        watched = (self.viewers[one].screen for one in self.life.viewers(Viewing.WATCHING))
        return {screen for screen in watched if screen is not None} | self.presenter.recorded

    @property
    def handed_over(self) -> Handover | None:
        """The one that goes on, or begins."""
        going = self.handover is not None and self.life.of(self.handover.peer.id) is not Viewing.GONE
        return self.handover if going else None

    @property
    def filmed(self) -> bool:
        """A recording is made of it, or about to be."""
        return self.life.filming in (Filming.BEGINNING, Filming.RUNNING)

    def happen(self, event: Event, viewer: str = "") -> list[Action]:
        """Carry out what `event` leads to. What is left to whoever tells it, refusals and beginnings, is returned."""
        left = [do.action for do in self.life.on(event, viewer) if not self._done(do)]
        if self.life.settled:
            self._settled.set()
        return left

    def end(self, reason: str) -> None:
        """It is over; what was opened is being closed. Only the first reason counts."""
        self.reason = self.reason or reason
        self.happen(Event.END)

    async def ended(self) -> None:
        """Once all that was opened is closed or given up. Never raises."""
        await self._settled.wait()
        await self._closing.finished()
        if self.life.publishing is Publishing.ENDING:
            self.happen(Event.CLOSED)

    def facts(self, failing: str) -> Facts:
        """What is known of how it goes; `failing`: which of its devices do."""
        assert self.session is not None
        if self.gathered:
            return Facts(connected=True, arrived=time.monotonic(), decoded=time.monotonic(), lost={}, presence=1.0)
        reception = self.ingest.report() if self.ingest is not None else None
        return Facts(
            connected=self.caller is not None and self.caller.connected,
            arrived=reception.last_arrived if reception else None,
            decoded=reception.last_decoded if reception else None,
            lost=reception.lost if reception else {},
            presence=self.session.presence,
            face=self.session.face,
            slowed=self.slowed,
            failing=failing or self.session.failing,
        )

    def adapt(self, now: float) -> bool:
        """Make as much detail as can be made in time. Whether it is another than before.

        A film has one size and keeps it, so all is made while one is taken; and of what nobody watches nothing is made.
        """
        assert self.session is not None
        if self._spared < 1:
            return False  # how it goes is not how it would go
        lately = self.session.lately(WINDOW)
        arrived = self.ingest.report().arrived if self.ingest is not None else 0
        changed = self.ladder.look(Seen(arrived, lately.frames, self.age(), self.filmed, idle=not lately.watched), now)
        self.make_as_told()
        return changed

    def share(self, rung: int, now: float) -> bool:
        """Make no more than what is left for it now that others come or go. Whether it is another detail than before."""
        changed = self.ladder.share(rung, now)
        self.make_as_told()
        return changed

    def age(self) -> float:
        """Seconds: the 95th percentile of its pictures' ages, lately; 0 where none is made."""
        lately = self.session.lately(WINDOW).age if self.session is not None else 0.0
        return max(lately, self.presenter.age_lately(WINDOW))

    def spare(self, share: float) -> None:
        """Make no more than this share of the caller's pictures; 1: as many as its ladder says."""
        if share != self._spared:
            self._spared = share
            self.make_as_told()

    def make_as_told(self) -> None:
        """Make as much detail as the ladder says."""
        made = self.ladder.made
        self.slowed = "" if self.ladder.rung == 0 else SHARED if self.ladder.shared else BUSY
        self.presenter.code(made.density)
        if self.session is not None:
            self.session.make(made.detail, min(made.frames, self._spared))

    def receive(self, peer: Peer, offer: Offer, session: Session, limits: Limits, broke: Callable[[str], None]) -> None:
        """Take the caller's picture and sound, once `peer` has taken its `offer`. `broke` is told why no picture will come any more."""
        self.ingest = self._taken(peer, offer, session, limits, broke)

    def succeed(self, peer: Peer, offer: Offer, limits: Limits, broke: Callable[[str], None]) -> None:
        """As receive(), of a caller who will take the place of the one there once `peer` is connected."""
        assert isinstance(self.session, Session)
        self.give_up("it came again")
        self.successor = Successor(peer, self._taken(peer, offer, self.session, limits, broke))

    def take_over(self, peer: Peer) -> None:
        """Let the successor be the caller; the one before is closed. Its session and its viewers stay."""
        if self.successor is None or self.successor.peer is not peer:
            return
        coming, self.successor = self.successor, None
        self.lose_caller()
        self.caller, self.ingest = coming.peer, coming.ingest

    def moved_by(self, driver: str | None) -> None:
        """Its caller sends what `driver` says; None: it does not say."""
        self.driven = tuple(dict.fromkeys((*self.driven, driver or UNSTATED)))

    def give_up(self, reason: str) -> None:
        """The successor, if there is one, will not come."""
        if self.successor is not None:
            gone, self.successor = self.successor, None
            self._let_go(gone.peer, gone.ingest)
            log.info("a caller who came again is gone", channel=self.name, reason=reason)

    def lose_caller(self) -> None:
        """Close what comes from the caller. The session stays, and shows viewers the last picture."""
        self._let_go(self.caller, self.ingest)
        self.caller = self.ingest = None
        self.course = Course(time.monotonic())

    def _let_go(self, peer: Peer | None, ingest: Ingest | None) -> None:
        for part, opened in (("pictures", ingest), ("caller", peer)):
            if opened is not None:
                self._closing.begin(f"{part} {id(opened)}", opened.close)

    def _taken(
        self, peer: Peer, offer: Offer, session: Session, limits: Limits, broke: Callable[[str], None]
    ) -> Ingest | None:
        ingest, self.voice = receiving.begin(peer, offer, session, limits, broke, self.voice, self.name)
        return ingest

    def admit(self, peer: Peer, forms: Sequence[Screen | None], listen: Listen | None = None) -> Viewer:
        """A viewer who is coming, what it may be sent (viewer.py), and what it hears, if not the caller. The channel must be live."""
        viewer = self.viewers[peer.id] = Viewer(peer, forms, self.presenter)
        viewer.listen = listen
        self.happen(Event.CAME, peer.id)
        return viewer

    def admit_drawer(self, peer: Peer, listen: Listen | None = None) -> Drawer:
        """As admit(), of one who draws the avatar itself. The channel must have drawing."""
        assert self.drawing is not None
        drawer = self.viewers[peer.id] = Drawer(peer, self.drawing, channel=self.name)
        drawer.listen = listen
        self.happen(Event.CAME, peer.id)
        return drawer

    def show(self, peer: str, pictures: bool) -> None:
        """Send a viewer pictures, or none for a while; sound goes on. Nothing is rendered for whoever is sent none."""
        if (viewer := self.viewers.get(peer)) is not None:
            viewer.hide(not pictures)
            if pictures and self.session is not None:
                self.session.repeat(SOON)

    async def send(self, viewer: Viewer, offer: Offer) -> None:
        """Apply a viewer's offer, with what it will watch once it is connected."""
        video = sending.add(viewer, self.voice, self.presenter.delay(viewer.screen), offer.audio)
        await viewer.peer.take(offer)
        sending.begin(viewer, video, viewer.track.ask_keyframe, redundancy.offered(offer.original))

    async def send_motion(self, drawer: Drawer, offer: Offer) -> None:
        """Apply the offer of one who draws, with what it will be sent once it is connected."""
        assert self.drawing is not None
        sending.add_sound(drawer, self.voice, self.drawing.delay, offer.audio, lambda: drawer.sent > 0)
        await drawer.peer.take(offer)
        sending.begin_sound(drawer, redundancy.offered(offer.original))

    async def publish(self, viewer: Viewer, outlet: Outlet, url: str, token: str) -> None:
        """Offer the channel to another server, where `outlet` is the viewer's peer. Raises Problem."""
        video = sending.add(viewer, self.voice, self.presenter.delay(viewer.screen), sound=True)
        prefer_h264(video)
        sending.begin(viewer, video, Sparing(viewer.track.ask_keyframe))
        await outlet.offer(url, token)

    def _done(self, do: Do) -> bool:
        """Whether carrying it out is this channel's."""
        match do.action:
            case Action.SHOW | Action.HIDE:
                self._shown(self, do.action is Action.SHOW)
            case Action.CLOSE_CALLER:
                self._close_caller()
            case Action.CLOSE_SESSION:
                self._close_session()
            case Action.WATCH:
                self._watch(self.viewers[do.viewer])
            case Action.UNWATCH:
                self.viewers[do.viewer].unwatch()
            case Action.CLOSE_VIEWER:
                self._close_viewer(do.viewer)
            case Action.FINISH:
                self._finish()
            case _:
                return False
        return True

    def _close_caller(self) -> None:
        self.give_up("the channel is over")
        for part, opened in (("pictures", self.ingest), ("caller", self.caller)):
            if opened is not None:
                self._closing.begin(part, opened.close)

    def _close_session(self) -> None:
        session = self.session
        assert session is not None
        self._closing.begin("session", lambda: workers.slow(session.close), after="pictures")

    def _watch(self, viewer: Viewer | Drawer) -> None:
        if isinstance(viewer, Drawer):
            assert isinstance(self.session, Session)
            viewer.watch(self.session)
        else:
            assert self.session is not None
            viewer.watch(self.session)
        self.session.repeat(SOON)

    def _close_viewer(self, viewer: str) -> None:
        gone = self.viewers.pop(viewer)
        if gone.voice is not None:
            gone.voice.stop()  # aiortc stops it only where the connection once stood
        self._closing.begin(f"viewer {viewer}", gone.peer.close)

    def _finish(self) -> None:
        """With the last pictures that are still under way."""
        recording, why = self.recording, self.reason if self.reason == STOPPING else CALLER_LEFT
        assert recording is not None
        self._closing.begin("recording", lambda: recording.finish(why), after="session")
