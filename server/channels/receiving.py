"""Receiving: a caller's picture and sound, taken from its connection, both on one clock. Event loop only."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from pipeline.session import Session
from server.media.rates import CLOCK_RATE, SOUND_CLOCK
from server.webrtc import offers
from server.webrtc.audio import Voice
from server.webrtc.backlog import Limits
from server.webrtc.capture import CaptureClock
from server.webrtc.ingest import LONGEST_SIDE, Ingest
from server.webrtc.live_video import LiveVideo
from server.webrtc.offers import Offer
from server.webrtc.patches.receivers import tap_reports
from server.webrtc.peers import Peer


def begin(
    peer: Peer,
    offer: Offer,
    session: Session,
    limits: Limits,
    broke: Callable[[str], None],
    voice: Voice | None,
    channel: str,
) -> tuple[Ingest | None, Voice | None]:
    """Hand what comes from `peer`, once it has taken its `offer`, to `session` and to `voice`, the channel's if it has one. What takes its
    pictures, and its voice; None where it sends none. `broke` is told why no picture will come any more."""
    clock, ingest = CaptureClock(), None
    for transceiver in peer.connection.getTransceivers():
        track = transceiver.receiver.track
        if track is None:
            continue
        if track.kind == "video":
            tap_reports(transceiver.receiver, partial(_told, clock, "video", CLOCK_RATE))
            sprop, captured = offers.parameter_sets(offer.sdp), partial(clock.captured, "video", CLOCK_RATE)
            video = LiveVideo(transceiver.receiver, limits, sprop, captured, channel=channel)
            ingest = Ingest(video, session.offer, broke, LONGEST_SIDE)
            continue
        tap_reports(transceiver.receiver, partial(_told, clock, "audio", SOUND_CLOCK.denominator))
        captured = partial(clock.captured, "audio", SOUND_CLOCK.denominator)
        if voice is None:
            voice = Voice(transceiver.receiver, captured, channel=channel)
        else:
            voice.hear(transceiver.receiver, captured)
    return ingest, voice


def _told(clock: CaptureClock, kind: str, rate: int, source: int, sent: float, rtp: int) -> None:
    """A sender report of a caller's, come now."""
    clock.report(kind, rate, source, sent, rtp, time.monotonic())
