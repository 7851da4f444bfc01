"""Sound leaves with the picture of its moment, and says when it was captured; over the network, with real peers."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import httpx
import numpy as np
import pytest
from aiortc import RTCRtpSender
from aiortc.mediastreams import MediaStreamTrack

from server.webrtc.opus import as_wanted
from server.webrtc.patches.dropped import FAULT, dropped, harmless
from server.webrtc.patches.receivers import tap_reports
from server.webrtc.patches.senders import NTP_EPOCH, report_captures
from tests.live import Client, Clip, serving, settings_for, until
from tests.painted import StillObserver

SLOW = 0.12
"Seconds that a frame takes here, so that sound has something to wait for."


class Microphone(MediaStreamTrack):
    """Silence, 20 ms at a time."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._at, self._begun = 0, time.monotonic()

    async def recv(self) -> av.AudioFrame:
        await asyncio.sleep(max(0.0, self._begun + self._at / 48_000 - time.monotonic()))
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 960), np.int16), format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, self._at, Fraction(1, 48_000)
        self._at += 960
        return frame


class Slowly(StillObserver):
    def observe(self, frame: Any) -> Any:
        time.sleep(SLOW)
        return super().observe(frame)


@pytest.fixture
async def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Any, Client, Client]]:
    """(channel, caller, viewer) of a call in which pictures take SLOW to make."""
    monkeypatch.setattr("tests.live.StillObserver", Slowly)
    async with (
        serving(settings_for(tmp_path)) as (url, app),
        httpx.AsyncClient(base_url=url, timeout=30) as http,
        Client(http) as caller,
        Client(http) as viewer,
    ):
        assert (await caller.publish("room", Clip(), Microphone())).status_code == 201
        assert (await viewer.view(audio=True)).status_code == 201
        yield app.state.lobby.channels["room"], caller, viewer


async def test_sound_is_as_old_as_the_picture_when_it_leaves(call):
    channel, _, viewer = call
    await until(lambda: len(viewer.sounds) > 60 and len(viewer.pictures) > 10)
    (delay,) = channel.presenter._delays.values()
    assert delay.seconds > SLOW
    await until(lambda: abs(delay.offset) < 0.06)


async def test_sound_goes_on_following_where_a_viewer_is_sent_another_form_for_a_while(call):
    channel, _, viewer = call
    await until(lambda: len(viewer.pictures) > 5)
    (screen,) = channel.presenter.watched
    delay, another = channel.presenter.delay(screen), channel.presenter.delay(screen.only(3))
    await until(lambda: another.aim is not None and abs(another.aim - delay.aim) < 0.1)


def go_on_alike(reports: list[tuple[float, float]]) -> bool:
    """The wall clock and RTP, over the last seconds: on a busy machine one report or the other is estimated from late packets."""
    steps = [(b[0] - a[0]) - (b[1] - a[1]) for a, b in pairwise(reports[-4:])]
    return statistics.median(map(abs, steps)) < 0.02


async def test_reports_say_when_things_were_captured_and_the_round_trip_is_known(call):
    channel, _, viewer = call
    (one,) = channel.viewers.values()
    told: dict[str, list[tuple[float, float]]] = {"video": [], "audio": []}
    for transceiver in viewer.connection.getTransceivers():
        kept, rate = told[transceiver.kind], 90_000 if transceiver.kind == "video" else 48_000
        tap_reports(transceiver.receiver, lambda _, sent, rtp, kept=kept, rate=rate: kept.append((sent, rtp / rate)))
    await until(lambda: all(len(reports) >= 4 for reports in told.values()))
    now = time.time() + NTP_EPOCH
    for reports in told.values():
        newest = [sent for sent, _ in reports[-2:]]
        assert all(SLOW / 2 < now - sent < 60 for sent in newest), "captured before it was sent"
    await until(lambda: all(map(go_on_alike, told.values())))
    for sending in one.peer.connection.getTransceivers():
        await until(lambda sending=sending: sending.sender._RTCRtpSender__rtt is not None)


async def test_a_sender_reports_the_capture_of_the_unit_that_has_left():
    transport: Any = SimpleNamespace(state="connected")
    sender: Any = RTCRtpSender("video", transport)
    report_captures(sender)
    assert sender._RTCRtpSender__ntp_timestamp == 0
    track: Any = Clip()
    sender.replaceTrack(track)
    sender._RTCRtpSender__ntp_timestamp = 5
    assert sender._RTCRtpSender__ntp_timestamp == 5, "a track that does not say is reported as aiortc does"
    begun = time.time()
    track.captured = time.monotonic() - 3.0
    ended = time.time()
    sender._RTCRtpSender__ntp_timestamp = 5
    track.captured += 1.0  # the next unit, which has not left yet
    reported = sender._RTCRtpSender__ntp_timestamp / (1 << 32) - NTP_EPOCH
    assert begun - 3.1 < reported < ended - 2.9


def offered(*lines: str) -> str:
    return "\r\n".join(["m=audio 9 UDP/TLS/RTP/SAVPF 111 0", "a=rtpmap:111 opus/48000/2", *lines, ""])


def test_every_answer_asks_for_error_correction_and_for_no_silence():
    answer = as_wanted(offered("a=fmtp:111 old=1", "a=rtpmap:0 PCMU/8000"), offered("a=fmtp:111 minptime=10"))
    assert answer == offered("a=fmtp:111 minptime=10;useinbandfec=1;usedtx=1", "a=rtpmap:0 PCMU/8000")


@pytest.mark.parametrize(
    ("said", "stereo"),
    [("stereo=1", True), ("minptime=10; sprop-stereo=1", True), ("stereo=0", False), ("useinbandfec=1", False)],
)
def test_stereo_is_for_those_who_speak_of_it(said, stereo):
    assert ("stereo=1" in as_wanted(offered(), offered(f"a=fmtp:111 {said}"))) == stereo


async def test_an_offer_whose_extensions_say_more_of_themselves_is_taken(call):
    _, caller, _ = call
    level = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"

    def with_attributes(sdp: str) -> str:
        assert level in sdp
        return sdp.replace(level, f"{level} vad=on")

    async with Client(caller.http) as other:
        for track in (Clip(), Microphone()):
            other.connection.addTransceiver(track, "sendonly")
        answer = await other.exchange("/whip/other", {}, with_attributes)
        assert answer.status_code == 201
        assert "useinbandfec=1" in answer.text


def test_what_a_handler_raises_is_counted_and_goes_no_further():
    before = dropped.counts.get(FAULT, 0)
    assert harmless(lambda: 1 / 0)() is None
    assert harmless(lambda one: one)(7) == 7
    assert dropped.counts[FAULT] == before + 1
