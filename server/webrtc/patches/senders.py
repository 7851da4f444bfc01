"""Senders: how aiortc's packets leave, what receivers say of them, and when what they carry was captured."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from aiortc import RTCRtpSender
from aiortc.rtp import (
    RTCP_PSFB_APP,
    RTCP_RTPFB_NACK,
    RtcpPsfbPacket,
    RtcpRrPacket,
    RtcpRtpfbPacket,
    RtcpSrPacket,
    is_rtcp,
    unpack_remb_fci,
)

from server.webrtc.pacing import Bucket, Repeats
from server.webrtc.patches.dropped import harmless

NTP_EPOCH = 2_208_988_800
"Seconds from 1900 to 1970."
_WALL = time.time() - time.monotonic() + NTP_EPOCH
"Taken once: a wall clock that is set while calls go on must not part sound from picture."


def pace(sender: RTCRtpSender, leaves: Callable[[int | None, int], None]) -> Bucket:
    """Spread bursts, as the bucket that is returned says, spare repeats of repeats, and tell the number of each packet that `leaves`,
    None for a repeat, and its bytes. After `Peer.take`, which may give the sender another transport, and before `Peer.answer`."""

    def told(source: int, number: int, size: int) -> None:
        leaves(number if source == sender._ssrc else None, size)

    again, repeats = sender._retransmit, Repeats()

    async def sparingly(number: int) -> None:
        if repeats.worth(number, asyncio.get_running_loop().time()):
            await again(number)

    sender._retransmit = sparingly  # type: ignore[method-assign]
    paced = PacedTransport(sender.transport, harmless(told))
    sender.setTransport(paced)  # type: ignore[arg-type]
    return paced.bucket


class PacedTransport:
    """A DTLS transport whose RTP leaves no faster than its bucket lets it; RTCP is never held back."""

    def __init__(self, transport: Any, leaves: Callable[[int, int, int], None]) -> None:
        self._transport, self._leaves = transport, leaves
        self.bucket = Bucket()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    async def _send_rtp(self, data: bytes) -> None:
        if not is_rtcp(data):
            if wait := self.bucket.take(asyncio.get_running_loop().time()):
                await asyncio.sleep(wait)
            self._leaves(int.from_bytes(data[8:12], "big"), int.from_bytes(data[2:4], "big"), len(data))
        await self._transport._send_rtp(data)


def relabel(sender: RTCRtpSender, number: int) -> None:
    """Send under another payload type. When: as pace()."""
    sender.setTransport(RelabelledTransport(sender.transport, number))  # type: ignore[arg-type]


class RelabelledTransport:
    """A DTLS transport whose RTP says that its payloads are of another type: aiortc numbers them by the codec that it knows."""

    def __init__(self, transport: Any, number: int) -> None:
        self._transport, self._number = transport, number

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    async def _send_rtp(self, data: bytes) -> None:
        if not is_rtcp(data):
            data = bytes((data[0], data[1] & 0x80 | self._number)) + data[2:]
        await self._transport._send_rtp(data)


def on_keyframe_request(sender: RTCRtpSender, ask: Callable[[], None]) -> None:
    """Call `ask` at each PLI or FIR. aiortc would tell its own encoder, which is not used for ready packets."""
    sender._send_keyframe = ask  # type: ignore[method-assign]


def hear_back(
    sender: RTCRtpSender,
    heard: Callable[[], None],
    estimated: Callable[[float], None],
    lost: Callable[[float], None],
    missed: Callable[[list[int]], None] = lambda numbers: None,
) -> None:
    """Tell what the receiver says of the link: that it `heard` anything, how many bits a second it estimates (REMB,
    draft-alvestrand-rmcat-remb), which share 0..1 of the packets it lost since it last told (RFC 3550, 6.4.1), and the numbers of
    those that it `missed` (NACK). aiortc takes estimates to its own encoder alone."""
    handle, told = sender._handle_rtcp_packet, harmless(partial(_heard_back, sender, estimated, lost, missed))

    async def both(packet: Any) -> None:
        heard()
        told(packet)
        await handle(packet)

    sender._handle_rtcp_packet = both  # type: ignore[method-assign]


def _heard_back(
    sender: RTCRtpSender,
    estimated: Callable[[float], None],
    lost: Callable[[float], None],
    missed: Callable[[list[int]], None],
    packet: Any,
) -> None:
    if isinstance(packet, RtcpPsfbPacket) and packet.fmt == RTCP_PSFB_APP and packet.fci[:4] == b"REMB":
        bits, sources = unpack_remb_fci(packet.fci)
        if sender._ssrc in sources:
            estimated(bits)
    elif isinstance(packet, RtcpRrPacket | RtcpSrPacket):
        for report in packet.reports:
            if report.ssrc == sender._ssrc:
                lost(report.fraction_lost / 256)
    elif isinstance(packet, RtcpRtpfbPacket) and packet.fmt == RTCP_RTPFB_NACK and packet.media_ssrc == sender._ssrc:
        missed(packet.lost)


def forget_sent(sender: RTCRtpSender) -> None:
    """Send nothing again of what was sent so far: what follows does without it, and repeats would fill a narrow link."""
    sender._RTCRtpSender__rtp_history.clear()  # type: ignore[attr-defined]


def report_captures(sender: RTCRtpSender) -> None:
    """Let sender reports pair an RTP time with the moment that its content was captured, as its track's `captured` says, in
    seconds of time.monotonic(). aiortc's pair it with the moment of sending, so that old pictures and fresh sound seem to
    belong together. Before `Peer.answer`."""
    del sender._RTCRtpSender__ntp_timestamp  # type: ignore[attr-defined]
    sender.__class__ = _Reporting


class _Reporting(RTCRtpSender):
    """A sender of what its track says when it was captured. aiortc sets the attribute below right after each packet has left,
    from the one unit that `recv` gave last, and reads it for its reports."""

    _sent_ntp = 0

    @property
    def _RTCRtpSender__ntp_timestamp(self) -> int:
        return self._sent_ntp

    @_RTCRtpSender__ntp_timestamp.setter
    def _RTCRtpSender__ntp_timestamp(self, now: int) -> None:
        captured = getattr(self.track, "captured", None)
        self._sent_ntp = now if captured is None else round((captured + _WALL) * (1 << 32))


def told_time(captured: float) -> float:
    """Seconds since 1970 for what was captured at `captured` of time.monotonic(), as sender reports say it (report_captures)."""
    return captured + _WALL - NTP_EPOCH
