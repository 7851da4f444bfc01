"""Patches: every touch on what aiortc and aioice keep to themselves. Nothing else in this project reaches into them.

server/webrtc/touched.py lists the names and looks for each at start; docs/upstream.md says what the libraries should offer
instead.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import cache, partial, wraps
from typing import Any

import aioice.ice
import aioice.mdns
import aioice.stun
import aioice.turn
import aiortc.codecs.h264
import aiortc.codecs.vpx
import aiortc.rtcdtlstransport
import aiortc.rtcrtpreceiver
import aiortc.rtcrtpsender
import aiortc.rtcsctptransport
import structlog
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
from OpenSSL.crypto import FILETYPE_ASN1, dump_certificate

from server.tally import Tally
from server.webrtc import touched
from server.webrtc.gathering import Gathering
from server.webrtc.pacing import Bucket, Repeats

SOCKET_BUFFER = 4 * 1024 * 1024
"aioice gives its sockets 256 KiB, which a quilt's keyframe overflows (RcvbufErrors, then a storm of PLIs)."
HISTORY = 1024
"Packets kept for retransmission. aiortc keeps 128, less than one keyframe of a quilt (200 kB: 160 packets)."
LONGEST_DATAGRAM = 1500
"Bytes. libsrtp takes no longer ones, and no network brings any."
MOST_CONTENT = 1150
"""Bytes of media or data in one packet, in the place of aiortc's 1300 and 1200: with headers, extensions, encryption and what TURN adds a
datagram then fits an MTU of 1280, IPv6's least (RFC 8200, section 5). Where fragments are filtered no picture came through."""
MOST_SOURCES = 31
"""Of one receiver's packets: a report has five bits to count them (RFC 3550, section 6.4.1). With 256 aiortc cannot write one, its reports
end there, and whoever stops that receiver waits for ever."""
MOST_UNREAD = 4096
"Datagrams that may wait for the transport to be ready: two seconds of the largest stream."

NTP_EPOCH = 2_208_988_800
"Seconds from 1900 to 1970."
_WALL = time.time() - time.monotonic() + NTP_EPOCH
"Taken once: a wall clock that is set while calls go on must not part sound from picture."

_CIPHERS = ("AES128-GCM-SHA256", "CHACHA20-POLY1305", "AES128-SHA", "AES256-SHA")
SUITES = ":".join(f"ECDHE-{kind}-{cipher}" for kind in ("ECDSA", "RSA") for cipher in _CIPHERS).encode()
"aiortc's own for DTLS, and the same for peers whose certificates are RSA."

DIGESTS = {"sha-256": "sha256", "sha-384": "sha384", "sha-512": "sha512"}
"Names of RFC 8122 -> hashlib's, of those that aiortc takes too."

STRANGER, BAD_LENGTH, UNREAD, UNFIT, UNREADABLE, FAULT = (
    "datagram of a stranger dropped",
    "empty or too long datagram dropped",
    "datagram dropped: too many are unread",
    "datagram that makes no sense dropped",
    "media packet without readable content",
    "packet at which a handler of ours failed",
)
dropped = Tally(structlog.get_logger(__name__))
"What reached our media ports and went no further, by reason; of all peers, since the server began."
NO_PORT = "no UDP port of TELEQUILT_UDP_PORTS is free: whoever comes now cannot connect"
gathering = Gathering()
"Asks STUN and TURN servers, for all peers."


@cache
def tune_libraries() -> None:
    """Set what aioice and aiortc offer no parameter for. Once a process, before the first peer. Raises PatchesDoNotFit."""
    touched.check()
    aioice.turn.UDP_SOCKET_BUFFER_SIZE = SOCKET_BUFFER
    aiortc.codecs.h264.PACKET_MAX = aiortc.codecs.vpx.PACKET_MAX = MOST_CONTENT
    aiortc.rtcsctptransport.USERDATA_MAX_LENGTH = MOST_CONTENT
    aiortc.rtcrtpsender.RTP_HISTORY_SIZE = HISTORY
    aiortc.rtcrtpreceiver.RTP_HISTORY_SIZE = HISTORY
    _offer_loopback()
    _drop_strange_datagrams()
    _survive_unfit_packets()
    _bound_sources()
    _keep_unreadable_packets()
    _bound_gathering()
    _take_rsa_certificates()
    _know_peers_by_their_certificates_bytes()
    _let_who_offers_begin()
    _close_what_is_being_gathered()


def _offer_loopback() -> None:
    """aioice leaves out loopback, so a laptop without any network could not even talk to itself."""
    of_interfaces = aioice.ice.get_host_addresses

    def addresses(use_ipv4: bool, use_ipv6: bool) -> list[str]:
        return of_interfaces(use_ipv4, use_ipv6) or ["127.0.0.1"]

    aioice.ice.get_host_addresses = addresses


