"""Receivers: aiortc's packets of media, taken before they wait in its jitter buffer and decoder, and what their sender is told."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import aiortc.rtcrtpreceiver
from aiortc.rtp import RtcpRrPacket, RtcpSrPacket

from server.webrtc.patches.dropped import UNFIT, UNREADABLE, dropped, harmless

MOST_SOURCES = 31
"""Of one receiver's packets: a report has five bits to count them (RFC 3550, section 6.4.1). With 256 aiortc cannot write one, its reports
end there, and whoever stops that receiver waits for ever."""


def tune() -> None:
    """For all connections that are made from now on. By tune_libraries alone."""
    _bound_sources()
    _keep_unreadable_packets()
    _estimate_once_something_comes()
    _report_whatever_comes()


def _bound_sources() -> None:
    """Packets of one source too many are left out, before anything is remembered of them."""
    handle = aiortc.rtcrtpreceiver.RTCRtpReceiver._handle_rtp_packet

    @wraps(handle)
    async def bounded(self: Any, packet: Any, *more: Any, **named: Any) -> None:
        known = self._RTCRtpReceiver__remote_streams
        if packet.ssrc in known or len(known) < MOST_SOURCES:
            await handle(self, packet, *more, **named)
        else:
            dropped.count(UNFIT, error="packets of more sources than reports can name")

    aiortc.rtcrtpreceiver.RTCRtpReceiver._handle_rtp_packet = bounded  # type: ignore[method-assign]


def _keep_unreadable_packets() -> None:
    """A media packet whose codec header aiortc cannot read is one without content. Dropped, it would look like a lost one,
    which is waited for: H.264's rarer kinds of packets (RFC 6184, table 1; PACSI of RFC 6190) would stop the picture."""
    depayload = aiortc.rtcrtpreceiver.depayload

    def content(codec: Any, payload: bytes) -> bytes:
        try:
            return depayload(codec, payload)
        except Exception as error:
            dropped.count(UNREADABLE, codec=codec.name, error=str(error))
            return b""

    aiortc.rtcrtpreceiver.depayload = content  # type: ignore[attr-defined]


def _estimate_once_something_comes() -> None:
    """aiortc makes an estimator of 1000 buckets for every receiver, to which nothing ever comes from whoever only watches. With it a peer
    leaves 1220 objects to the garbage collector, without it 208: of 240 viewers at once, pauses of 0.1 s."""
    at_once = aiortc.rtcrtpreceiver.RemoteBitrateEstimator

    class Later:
        made: Any = None

        def add(self, **packet: Any) -> Any:
            self.made = self.made or at_once()
            return self.made.add(**packet)

    aiortc.rtcrtpreceiver.RemoteBitrateEstimator = Later  # type: ignore[attr-defined,misc,assignment]


def _report_whatever_comes() -> None:
    """A report that cannot be written, since RTP times that jump make its jitter larger than its 32 bits, ended all reports, and whoever
    stops that receiver waited for ever."""
    run = aiortc.rtcrtpreceiver.RTCRtpReceiver._run_rtcp

    @wraps(run)
    async def going_on(self: Any) -> None:
        while True:
            try:
                return await run(self)  # waits for a second before each report
            except Exception as error:
                dropped.count(UNFIT, error=repr(error))

    aiortc.rtcrtpreceiver.RTCRtpReceiver._run_rtcp = going_on  # type: ignore[method-assign]


def tap(receiver: Any, taken: Callable[[Any], None]) -> None:
    """Show each RTP packet to `taken` before aiortc looks at it."""
    handle, taken = receiver._handle_rtp_packet, harmless(taken)

    async def both(packet: Any, arrival_time_ms: int) -> None:
        taken(packet)
        await handle(packet, arrival_time_ms=arrival_time_ms)

    receiver._handle_rtp_packet = both


def tap_reports(receiver: Any, reported: Callable[[int, float, int], None]) -> None:
    """Tell `reported` of each sender report: its source (SSRC), what the sender's wall clock said, seconds since 1900, and the
    RTP time at that moment."""
    handle, reported = receiver._handle_rtcp_packet, harmless(reported)

    async def both(packet: Any) -> None:
        if isinstance(packet, RtcpSrPacket):
            told = packet.sender_info
            reported(packet.ssrc, told.ntp_timestamp / (1 << 32), told.rtp_timestamp)
        await handle(packet)

    receiver._handle_rtcp_packet = both


def tell_loss(receiver: Any, least: Callable[[], float]) -> None:
    """Tell the sender that at least the share `least()` of its packets was lost: senders correct errors only of links that
    report some, and its packets go on to links of others. Before the receiver starts."""
    send, least = receiver._send_rtcp, harmless(least)

    async def telling(packet: Any) -> None:
        if isinstance(packet, RtcpRrPacket):
            for report in packet.reports:
                report.fraction_lost = max(report.fraction_lost, min(255, round(256 * (least() or 0.0))))
        await send(packet)

    receiver._send_rtcp = telling


def take_packets(receiver: Any, taken: Callable[[Any, bytes, Any], bool]) -> None:
    """Give `taken` each media packet, its payload without the codec's RTP header, and its codec; it answers whether a
    keyframe is to be asked for. Retransmissions are unpacked and lost packets asked for by then.

    aiortc's jitter buffer and decoder, which wait and queue without a bound in time, get nothing. Before the receiver starts.
    """
    receiver._RTCRtpReceiver__jitter_buffer = _Diverted(receiver._RTCRtpReceiver__codecs, harmless(taken))


def hold_back(receiver: Any, most: Callable[[], int | None]) -> None:
    """Tell the sender to send no more than `most()` bits a second, where that is less than what the link carries (REMB,
    draft-alvestrand-rmcat-remb). Before the receiver starts."""
    receiver._RTCRtpReceiver__remote_bitrate_estimator = _HeldBack(
        receiver._RTCRtpReceiver__remote_bitrate_estimator, most
    )


class _HeldBack:
    """In the place of a bit rate estimator."""

    def __init__(self, estimator: Any, most: Callable[[], int | None]) -> None:
        self._estimator, self._most = estimator, most

    def add(self, **packet: Any) -> tuple[int, list[int]] | None:
        estimate = self._estimator.add(**packet)
        most = self._most()
        return estimate if estimate is None or most is None else (min(estimate[0], most), estimate[1])


class _Diverted:
    """In the place of a jitter buffer, out of which nothing ever comes."""

    def __init__(self, codecs: dict[int, Any], taken: Callable[[Any, bytes, Any], bool]) -> None:
        self._codecs, self._taken = codecs, taken

    def add(self, packet: Any) -> tuple[bool, None]:
        return bool(self._taken(packet, packet._data, self._codecs[packet.payload_type])), None
