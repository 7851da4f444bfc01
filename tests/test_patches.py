"""Every name of aiortc's and aioice's insides that we build upon is looked for at start, and a stray datagram ends no call."""

from __future__ import annotations

import asyncio
import random
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aioice.ice
import httpx
import psutil
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection
from aiortc.rate import RemoteBitrateEstimator
from aiortc.rtcdtlstransport import RTCCertificate, RTCDtlsFingerprint, RTCDtlsParameters, RTCDtlsTransport
from aiortc.rtp import HeaderExtensionsMap, RtpPacket
from OpenSSL.crypto import X509

from server.webrtc.patches import ice
from server.webrtc.patches.dropped import BAD_LENGTH, STRANGER, UNFIT, dropped
from server.webrtc.patches.ice import MOST_UNREAD, ice_of
from server.webrtc.patches.receivers import MOST_SOURCES
from server.webrtc.patches.touched import TOUCHED, PatchesDoNotFit, Touched, check
from server.webrtc.patches.tuning import tune_libraries
from tests.live import Client, serving, settings_for, until

SOURCES = Path(ice.__file__).parents[2]


def test_what_is_installed_has_every_name():
    check()


@pytest.mark.parametrize(
    "gone",
    [
        Touched("aiortc", "aiortc.rtcrtpreceiver", "", "RTP_HISTORY_LENGTH"),
        Touched("aiortc", "aiortc.rtcrtpreceiver", "RTCRtpReceiver._handle_rtp_packet", "_RTCRtpReceiver__buffer"),
        Touched("aioice", "aioice.ice", "Connection.no_such_function", "_nominated"),
    ],
)
def test_a_name_that_is_gone_is_told_with_its_library_and_the_command_that_mends_it(gone):
    with pytest.raises(PatchesDoNotFit, match=rf"{gone.library} [\d.]+ has no {gone.name} .* pip install"):
        check([*TOUCHED, gone])


def test_nothing_else_in_the_server_reaches_into_the_libraries():
    names = "|".join(one.name for one in TOUCHED if one.name.startswith("_") or one.name.isupper())
    reaching = re.compile(rf"(?<!self)\.({names})\b")
    for path in SOURCES.rglob("*.py"):
        if path.parent != Path(ice.__file__).parent:
            assert not reaching.findall(path.read_text()), path


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[tuple[Any, Client]]:
    """(channel, its caller) of a call whose pictures come in."""
    async with (
        serving(settings_for(tmp_path)) as (url, app),
        httpx.AsyncClient(base_url=url, timeout=30) as http,
        Client(http) as caller,
    ):
        assert (await caller.publish()).status_code == 201
        channel = app.state.lobby.channels["room"]
        await until(lambda: channel.ingest.received > 5)
        yield channel, caller
        assert app.state.lobby.channels["room"] is channel


async def goes_on(channel: Any) -> None:
    before = channel.ingest.received
    await until(lambda: channel.ingest.received > before + 5)


def connection(channel: Any) -> Any:
    return ice_of(channel.caller.connection.getTransceivers()[0])


def strange() -> list[bytes]:
    luck = random.Random(1)
    made = [b"", bytes([0x80]) * 1501, bytes([0x80]) * 9000, bytes([0xC8]) * 3000]
    made += [bytes([first]) for first in range(256)]
    made += [bytes([first]) + luck.randbytes(luck.randint(1, 60)) for first in range(256)]
    made += [b"\x80\xc8\x00", b"\x80\xce" + bytes(4), b"\x90\x60" + bytes(10) + b"\xbe\xde\x00\x09"]
    stun = b"\x00\x01\x00\x08\x21\x12\xa4\x42" + bytes(12)
    return [*made, stun + b"\x00\x24\x00\x01\x01\x00\x00\x00", stun[:20], stun + b"\x00\x08\x00\x04\x01\x00\x00\x00"]


