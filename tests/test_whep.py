"""Watching by WHEP: real viewers of a real server, where view i is painted with the number i."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from fractions import Fraction
from types import SimpleNamespace

import av
import httpx
import numpy as np
import pytest
import pytest_asyncio
from aiortc.mediastreams import MediaStreamTrack

from server.media import encode
from tests.live import GONE_SECONDS, SDP, Client, Clip, located, serving, settings_for, until
from tests.test_whip import offered, problem

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SimpleNamespace]:
    settings = settings_for(tmp_path_factory.mktemp("data"), max_viewers=3)
    async with serving(settings) as (base, app), httpx.AsyncClient(base_url=base, timeout=30) as http:
        yield SimpleNamespace(http=http, lobby=lambda: app.state.lobby)


@pytest_asyncio.fixture(loop_scope="module")
async def http(live) -> AsyncIterator[httpx.AsyncClient]:
    yield live.http
    await until(lambda: not live.lobby().channels)


def red(picture: av.VideoFrame, left: int, top: int) -> int:
    """The red of a tile of 256 px whose corner is at (left, top): ten times the number of its view."""
    rgb = picture.to_ndarray(format="rgb24")
    return int(np.median(rgb[top + 60 : top + 120, left + 60 : left + 120, 0]))


async def streams(http: httpx.AsyncClient) -> dict[str, dict]:
    report = (await http.get("/api/channels/room")).json()
    return {stream["form"]: stream for stream in report["streams"]}


async def test_a_viewer_sees_the_callers_quilt_with_every_view_in_its_place(http):
    async with Client(http) as caller, Client(http) as viewer:
        assert (await caller.publish()).status_code == 201
        assert (await viewer.view()).status_code == 201
        assert "profile-level-id=42e028" in viewer.answer  # level 4.0 is what 1536x1024 at 25 fps needs
        picture = (await viewer.seen(10))[-1]
        assert (picture.width, picture.height) == (1536, 1024)
        for view in range(24):
            column, row = view % 6, view // 6
            assert red(picture, column * 256, 1024 - (row + 1) * 256) == pytest.approx(10 * view, abs=6)
        await caller.hang_up()


async def test_one_view_comes_as_an_ordinary_video_rendered_at_its_size(http):
    async with Client(http) as caller, Client(http) as viewer, Client(http) as middle:
        await caller.publish()
        await viewer.view(form="view", view="3")
        await middle.view(form="view")
        picture = (await viewer.seen(5))[-1]
        assert (picture.width, picture.height) == (512, 512)
        # a screen of one view has its own fan of one camera, which the painted engine paints with 0
        assert red(picture, 100, 200) == pytest.approx(0, abs=6)
        await middle.seen(3)
        assert {"telequilt/view3", "telequilt/view12"} <= set(await streams(http))
        await caller.hang_up()


async def test_all_viewers_of_a_form_share_one_encoder_and_only_watched_forms_are_made(http):
    async with Client(http) as caller, Client(http) as a, Client(http) as b, Client(http) as c:
        await caller.publish()
        assert await streams(http) == {}
        for viewer in (a, b):
            assert (await viewer.view()).status_code == 201
            await viewer.seen(5)
        assert (await streams(http))["telequilt"]["viewers"] == 2
        await c.view(form="view")
        await c.seen(5)
        assert set(await streams(http)) == {"telequilt", "telequilt/view12"}
        await a.hang_up()
        await b.hang_up()
        assert set(await streams(http)) == {"telequilt/view12"}
        await caller.hang_up()


async def test_a_late_viewer_does_not_wait_for_the_next_regular_keyframe(http, monkeypatch):
    monkeypatch.setattr(encode, "KEYFRAME_EVERY", 1e6)
    async with Client(http) as caller, Client(http) as early, Client(http) as late:
        await caller.publish()
        await early.view()
        await early.seen(20)
        await late.view()
        await late.seen(1)
        assert (await streams(http))["telequilt"]["keyframes"] >= 2
        await caller.hang_up()


async def test_a_lost_picture_is_answered_with_a_keyframe_but_not_more_often_than_allowed(http):
    async with Client(http) as caller, Client(http) as viewer:
        await caller.publish()
        await viewer.view()
        await viewer.seen(15)
        before, begun = (await streams(http))["telequilt"], asyncio.get_running_loop().time()
        receiver = viewer.connection.getReceivers()[0]
        ssrc = receiver.getSynchronizationSources()[0].source
        for _ in range(10):
            await receiver._send_rtcp_pli(ssrc)
            await asyncio.sleep(0.05)
        seen = len(viewer.pictures)
        await viewer.seen(seen + 10)
        after = (await streams(http))["telequilt"]
        most = 1 + (asyncio.get_running_loop().time() - begun) / encode.KEYFRAME_APART
        assert 1 <= after["keyframes"] - before["keyframes"] <= most
        await caller.hang_up()


async def test_refusals_say_what_to_do(live, http):
    video = await offered("video", direction="recvonly")
    away = await http.post("/whep/room", content=video, headers=SDP)
    problem(away, 404, "not-live")
    assert int(away.headers["retry-after"]) > 0
    async with Client(http) as caller:
        await caller.publish()
        for query, status, kind in (
            ("as=view&view=24", 400, "unknown-screen"),
            ("as=view&view=-1", 400, "unknown-screen"),
            ("as=view&view=left", 400, "bad-parameter"),
            ("as=hologram", 400, "bad-parameter"),
            ("as=quilt&view=3", 400, "bad-parameter"),
        ):
            problem(await http.post(f"/whep/room?{query}", content=video, headers=SDP), status, kind)
        for sdp, kind in (
            (await offered("audio", direction="recvonly"), "video-missing"),
            (await offered("video", direction="sendonly"), "wrong-direction"),
            (video.replace("H264", "H265"), "codec-unsupported"),
        ):
            problem(await http.post("/whep/room", content=sdp, headers=SDP), 422, kind)
        assert (await http.get("/api/channels/room")).json()["viewers"] == 0
        await caller.hang_up()


async def test_a_full_channel_says_when_to_come_again(http):
    async with Client(http) as caller, Client(http) as a, Client(http) as b, Client(http) as c, Client(http) as d:
        await caller.publish()
        for viewer in (a, b, c):
            assert (await viewer.view()).status_code == 201
            await viewer.seen(1)
        answer = await d.view()
        assert problem(answer, 503, "too-many-viewers")["limit"] == 3
        assert int(answer.headers["retry-after"]) > 0
        await a.hang_up()
        async with Client(http) as e:
            assert (await e.view()).status_code == 201
        await caller.hang_up()


async def test_viewers_are_let_go_when_the_caller_leaves(http):
    async with Client(http) as caller, Client(http) as viewer:
        await caller.publish()
        await viewer.view()
        await viewer.seen(3)
        await caller.hang_up()
        await until(lambda: viewer.connection.connectionState == "closed")
        problem(await viewer.hang_up(), 404, "no-such-session")


async def test_a_viewer_who_vanishes_is_gone_within_five_seconds(live, http):
    async with Client(http) as caller, Client(http) as viewer:
        await caller.publish()
        await viewer.view()
        await viewer.seen(3)
        await viewer.vanish()
        await until(lambda: not live.lobby().channels["room"].viewers, seconds=GONE_SECONDS)
        await caller.hang_up()


class Tone(MediaStreamTrack):
    """A microphone: 440 Hz, 48 kHz mono."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._at, self._begun = 0, asyncio.get_running_loop().time()

    async def recv(self) -> av.AudioFrame:
        await asyncio.sleep(max(0.0, self._begun + self._at / 48_000 - asyncio.get_running_loop().time()))
        t = (self._at + np.arange(960)) / 48_000
        wave = (np.sin(2 * math.pi * 440 * t) * 12_000).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, self._at, Fraction(1, 48_000)
        self._at += 960
        return frame


