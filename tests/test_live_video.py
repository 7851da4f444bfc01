"""What becomes of a caller's pictures on their way in, through real peers: lost and empty packets, slow decoders, strange streams."""

from __future__ import annotations

import asyncio
import threading
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import pytest
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from server.webrtc import ingest, live_video
from server.webrtc.backlog import LOST, TOO_LARGE, TOO_SLOW
from server.webrtc.ingest import LONGEST_SIDE, UNCONVERTIBLE, to_rgb
from server.webrtc.live_video import UNDECODABLE
from tests.live import Client, Clip, serving, settings_for, until

RTX = {98, 100, 102}
"Payload types that aiortc retransmits with."
CODECS = ["video/VP8", "video/H264"]


@asynccontextmanager
async def calling(tmp_path: Path, **settings: Any) -> AsyncIterator[tuple[Any, Client]]:
    """(lobby, a client that has not called yet)."""
    async with (
        serving(settings_for(tmp_path, **settings)) as (url, app),
        httpx.AsyncClient(base_url=url, timeout=30) as http,
        Client(http) as caller,
    ):
        yield app.state.lobby, caller


async def published(lobby: Any, caller: Client, mangle: Callable[[str], str] = str) -> Any:
    assert (await caller.publish_added(mangle=mangle)).status_code == 201
    return lobby.channels["room"].ingest


async def decodes(taking: Any, more: int = 10) -> None:
    before = taking.report().decoded
    await until(lambda: taking.report().decoded >= before + more)


def renumbered(data: bytes, by: int) -> bytes:
    return data[:2] + ((int.from_bytes(data[2:4], "big") + by) % (1 << 16)).to_bytes(2, "big") + data[4:]


def content(data: bytes) -> int:
    """Where an RTP packet's payload begins (RFC 3550, section 5.1): there may be a header extension before."""
    return 16 + 4 * int.from_bytes(data[14:16], "big") if data[0] & 0x10 else 12


class Way:
    """Media packets of one sender, numbered from 0; retransmissions are lost."""

    def __init__(self, happens: Callable[[int, bytes], list[bytes]]) -> None:
        self.sent, self._happens = 0, happens
        self._numbers: set[bytes] = set()

    def __call__(self, data: bytes) -> list[bytes]:
        if data[1] & 0x7F in RTX or data[2:4] in self._numbers:
            return []
        self._numbers.add(data[2:4])
        self.sent += 1
        return self._happens(self.sent - 1, data)


def padding(after: bytes) -> bytes:
    """A packet of nothing but padding, of the same time and with the next number (RFC 3550, section 5.1)."""
    return renumbered(bytes([0xA0, after[1] & 0x7F]) + after[2:12] + bytes(3) + b"\x04", 1)


