"""Report: a channel as it is shown to people and monitors."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from pipeline.session import SessionReport
from server.channels.channel import Channel, Handover
from server.channels.condition import Condition
from server.channels.ladder import DetailReport
from server.media.stream import StreamReport
from server.recordings.archive import Facts
from server.recordings.recording import UnderWay
from server.webrtc.live_video import Reception


@dataclass(frozen=True)
class Passed:
    """A handover as everybody in the channel sees it."""

    host: str
    since: float
    connected: bool


@dataclass(frozen=True)
class ChannelReport:
    """A channel as it is shown to people and monitors."""

    name: str
    avatar: str
    engine: str
    parallel: bool
    "Its views are parallel projections, which a light-field display has to know (engines.contract.Abilities)."
    since: float
    now: float
    "Seconds since 1970 when this was said: the clock of motion records."
    geometry: bool
    "Viewers may draw the avatar themselves: as=geometry."
    geometry_lacks: str | None
    "Why they may not: engine, operator or table."
    geometry_preview: bool
    "What they draw so is a preview, and not what is rendered here."
    viewers: int
    "Those who are connected."
    condition: Condition
    "How it goes."
    detail: DetailReport
    "How much detail it is made with."
    reception: Reception | None
    "How the caller's pictures come in."
    frames_received: int
    drops_before_session: int
    session: SessionReport
    streams: list[StreamReport]
    recording: UnderWay | None
    recorded: Facts | None
    "The newest recording of this channel that has ended."
    likeness: str
    "Whether the caller looks like the portrait (provenance/statement.py); nobody is kept from anything by it."
    handover: Passed | None
    "The other server at which the channel is published."


def report_of(channel: Channel, private: bool) -> ChannelReport:
    """`private`: only this machine's user can ask."""
    assert channel.session is not None
    recording = channel.recording
    return ChannelReport(
        name=channel.name,
        avatar=channel.avatar if private else "",  # an id is the key to a face
        engine=channel.engine,
        parallel=channel.parallel,
        since=channel.since,
        now=time.time(),
        geometry=channel.drawing is not None,
        geometry_lacks=None if channel.drawing is not None else "table" if channel.gathered else channel.lacks,
        geometry_preview=channel.drawing is not None and channel.drawing.preview,
        viewers=channel.watching,
        condition=channel.course.at(time.monotonic()),
        detail=channel.ladder.report(),
        reception=channel.ingest.report() if channel.ingest else None,
        frames_received=channel.ingest.received if channel.ingest else 0,
        drops_before_session=channel.ingest.replaced if channel.ingest else 0,
        session=channel.session.report(),
        streams=channel.presenter.reports(),
        recording=recording.report() if recording else None,
        recorded=shown(recording.facts, private) if recording and not recording.under_way else None,
        likeness=channel.likeness,
        handover=passed(channel.handed_over) if channel.handed_over else None,
    )


def passed(handover: Handover) -> Passed:
    return Passed(handover.host, handover.since, handover.peer.connected)


def shown(facts: Facts, private: bool) -> Facts:
    """A recording's facts as clients get them: an avatar's id is the key to a face."""
    return facts if private else replace(facts, avatar="")
