"""Jitter: a caller's packets put together into pictures, in order, and how long a lost packet is waited for.

Told the time, knows no clock. Time bounds the wait, not packets: 512 of them, aiortc's bound, are 3 s of a lively picture
and 16 s of a calm one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

PATIENCE = 0.2
"Seconds that a missing packet is waited for: a retransmission over 150 ms of round trip. Then comes the next keyframe."
IMPATIENCE = 0.05
"Of senders that resend nothing: what packets need that overtook one another."
MOST_PACKETS = 8192
"That wait, be it for a missing one or for the end of their picture: 10 MB. Nobody's picture is that large."
RESTART = 32
"So many packets in a row from before those already used are no late ones: the sender counts anew."


class Packet(Protocol):
    """What is needed of aiortc's RtpPacket."""

    sequence_number: int
    timestamp: int
    marker: int
    ssrc: int


@dataclass(frozen=True)
class Coded:
    """One coded picture."""

    data: bytes
    timestamp: int
    "RTP's."
    arrived: float
    "When the first of its packets came."
    after_loss: bool
    "Something before it is missing."
    codec: Any = None
    "aiortc's RTCRtpCodecParameters."
    captured: float = 0.0
    "When, seconds of the clock of `arrived`; told by whoever knows the sender's clock."


class Assembly:
    """A picture is given out with its own last packet: the marker bit tells (RFC 7741 section 4.1, RFC 6184 section 5.1).
    aiortc waits for the first packet of the next one, which makes every picture a frame interval old (33 ms at 30 fps)."""

    def __init__(self) -> None:
        self._waiting: dict[int, tuple[Packet, bytes, Any, float]] = {}
        "Unwrapped sequence number -> packet, its data, its codec, its arrival: all of them beyond a missing one."
        self._next: int | None = None
        "The sequence number to go on with, unwrapped."
        self._ssrc: int | None = None
        self._late = 0
        self._begin_anew()

    def add(self, packet: Packet, data: bytes, codec: Any, now: float, patience: float = PATIENCE) -> list[Coded]:
        """The pictures that are whole by now, none of them empty. `data`: the packet's, without the codec's RTP header."""
        if packet.ssrc != self._ssrc or self._next is None:
            self._restart(packet)
        assert self._next is not None
        ahead = (packet.sequence_number - self._next + (1 << 15)) % (1 << 16) - (1 << 15)
        if ahead < 0:
            self._late += 1
            if self._late < RESTART:
                return []
            self._restart(packet)
            ahead = 0
        self._late = 0
        self._waiting.setdefault(self._next + ahead, (packet, data, codec, now))
        pictures = self._advance()
        while self._waiting and self._overdue(now, patience):
            self._give_up()
            pictures += self._advance()
        return pictures

    def _restart(self, packet: Packet) -> None:
        """Another source, or one that counts anew: what is there of the old one is of no use."""
        lost = self._next is not None
        self._ssrc, self._next = packet.ssrc, packet.sequence_number
        self._waiting.clear()
        self._begin_anew()
        self._lost = lost

    def _begin_anew(self) -> None:
        self._picture: list[tuple[Packet, bytes, Any, float]] = []
        self._lost = self._headless = False
        self._late = 0

    def _advance(self) -> list[Coded]:
        """Use the packets that follow without a gap."""
        pictures = []
        while (taken := self._waiting.pop(self._next, None)) is not None:  # type: ignore[arg-type]
            self._next += 1  # type: ignore[operator]
            packet = taken[0]
            if self._picture and self._picture[0][0].timestamp != packet.timestamp:  # from a sender that sets no marker
                pictures += self._whole()
            self._picture.append(taken)
            if packet.marker:
                pictures += self._whole()
        if len(self._picture) > MOST_PACKETS:
            self._lose()
        return pictures

    def _whole(self) -> list[Coded]:
        """The picture at hand; none where its beginning was lost, or where it is nothing but padding.

        A decoder that is given 0 bytes takes them for the end of the stream and never decodes again.
        """
        parts, self._picture = self._picture, []
        headless, self._headless = self._headless, False
        data = b"".join(part for _, part, _, _ in parts)
        if headless or not data:
            return []
        lost, self._lost = self._lost, False
        packet, _, codec, _ = parts[-1]
        return [Coded(data, packet.timestamp, min(at for *_, at in parts), lost, codec)]

    def _overdue(self, now: float, patience: float) -> bool:
        *_, came = next(iter(self._waiting.values()))  # the first that came beyond the missing one
        return now - came > patience or len(self._waiting) > MOST_PACKETS

    def _give_up(self) -> None:
        """Go on with the next packet that is there; the rest of the picture in which it lies is of no use."""
        self._next = min(self._waiting)
        self._lose()

    def _lose(self) -> None:
        self._picture, self._lost, self._headless = [], True, True