async def test_the_sound_goes_through_to_viewers_who_want_it(http):
    async with Client(http) as caller, Client(http) as viewer, Client(http) as deaf:
        assert (await caller.publish("room", Clip(), Tone())).status_code == 201
        assert (await viewer.view(audio=True)).status_code == 201
        assert (await deaf.view()).status_code == 201
        await until(lambda: len(viewer.sounds) >= 60)
        await deaf.seen(3)
        heard = np.concatenate([frame.to_ndarray()[0, ::2] for frame in viewer.sounds[20:60]]).astype(float)
        spectrum = np.abs(np.fft.rfft(heard * np.hanning(len(heard))))
        assert np.argmax(spectrum) * 48_000 / len(heard) == pytest.approx(440, abs=3)
        await caller.hang_up()


async def test_a_viewer_may_ask_for_sound_where_there_is_none(http):
    async with Client(http) as caller, Client(http) as viewer:
        await caller.publish()
        assert (await viewer.view(audio=True)).status_code == 201
        assert "a=inactive" in viewer.answer
        await viewer.seen(3)
        await caller.hang_up()


async def test_a_viewer_who_never_connected_leaves_no_listener(live, http):
    """aiortc stops a sender's track only where the connection once stood; a blocked viewer tries again for hours."""
    async with Client(http) as caller, Client(http) as viewer:
        assert (await caller.publish("room", Clip(), Tone())).status_code == 201
        await until(lambda: "room" in live.lobby().channels and live.lobby().channels["room"].voice is not None)
        viewer.connection.addTransceiver("video", "recvonly")
        viewer.connection.addTransceiver("audio", "recvonly")
        await viewer.connection.setLocalDescription()
        answer = await http.post("/whep/room", content=viewer.connection.localDescription.sdp, headers=SDP)
        assert answer.status_code == 201
        voice = live.lobby().channels["room"].voice
        assert voice.listeners == 1
        assert (await http.delete(located(answer))).status_code == 200
        assert voice.listeners == 0
        await caller.hang_up()