async def test_datagrams_from_anywhere_end_no_call(live):
    channel, caller = live
    before = dict(dropped.counts)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as anybody:
        for candidate in connection(channel).local_candidates:
            if ":" not in candidate.host:
                for data in strange():
                    anybody.sendto(data, (candidate.host, candidate.port))
                    await asyncio.sleep(0)
    await goes_on(channel)
    more = {reason: count - before.get(reason, 0) for reason, count in dropped.counts.items()}
    assert more[BAD_LENGTH] >= 4
    assert more[STRANGER] >= 250
    assert more[UNFIT] >= 2
    metrics = (await caller.http.get("/metrics")).text
    assert f'telequilt_packets_dropped_total{{reason="{STRANGER}"}}' in metrics


async def test_datagrams_that_pretend_to_be_the_peers_end_no_call(live):
    """An address can be forged: what gets past the filter must not end the receive loop either."""
    channel, _ = live
    ice = connection(channel)
    (pair,) = ice._nominated.values()
    for data in strange():
        pair.protocol.datagram_received(data, pair.remote_addr)
        ice._queue.put_nowait((data, 1))
        await asyncio.sleep(0)
    await goes_on(channel)


async def test_whatever_a_handler_raises_ends_no_call(live, monkeypatch):
    channel, _ = live
    video = channel.ingest._video
    left = 20

    def broken(*packet: Any) -> bool:
        nonlocal left
        left -= 1
        if left < 0:
            monkeypatch.undo()
        raise KeyError("a bug")

    receiver: Any = channel.caller.connection.getTransceivers()[0].receiver
    monkeypatch.setattr(receiver._RTCRtpReceiver__jitter_buffer, "_taken", broken)
    await until(lambda: left < 0)
    await goes_on(channel)
    assert video.readyState == "live"


async def test_packets_of_countless_sources_leave_the_reports_and_the_end_of_a_receiver_as_they_are(live):
    channel, caller = live
    sender = caller.connection.getSenders()[0]
    receiver: Any = channel.caller.connection.getTransceivers()[0].receiver
    (kind, *_) = [number for number, codec in receiver._RTCRtpReceiver__codecs.items() if "rtx" not in codec.mimeType]
    before = dropped.counts.get(UNFIT, 0)
    for source in range(300):
        packet = RtpPacket(
            payload_type=kind, sequence_number=source, timestamp=source, ssrc=1000 + source, payload=b"x"
        )
        await sender.transport._send_rtp(packet.serialize(HeaderExtensionsMap()))
    await until(lambda: dropped.counts.get(UNFIT, 0) - before > 250)
    assert len(receiver._RTCRtpReceiver__remote_streams) == MOST_SOURCES
    task = receiver._RTCRtpReceiver__rtcp_task
    await asyncio.sleep(1.6)  # within which a report is written
    assert not task.done()
    await goes_on(channel)


async def test_a_report_that_cannot_be_written_ends_neither_reports_nor_the_end_of_a_receiver(live):
    channel, _ = live
    receiver: Any = channel.caller.connection.getTransceivers()[0].receiver
    before, task = dropped.counts.get(UNFIT, 0), receiver._RTCRtpReceiver__rtcp_task
    stream = next(iter(receiver._RTCRtpReceiver__remote_streams.values()))
    stream._jitter_q4 = 1 << 60  # of times that jump to and fro by all of their 32 bits
    await until(lambda: dropped.counts.get(UNFIT, 0) > before)
    assert not task.done()
    await goes_on(channel)
    stream._jitter_q4 = 0
    task.cancel()
    await asyncio.wait_for(receiver._RTCRtpReceiver__rtcp_exited.wait(), 20)


async def test_a_transport_that_is_not_read_yet_holds_only_so_much(live):
    channel, _ = live
    ice = connection(channel)
    (pair,) = ice._nominated.values()
    for _ in range(MOST_UNREAD + 500):  # the reader gets no turn meanwhile
        pair.protocol.datagram_received(b"\x80" * 100, pair.remote_addr)
    assert ice._queue.qsize() <= MOST_UNREAD


