"""Publishing by WHIP (RFC 9725): what is taken, what is refused and in which words, and how a call ends."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import pytest_asyncio
from aiortc import RTCConfiguration, RTCPeerConnection
from fastapi import FastAPI

from server.channels.services import Services
from server.webrtc import peers
from tests.live import GONE_SECONDS, SDP, Client, located, serving, settings_for, until

pytestmark = pytest.mark.asyncio(loop_scope="module")
FRAGMENT = "application/trickle-ice-sdpfrag"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SimpleNamespace]:
    """One server for all tests of this file; each leaves it without callers."""
    settings = settings_for(tmp_path_factory.mktemp("data"), max_channels=2, connect_seconds=4)
    async with serving(settings) as (base, app), httpx.AsyncClient(base_url=base, timeout=30) as http:
        yield SimpleNamespace(http=http, app=app)


@pytest.fixture
def http(live) -> httpx.AsyncClient:
    return live.http


async def offered(*kinds: str, direction: str = "sendonly") -> str:
    """An offer by aiortc with these sections, never to be connected."""
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    for kind in kinds:
        connection.addTransceiver(kind, direction)
    await connection.setLocalDescription()
    sdp = connection.localDescription.sdp
    await connection.close()
    return sdp


def problem(answer: httpx.Response, status: int, kind: str) -> dict:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["type"] == f"urn:telequilt:problem:{kind}", body
    assert body["status"] == status
    assert len(body["detail"]) > 10
    return body


def live_channels(app: FastAPI) -> list[str]:
    return list(app.state.lobby.channels)


async def test_a_caller_comes_in_drives_the_avatar_and_leaves(live, http):
    async with Client(http) as caller:
        answer = await caller.publish("one")
        assert answer.status_code == 201
        assert answer.headers["content-type"] == "application/sdp"
        assert re.fullmatch(r"/whip/one/[A-Za-z0-9_-]{20,}", located(answer))
        assert re.fullmatch(r'"[^"]+"', answer.headers["etag"])
        assert answer.headers["accept-patch"] == FRAGMENT
        assert "link" not in answer.headers  # no ICE server unless the operator lists one
        channel = live.app.state.lobby.channels["one"]
        await until(lambda: channel.session.report().frames > 5)
        report = (await http.get("/api/channels/one")).json()
        assert report["frames_received"] >= report["session"]["frames"] > 5
        assert (await caller.hang_up()).status_code == 200
        assert live_channels(live.app) == []
        problem(await caller.hang_up(), 404, "no-such-session")


async def test_a_channel_has_one_caller_and_is_free_again_after(live, http):
    async with Client(http) as first, Client(http) as second, Client(http) as third:
        assert (await first.publish("one")).status_code == 201
        problem(await second.publish("one"), 409, "channel-taken")
        await first.hang_up()
        assert (await third.publish("one")).status_code == 201
        await third.hang_up()


async def test_a_full_server_says_when_to_come_again(live, http):
    async with Client(http) as a, Client(http) as b, Client(http) as c:
        assert (await a.publish("a")).status_code == 201
        assert (await b.publish("b")).status_code == 201
        answer = await c.publish("c")
        assert problem(answer, 503, "too-many-callers")["limit"] == 2
        assert int(answer.headers["retry-after"]) > 0
        assert (await http.get("/readyz")).json()["callers"] == "2 callers is this server's limit"
        await a.hang_up()
        await b.hang_up()
    assert (await http.get("/readyz")).json()["callers"] == "welcome"


async def test_offers_that_cannot_be_served_are_refused_whole(live, http):
    video = await offered("video")
    h265 = re.sub(r"a=rtpmap:(\d+) (VP8|H264)/90000", r"a=rtpmap:\1 H265/90000", video)
    cases = [
        ("hello", 400, "malformed-sdp"),
        ("", 400, "malformed-sdp"),
        ("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n", 400, "malformed-sdp"),
        (video.replace("a=ice-pwd", "a=x-pwd"), 400, "malformed-sdp"),
        (video.replace("a=fingerprint", "a=x-print"), 400, "malformed-sdp"),
        (video[: len(video) // 2].rsplit("\r\n", 1)[0] + "\r\na=rtpmap:nonsense\r\n", 400, "malformed-sdp"),
        (await offered("audio"), 422, "video-missing"),
        (await offered("video", "video"), 422, "too-many-tracks"),
        (await offered("video", "audio", "audio"), 422, "too-many-tracks"),
        (await offered("video", direction="recvonly"), 422, "wrong-direction"),
        (h265, 422, "codec-unsupported"),
        (video.replace("a=rtcp-mux\r\n", ""), 422, "rtcp-mux-required"),
        (re.sub("VP8|H264", "VP9", video), 422, "codec-unsupported"),
    ]
    for sdp, status, kind in cases:
        problem(await http.post("/whip/one", content=sdp, headers=SDP), status, kind)
        assert live_channels(live.app) == [], kind


async def test_requests_that_are_wrong_in_themselves_are_refused(live, http):
    video = await offered("video")
    plain = await http.post("/whip/one", content=video, headers={"Content-Type": "text/plain"})
    assert problem(plain, 415, "wrong-content-type")["accepted"] == ["application/sdp"]
    limit = 128 * 1024
    long = await http.post("/whip/one", content="v=0\r\n" + "a" * limit, headers=SDP)
    assert problem(long, 413, "body-too-large")["limit"] == limit

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"a" * 4096

    problem(await http.post("/whip/one", content=chunks(), headers=SDP), 413, "body-too-large")
    problem(await http.post("/whip/one", content=b"\xff\xfe\xfd", headers=SDP), 400, "malformed-sdp")
    problem(await http.post("/whip/no%20spaces", content=video, headers=SDP), 400, "bad-parameter")
    problem(await http.post("/whip/one?avatar=nobody", content=video, headers=SDP), 404, "unknown-avatar")
    problem(await http.get("/whip/one"), 405, "method-not-allowed")
    assert live_channels(live.app) == []


async def test_candidates_trickle_in_by_the_rules(live, http):
    async with Client(http) as caller:
        await caller.publish("one")
        candidate = "a=candidate:1 1 udp 2130706431 192.0.2.7 40000 typ host"
        ufrag = caller.ufrag
        good = f"a=ice-ufrag:{ufrag}\r\na=ice-pwd:x\r\nm=video 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n{candidate}\r\na=end-of-candidates\r\n"
        other = good.replace(ufrag, "abcd")

        async def patch(body: str, content_type: str = FRAGMENT, **headers: str) -> httpx.Response:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return await http.patch(caller.session, content=body, headers={"Content-Type": content_type, **named})

        assert (await patch(good, If_Match=caller.etag)).status_code == 204
        problem(await patch(good), 428, "if-match-required")
        problem(await patch(good, If_Match='"stale"'), 412, "etag-mismatch")
        problem(await patch(good, "application/json", If_Match=caller.etag), 415, "wrong-content-type")
        problem(await patch(other, If_Match="*"), 422, "ice-restart-unsupported")
        problem(await patch(other, If_Match=caller.etag), 422, "ice-restart-unsupported")
        problem(await patch("nonsense", If_Match=caller.etag), 400, "malformed-fragment")
        problem(await patch("a=candidate:1 1", If_Match=caller.etag), 400, "malformed-fragment")
        await caller.hang_up()


async def test_a_session_answers_to_its_own_address_only(live, http):
    async with Client(http) as caller, Client(http) as viewer:
        await caller.publish("one")
        await viewer.view("one")
        for stranger in (
            caller.session + "x",
            caller.session.replace("/one/", "/two/"),
            caller.session.replace("whip", "whep"),
            viewer.session.replace("whep", "whip"),
        ):
            problem(await http.delete(stranger), 404, "no-such-session")
            patched = await http.patch(stranger, content="a=end-of-candidates", headers={"Content-Type": FRAGMENT})
            problem(patched, 404, "no-such-session")
        assert live_channels(live.app) == ["one"]
        await caller.hang_up()


async def test_options_say_what_may_be_posted(http):
    answer = await http.options("/whip/one")
    assert answer.status_code == 204
    assert answer.headers["accept-post"] == "application/sdp"


async def test_a_caller_who_vanishes_is_gone_within_five_seconds(live, http):
    """By design within 3.2 + 1.2 x 0.7 + 0.5 s for an answer; the rest is for a busy machine. With aioice's own it were 30 s."""
    assert peers.SILENT_SECONDS + 1.2 * peers.CHECK_SECONDS + 0.5 <= 5.0
    async with Client(http) as caller, Client(http) as viewer:
        await caller.publish("one")
        await viewer.view("one")
        await viewer.seen(3)
        await caller.vanish()
        await until(lambda: live_channels(live.app) == [], seconds=GONE_SECONDS)
        problem(await http.get("/api/channels/one"), 404, "not-live")
        await until(lambda: viewer.connection.connectionState == "closed")


async def test_an_offer_that_never_connects_does_not_hold_its_channel(live, http):
    assert (await http.post("/whip/one", content=await offered("video"), headers=SDP)).status_code == 201
    assert live_channels(live.app) == ["one"]
    await until(lambda: live_channels(live.app) == [])


async def test_a_client_that_gives_up_while_coming_in_leaves_nothing_behind(live, http, monkeypatch):
    plain, coming, go_on = Services.session, threading.Event(), threading.Event()

    def held(self: Services, *given: Any) -> Any:
        coming.set()
        assert go_on.wait(20)
        return plain(self, *given)

    monkeypatch.setattr(Services, "session", held)
    request = asyncio.create_task(http.post("/whip/one", content=await offered("video"), headers=SDP))
    await until(coming.is_set)
    channel = live.app.state.lobby.channels["one"]
    assert request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    await until(lambda: live_channels(live.app) == [])
    assert channel.reason == "whoever asked for it has gone", "and not that its offer never connected"
    go_on.set()
    await channel.ended()
