"""Channel: one live avatar: its caller, its viewers, and what is made and kept of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from display.screen import Screen
from pipeline.session import Session, SessionReport
from server.media.present import Presenter, StreamReport, ViewerTrack
from server.recordings.archive import Facts
from server.recordings.recording import Recording, UnderWay
from server.webrtc.audio import Voice, VoiceTrack
from server.webrtc.ingest import Ingest
from server.webrtc.peers import Peer


@dataclass
class Viewer:
    peer: Peer
    track: ViewerTrack
    screen: Screen
    voice: VoiceTrack | None = None


@dataclass
class Channel:
    """One live avatar."""

    name: str
    avatar: str
    engine: str
    since: float
    "Unix seconds."
    presenter: Presenter
    caller: Peer | None = None
    "None while the caller is still coming in."
    session: Session | None = None
    ingest: Ingest | None = None
    voice: Voice | None = None
    viewers: dict[str, Viewer] = field(default_factory=dict)
    recording: Recording | None = None
    "The newest; it may have ended."
    beginning: asyncio.Lock = field(default_factory=asyncio.Lock)
    "Held while a recording begins: there is one at a time."


@dataclass(frozen=True)
class ChannelReport:
    """A channel as it is shown to people and monitors."""

    name: str
    avatar: str
    engine: str
    parallel: bool
    "Its views are parallel projections, which a light-field display has to know (engines.contract.ProjectsInParallel)."
    since: float
    viewers: int
    frames_received: int
    drops_before_session: int
    session: SessionReport
    streams: list[StreamReport]
    recording: UnderWay | None
    recorded: Facts | None
    "The newest recording of this call that has ended."