def _drop_strange_datagrams() -> None:
    """All kinds of aioice's sockets hand on whatever reaches them, from whomever; what is behind them dies of some of it."""
    of_neighbours = aioice.mdns.MDnsProtocol.datagram_received
    of_peers, of_turn = aioice.ice.StunProtocol.datagram_received, aioice.turn.TurnClientMixin.datagram_received

    def from_peer(self: Any, data: bytes, address: tuple[Any, ...]) -> None:
        reason = refused(self.receiver, data, (address[0], address[1]))
        if reason is None:
            _guarded(of_peers, self, data, address)
        else:
            dropped.count(reason)

    def from_neighbour(self: Any, data: bytes, address: tuple[Any, ...]) -> None:
        _guarded(of_neighbours, self, data, address)

    def from_turn(self: Any, data: bytes, address: tuple[Any, ...]) -> None:
        _guarded(of_turn, self, data, address)

    aioice.ice.StunProtocol.datagram_received = from_peer  # type: ignore[method-assign]
    aioice.mdns.MDnsProtocol.datagram_received = from_neighbour  # type: ignore[method-assign]
    aioice.turn.TurnClientMixin.datagram_received = from_turn  # type: ignore[method-assign]


def refused(connection: Any, data: bytes, address: tuple[str, int]) -> str | None:
    """Why `data` from `address` goes no further than an ICE `connection`'s socket, if it does not.

    Connectivity checks (first byte 0..3, RFC 7983) come from anywhere and carry their own proof; all else is taken from
    the peer's candidates alone, the ones learned from its checks among them.
    """
    if not 0 < len(data) <= LONGEST_DATAGRAM:
        return BAD_LENGTH
    if data[0] <= 3:
        return None if _is_stun(data) else UNFIT
    known = any((one._network_host, one.port) == address for one in connection._remote_candidates)
    if not known and not any(check[1] == address for check in connection._early_checks):
        return STRANGER
    return UNREAD if connection._queue.qsize() >= MOST_UNREAD else None


def _is_stun(data: bytes) -> bool:
    try:
        aioice.stun.parse_message(data)
    except Exception:  # ValueError, which aioice takes for "this is media", and whatever its parser lets out
        return False
    return True


def _guarded(take: Callable[..., None], protocol: Any, data: bytes, address: tuple[Any, ...]) -> None:
    """aioice's parser lets struct.error, KeyError and AssertionError out; asyncio would log a traceback for each datagram."""
    try:
        take(protocol, data, address)
    except Exception as error:
        dropped.count(UNFIT, error=repr(error))


def _survive_unfit_packets() -> None:
    """aiortc's receive loop ends, and the call with it, on whatever its parsers raise besides ValueError and their own."""
    receive = aiortc.rtcdtlstransport.RTCDtlsTransport._recv_next

    async def guarded(self: Any) -> None:
        try:
            await receive(self)
        except ConnectionError:
            raise
        except Exception as error:
            dropped.count(UNFIT, error=repr(error))
            await asyncio.sleep(0)  # were it to raise without having waited, others still come to their turn

    aiortc.rtcdtlstransport.RTCDtlsTransport._recv_next = guarded  # type: ignore[method-assign]


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


def _bound_gathering() -> None:
    """aioice waits five seconds for the slowest of its servers, before every answer to a client."""
    of_stun, of_turn = aioice.ice.server_reflexive_candidate, aioice.ice.relayed_candidate
    aioice.ice.server_reflexive_candidate = partial(gathering.reflexive, of_stun)
    aioice.ice.relayed_candidate = partial(gathering.relayed, of_turn)


def bind_within(ports: range) -> None:
    """Let the running loop's datagram sockets that may have any port have one of `ports`: aioice has no such parameter."""
    loop = asyncio.get_running_loop()
    create = loop.create_datagram_endpoint

    async def within(factory: Any, local_addr: Any = None, **how: Any) -> Any:
        if local_addr is None or local_addr[1] != 0:
            return await create(factory, local_addr=local_addr, **how)
        first = random.randrange(len(ports))
        for number in range(len(ports)):
            port = ports[(first + number) % len(ports)]
            try:
                return await create(factory, local_addr=(local_addr[0], port), **how)
            except OSError as failure:
                if failure.errno != errno.EADDRINUSE:
                    raise
        gathering.told.count(NO_PORT, ports=f"{ports[0]}-{ports[-1]}")
        raise OSError(errno.EADDRINUSE, NO_PORT)

    loop.create_datagram_endpoint = within  # type: ignore[method-assign]


def _take_rsa_certificates() -> None:
    """aiortc offers suites for ECDSA certificates alone; GStreamer's are RSA, and so are many that operators bring."""
    create = aiortc.rtcdtlstransport.RTCCertificate._create_ssl_context

    def with_rsa(self: Any, srtp_profiles: Any) -> Any:
        context = create(self, srtp_profiles)
        context.set_cipher_list(SUITES)
        return context

    aiortc.rtcdtlstransport.RTCCertificate._create_ssl_context = with_rsa  # type: ignore[method-assign]


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