def failing(fingerprints: list[RTCDtlsFingerprint], certificate: RTCCertificate) -> bool:
    """Whether a peer with that certificate, whose description says so, is refused."""
    states: list[object] = []
    x509 = X509.from_cryptography(certificate._cert)
    transport = SimpleNamespace(_ssl=SimpleNamespace(get_peer_certificate=lambda: x509), _set_state=states.append)
    RTCDtlsTransport._validate_peer_identity(transport, RTCDtlsParameters(fingerprints))  # type: ignore[arg-type]
    return bool(states)


def test_a_peer_is_known_by_its_certificates_fingerprint_alone():
    tune_libraries()
    own, other = RTCCertificate.generateCertificate(), RTCCertificate.generateCertificate()
    good, bad = own.getFingerprints(), other.getFingerprints()
    assert len(good) == 3
    assert not failing(good, own)
    assert not failing([RTCDtlsFingerprint("SHA-256", good[0].value.lower())], own)
    assert not failing([RTCDtlsFingerprint("sha-1", "00"), *good], own)  # one that is not known says nothing
    for wrong in (bad, [good[0], bad[1]], [], [RTCDtlsFingerprint("sha-1", "00")], [RTCDtlsFingerprint("sha-256", "")]):
        assert failing(wrong, own)


async def test_who_offers_checks_first_and_who_never_does_is_checked_all_the_same(monkeypatch):
    tune_libraries()
    monkeypatch.setattr(ice, "HEAD_START", 30.0)
    offers, answers = aioice.ice.Connection(ice_controlling=True), aioice.ice.Connection(ice_controlling=False)
    for one in (offers, answers):
        await one.gather_candidates()
    for one, other in ((offers, answers), (answers, offers)):
        one.remote_username, one.remote_password = other.local_username, other.local_password
        for candidate in other.local_candidates:
            await one.add_remote_candidate(candidate)
        await one.add_remote_candidate(None)
    answering = asyncio.create_task(answers.connect())
    await asyncio.sleep(0.3)
    assert not offers._early_checks, "it may not have our answer yet"
    async with asyncio.timeout(20):
        await asyncio.gather(offers.connect(), answering)
    await asyncio.gather(offers.close(), answers.close())


async def test_who_is_closed_before_the_first_check_waits_no_longer(monkeypatch):
    tune_libraries()
    monkeypatch.setattr(ice, "HEAD_START", 30.0)
    peer = aioice.ice.Connection(ice_controlling=False)
    await peer.gather_candidates()
    connecting = asyncio.create_task(peer.connect())
    await asyncio.sleep(0)
    await peer.close()
    with pytest.raises(ConnectionError):
        await asyncio.wait_for(connecting, 20)


@pytest.mark.parametrize("turns", range(6))
async def test_who_is_closed_while_it_gathers_keeps_no_socket(turns: int):
    tune_libraries()
    peer = aioice.ice.Connection(ice_controlling=False)
    before = sockets()
    gathering = asyncio.create_task(peer.gather_candidates())
    for _ in range(turns):  # of the event loop: sockets are opened one by one
        await asyncio.sleep(0)
    await peer.close()
    await asyncio.gather(gathering, return_exceptions=True)
    await until(lambda: sockets() == before)


def sockets() -> int:
    return len(psutil.Process().net_connections("udp"))


async def test_what_a_link_carries_is_estimated_as_before_and_nothing_is_made_for_who_only_watches():
    tune_libraries()
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    receiver: Any = connection.addTransceiver("video", "sendonly").receiver
    later = receiver._RTCRtpReceiver__remote_bitrate_estimator
    assert later.made is None
    plain, told = RemoteBitrateEstimator(), []
    for number in range(400):
        at, sent = 1000 + 10 * number + number % 7 * (number > 200), (number * 2621) % (1 << 24)
        packet = {"arrival_time_ms": at, "abs_send_time": sent, "payload_size": 1200, "ssrc": 7}
        told.append(later.add(**packet))
        assert told[-1] == plain.add(**packet)
    assert any(told)
    await connection.close()