@pytest.mark.parametrize("codec", CODECS)
async def test_padding_alone_harms_no_decoder(tmp_path, codec):
    def padded(number: int, data: bytes) -> list[bytes]:
        shifted = renumbered(data, number // 5)
        return [shifted, padding(shifted)] if number % 5 == 4 else [shifted]

    async with calling(tmp_path) as (lobby, caller):
        caller.add(Clip(), Way(padded), codec)
        taking = await published(lobby, caller)
        await decodes(taking, 40)
        report = taking.report()
        assert report.lost == {}
        assert (report.width, report.height) == (320, 240)
        assert report.codec == codec.removeprefix("video/")


def without_feedback(offer: str) -> str:
    """Of a sender that resends nothing, such as GStreamer's by default."""
    return "".join(line for line in offer.splitlines(keepends=True) if not line.startswith("a=rtcp-fb"))


@pytest.mark.parametrize("mangle", [str, without_feedback])
@pytest.mark.parametrize("codec", CODECS)
async def test_a_lost_packet_that_is_not_sent_again_costs_a_moment(tmp_path, codec, mangle):
    way = Way(lambda number, data: [] if number == 60 else [data])
    async with calling(tmp_path) as (lobby, caller):
        caller.add(Clip(), way, codec)
        taking = await published(lobby, caller, mangle)
        await until(lambda: taking.report().lost.get(LOST, 0) == 1)
        await decodes(taking)
        assert way.sent < 200, "packets: 512 were waited for"
        assert taking.report().decoded + 40 > taking.report().arrived


async def test_a_lost_packet_that_is_sent_again_costs_no_picture(tmp_path):
    lost: list[bytes] = []

    def once(data: bytes) -> list[bytes]:
        lost.append(data)
        return [] if len(lost) == 60 else [data]

    async with calling(tmp_path) as (lobby, caller):
        caller.add(Clip(), once)
        taking = await published(lobby, caller)
        await until(lambda: taking.report().decoded > 90)
        assert taking.report().lost == {}


async def test_frames_carry_the_arrival_of_their_pictures(tmp_path, monkeypatch):
    """Decoding takes its time, which a frame's age must show."""
    took = 0.15
    decode = live_video._Decoder.decode

    def slowly(*given: Any) -> Any:
        time.sleep(took)
        return decode(*given)

    monkeypatch.setattr(live_video._Decoder, "decode", slowly)
    async with calling(tmp_path) as (lobby, caller):
        caller.add(Clip(), lambda data: [data])
        taking = await published(lobby, caller)
        ages, offer = [], taking._offer

        def noting(frame: Any) -> None:
            ages.append(time.monotonic() - frame.captured)
            offer(frame)

        taking._offer = noting
        await until(lambda: len(ages) > 10)
        await until(lambda: TOO_SLOW in taking.report().lost)  # 25 pictures a second come, six can be decoded
        assert min(ages) >= took
        assert lobby.channels["room"].session.report().age.p50 >= 1e3 * took


class Snow(Clip):
    """What costs bits."""

    async def recv(self) -> av.VideoFrame:
        calm = await super().recv()
        snow = np.random.default_rng(self.sent).integers(0, 255, (360, 320), np.uint8)
        frame = av.VideoFrame.from_ndarray(snow, format="yuv420p")
        frame.pts, frame.time_base = calm.pts, calm.time_base
        return frame


async def test_who_sends_more_than_can_be_decoded_is_told_to_send_less(tmp_path, monkeypatch):
    decode = live_video._Decoder.decode

    def slowly(*given: Any) -> Any:
        time.sleep(0.1)
        return decode(*given)

    monkeypatch.setattr(live_video._Decoder, "decode", slowly)
    async with calling(tmp_path) as (lobby, caller):
        caller.add(Snow(), lambda data: [data])
        taking = await published(lobby, caller)
        sender: Any = caller.connection.getSenders()[0]

        def follows() -> bool:
            most = taking._video._allowance.most(time.monotonic())
            return most is not None and sender._RTCRtpSender__encoder.target_bitrate <= max(most, 250_000)

        await until(follows)
        await until(lambda: TOO_SLOW in taking.report().lost)


async def test_a_decoder_that_never_ends_keeps_nobody(tmp_path, monkeypatch):
    """aiortc joined the decoder's thread on the event loop, after all that waited for it."""
    stuck, free = threading.Event(), threading.Event()

    def forever(*given: Any) -> Any:
        stuck.set()
        free.wait()
        return []

    monkeypatch.setattr(live_video._Decoder, "decode", forever)
    try:
        async with calling(tmp_path) as (lobby, caller):
            caller.add(Clip(), lambda data: [data])
            taking = await published(lobby, caller)
            await asyncio.to_thread(stuck.wait, 20)
            await until(lambda: taking.report().arrived > 30)
            assert len(taking._video._backlog._waiting) < 30, "what waits is bounded"
            assert (await caller.hang_up()).status_code == 200
            await until(lambda: not lobby.channels)
            assert (await caller.http.get("/healthz")).status_code == 200
            assert not free.is_set()
    finally:
        free.set()


@pytest.mark.parametrize("codec", CODECS)
async def test_a_picture_larger_than_the_setting_never_reaches_the_decoder(tmp_path, codec, monkeypatch):
    monkeypatch.setattr(live_video._Decoder, "decode", lambda *given: pytest.fail("it was decoded"))
    async with calling(tmp_path, max_picture_pixels=319 * 240) as (lobby, caller):
        caller.add(Clip(), lambda data: [data], codec)
        taking = await published(lobby, caller)
        await until(lambda: taking.report().lost.get(TOO_LARGE, 0) > 10)
        report = taking.report()
        assert (report.width, report.height) == (320, 240)
        assert report.decoded == 0
        assert report.last_decoded is None
        assert report.last_arrived is not None


async def test_a_picture_that_hides_its_size_is_refused_by_the_decoder(tmp_path, monkeypatch):
    monkeypatch.setattr("server.webrtc.bitstream._sps_size", lambda unit: None)
    async with calling(tmp_path, max_picture_pixels=128 * 128) as (lobby, caller):
        caller.add(Clip(), lambda data: [data], "video/H264")
        taking = await published(lobby, caller)
        await until(lambda: taking.report().lost.get(UNDECODABLE, 0) > 2)
        assert taking.report().decoded == 0


class Coded(MediaStreamTrack):
    """Ready H.264 at 25 pictures a second. Its parameter sets come "never", "once", or "apart": with a time of their own."""

    kind = "video"

    def __init__(self, sets: str = "never") -> None:
        super().__init__()
        self._how, self._apart = sets, b""
        context = av.CodecContext.create("libx264", "w")
        assert isinstance(context, av.VideoCodecContext)
        context.width, context.height, context.pix_fmt, context.time_base = 320, 240, "yuv420p", Fraction(1, 25)
        context.options = {"profile": "baseline", "g": "10", "bf": "0", "tune": "zerolatency"}
        self._context, self._count, self.sets = context, 0, b""

    async def recv(self) -> av.Packet:
        if self.readyState != "live":
            raise MediaStreamError
        apart, self._apart = self._apart, b""
        if not apart:
            await asyncio.sleep(0.04)
        packet = av.Packet(apart or self.next())
        packet.pts, packet.time_base = self._count * 3600 - (1800 if self._apart else 0), Fraction(1, 90_000)
        if self._apart:
            packet, self._apart = self._swapped(packet), bytes(packet)
        return packet

    def _swapped(self, picture: av.Packet) -> av.Packet:
        sets = av.Packet(self._apart)
        sets.pts, sets.time_base = picture.pts, picture.time_base
        return sets

    def next(self) -> bytes:
        grey = np.full((240, 320, 3), 50 + self._count % 100, np.uint8)
        frame = av.VideoFrame.from_ndarray(grey, "rgb24").reformat(format="yuv420p")
        frame.pts = self._count
        self._count += 1
        units = b"".join(bytes(one) for one in self._context.encode(frame)).split(b"\x00\x00\x01")[1:]
        units = [unit.rstrip(b"\x00") for unit in units]
        sets = [unit for unit in units if unit[0] & 0x1F in (7, 8)]
        self.sets = self.sets or b",".join(b64encode(unit) for unit in sets)
        stream = [b"\x00\x00\x00\x01" + unit for unit in units if unit not in sets]
        coded_sets = b"".join(b"\x00\x00\x00\x01" + unit for unit in sets)
        if self._how == "apart":
            self._apart = coded_sets
        return (coded_sets if self._how == "once" and self._count == 1 else b"") + b"".join(stream)


@pytest.mark.parametrize("separator", [";", "; "])
async def test_parameter_sets_that_stand_in_the_offer_alone_are_used(tmp_path, separator):
    track = Coded()
    track.next()

    def with_sets(offer: str) -> str:
        sprop = f"{separator}sprop-parameter-sets={track.sets.decode()}"
        lines = [line + sprop if "profile-level-id" in line else line for line in offer.splitlines()]
        return "\r\n".join(lines) + "\r\n"

    async with calling(tmp_path) as (lobby, caller):
        caller.add(track, lambda data: [data], "video/H264")
        await decodes(await published(lobby, caller, with_sets))


async def test_half_of_the_parameter_sets_may_stand_in_the_offer(tmp_path):
    track = Coded("apart")
    track.next()
    only_pps = track.sets.split(b",")[1].decode()

    cut = 0

    def without_pps(data: bytes) -> list[bytes]:
        nonlocal cut
        at = content(data)
        if data[at] & 0x1F != 24:
            return [data]
        cut += 1
        return [data[:at] + data[at + 3 : at + 3 + int.from_bytes(data[at + 1 : at + 3], "big")]]

    def with_pps(offer: str) -> str:
        said = f";sprop-parameter-sets={only_pps}"
        return "\r\n".join(line + said if "profile-level-id" in line else line for line in offer.splitlines()) + "\r\n"

    async with calling(tmp_path) as (lobby, caller):
        caller.add(track, without_pps, "video/H264")
        await decodes(await published(lobby, caller, with_pps))
        assert cut > 0


async def test_parameter_sets_may_come_with_a_time_of_their_own(tmp_path):
    async with calling(tmp_path) as (lobby, caller):
        caller.add(Coded("apart"), lambda data: [data], "video/H264")
        taking = await published(lobby, caller)
        await decodes(taking, 40)
        assert taking.report().lost == {}


async def test_parameter_sets_that_came_once_outlive_a_decoder_that_is_made_anew(tmp_path, monkeypatch):
    async with calling(tmp_path) as (lobby, caller):
        caller.add(Coded("once"), lambda data: [data], "video/H264")
        taking = await published(lobby, caller)
        await decodes(taking)
        taking._video._decoder._context = None
        await decodes(taking, 20)


@pytest.mark.parametrize("payload", [b"\x1e\x00\x00", b"\x18\x00\x09\x67", b"\x00", b"\x1d\x85\x01\x02"])
async def test_packets_of_kinds_that_nobody_reads_are_no_lost_ones(tmp_path, payload):
    """PACSI, a truncated aggregation, one byte, FU-B: left out, they would be waited for, each with all behind it."""

    def between(number: int, data: bytes) -> list[bytes]:
        shifted = renumbered(data, number // 5)
        strange = renumbered(bytes([0x80, data[1] & 0x7F]) + shifted[2:12] + payload, 1)
        return [shifted, strange] if number % 5 == 4 else [shifted]

    async with calling(tmp_path) as (lobby, caller):
        caller.add(Clip(), Way(between), "video/H264")
        taking = await published(lobby, caller)
        await decodes(taking, 40)
        assert LOST not in taking.report().lost


async def test_a_stream_that_cannot_be_decoded_is_reported_with_its_reason_and_told_once(tmp_path, capsys):
    async with calling(tmp_path) as (lobby, caller):
        caller.add(Coded(), lambda data: [data], "video/H264")
        taking = await published(lobby, caller)
        await until(lambda: taking.report().arrived > 50)
        report = taking.report()
        assert report.decoded == 0
        assert report.lost[UNDECODABLE] > 1
    said = [line for line in capsys.readouterr().out.splitlines() if "a channel is nothing-decoded" not in line]
    assert "".join(said).count(UNDECODABLE) == 1


async def test_a_frame_that_cannot_be_taken_in_ends_the_call_with_its_reason(tmp_path):
    async with calling(tmp_path) as (lobby, caller):
        caller.add(Clip(), lambda data: [data])
        taking = await published(lobby, caller)
        await decodes(taking, 3)

        def broken(frame: Any) -> None:
            raise RuntimeError("nobody takes it")

        taking._offer = broken
        await until(lambda: not lobby.channels)


async def test_a_decoder_thread_that_breaks_ends_the_call(tmp_path, monkeypatch):
    async with calling(tmp_path) as (lobby, caller):
        caller.add(Clip(), lambda data: [data])
        taking = await published(lobby, caller)
        await decodes(taking, 3)
        monkeypatch.setattr(taking._video._backlog, "take", lambda now: 1 / 0)
        await until(lambda: not lobby.channels)


async def test_a_picture_that_cannot_be_converted_ends_nothing(tmp_path, monkeypatch):
    async with calling(tmp_path) as (lobby, caller):
        caller.add(Clip(), lambda data: [data])
        taking = await published(lobby, caller)
        with monkeypatch.context() as patched:
            patched.setattr(ingest, "to_rgb", lambda *given: 1 / 0)
            await until(lambda: taking.report().lost.get(UNCONVERTIBLE, 0) > 2)
        before = lobby.channels["room"].session.report().frames
        await until(lambda: lobby.channels["room"].session.report().frames > before)


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (3840, 2160), (2160, 3840), (321, 5000), (1, 1)])
def test_pictures_are_halved_until_they_are_small_enough(width, height):
    picture = av.VideoFrame.from_ndarray(np.full((height, width, 3), 90, np.uint8), "rgb24")
    pixels = to_rgb(picture, LONGEST_SIDE)
    assert max(pixels.shape) <= LONGEST_SIDE
    assert pixels.shape[0] >= min(height, LONGEST_SIDE // 2)
    assert abs(int(pixels.mean()) - 90) <= 1