def _know_peers_by_their_certificates_bytes() -> None:
    """aiortc parses a peer's certificate before it hashes it, and cryptography parses versions 1 and 3 alone. libdatachannel
    0.22, on which OBS is built, writes 2."""

    def validate(self: Any, remote: Any) -> None:
        der = dump_certificate(FILETYPE_ASN1, self._ssl.get_peer_certificate())
        known = [one for one in remote.fingerprints if one.algorithm.lower() in DIGESTS]
        if not known or any(one.value.upper() != fingerprint(der, one.algorithm) for one in known):
            self._set_state(aiortc.rtcdtlstransport.State.FAILED)

    aiortc.rtcdtlstransport.RTCDtlsTransport._validate_peer_identity = validate  # type: ignore[method-assign]


_OPENED = "_opened_for_telequilt"
"Transports of an ICE connection's sockets."
HEAD_START = 0.5
"Seconds for the first check of a peer that made the offer; from then on we check too, since it may be ICE-lite, which never does."


def _let_who_offers_begin() -> None:
    """Our checks reach whoever offered before our answer does. libdatachannel then has ICE and DTLS going while it has yet to take the
    answer in, knows no fingerprint, and refuses our certificate ("unknown ca"): one caller in four. What checks, has the answer."""
    connect = aioice.ice.Connection.connect

    @wraps(connect)
    async def invited(self: Any) -> None:
        until = time.monotonic() + HEAD_START
        while not (self.ice_controlling or self._early_checks or self._closing) and time.monotonic() < until:
            await asyncio.sleep(0.01)
        if self._closing:
            raise ConnectionError("it was closed meanwhile")
        await connect(self)

    aioice.ice.Connection.connect = invited  # type: ignore[method-assign]


def _close_what_is_being_gathered() -> None:
    """aioice's close() knows the sockets of gatherings that are over. Whoever hangs up before our answer left two and a peer each time."""
    made, close = aioice.ice.StunProtocol.connection_made, aioice.ice.Connection.close

    def opened(self: Any, transport: Any) -> None:
        made(self, transport)
        if self.receiver._closing:
            transport.abort()
        else:
            self.receiver.__dict__.setdefault(_OPENED, []).append(transport)

    @wraps(close)
    async def closed(self: Any) -> None:
        await close(self)
        for transport in self.__dict__.pop(_OPENED, ()):
            transport.close()

    aioice.ice.StunProtocol.connection_made = opened  # type: ignore[method-assign]
    aioice.ice.Connection.close = closed  # type: ignore[method-assign]


def fingerprint(der: bytes, algorithm: str) -> str:
    """Of a certificate, as RFC 8122 writes it: 12:AB:..."""
    return hashlib.new(DIGESTS[algorithm.lower()], der).digest().hex(":").upper()


def ice_of(transceiver: Any) -> aioice.ice.Connection:
    """The ICE connection below a transceiver."""
    return transceiver.receiver.transport.transport._connection


def ice_under(sctp: Any) -> aioice.ice.Connection:
    """The ICE connection below data channels."""
    return sctp.transport.transport._connection


def watch_consent(ice: aioice.ice.Connection, watch: Callable[[], Awaitable[None]]) -> None:
    """Run `watch` in place of aioice's consent checks, which it begins once connected: its own take half a minute."""
    ice.query_consent = watch  # type: ignore[method-assign,assignment]


async def ask_consent(ice: aioice.ice.Connection, given: Callable[[], None]) -> None:
    """One consent check (RFC 7675); `given` is called for each answer."""
    assert ice.remote_password is not None
    for pair in list(ice._nominated.values()):
        request = ice.build_request(pair, nominate=False)
        key = ice.remote_password.encode()
        with suppress(Exception):  # a socket that cannot send any more has no answer either
            await pair.protocol.request(request, pair.remote_addr, integrity_key=key, retransmissions=0)
            given()


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


def harmless(taken: Callable[..., Any]) -> Callable[..., Any]:
    """`taken`, but what it raises is counted and told, not raised: aiortc's receive loop would go no further with a packet."""

    def safe(*given: Any) -> Any:
        try:
            return taken(*given)
        except Exception as error:
            dropped.count(FAULT, error=repr(error))
            return None

    return safe


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


def relabel(sender: RTCRtpSender, number: int) -> None:
    """Send under another payload type. When: as pace()."""
    sender.setTransport(RelabelledTransport(sender.transport, number))  # type: ignore[arg-type]


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


def forget_sent(sender: RTCRtpSender) -> None:
    """Send nothing again of what was sent so far: what follows does without it, and repeats would fill a narrow link."""
    sender._RTCRtpSender__rtp_history.clear()  # type: ignore[attr-defined]


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


def report_captures(sender: RTCRtpSender) -> None:
    """Let sender reports pair an RTP time with the moment that its content was captured, as its track's `captured` says, in
    seconds of time.monotonic(). aiortc's pair it with the moment of sending, so that old pictures and fresh sound seem to
    belong together. Before `Peer.answer`."""
    del sender._RTCRtpSender__ntp_timestamp  # type: ignore[attr-defined]
    sender.__class__ = _Reporting


def told_time(captured: float) -> float:
    """Seconds since 1970 for what was captured at `captured` of time.monotonic(), as sender reports say it (report_captures)."""
    return captured + _WALL - NTP_EPOCH


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
