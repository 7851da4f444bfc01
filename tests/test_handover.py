"""Handing a channel over: to a real SFU (Debian's Janus), to another of our servers, and where it is refused."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from itertools import pairwise
from typing import Any

import httpx
import pytest
from aiortc.mediastreams import AudioStreamTrack

from server.problems import Problem
from server.webrtc.destinations import Destinations
from server.webrtc.outlet import Sparing
from tests.conversing import Call
from tests.janus import janus, whip
from tests.live import Client, Clip, free_port, serving, settings_for, until
from tests.relay import pion
from tests.test_whip import problem

HERE = "127.0.0.0/8"
API = "/api/channels/room/handover"


async def handed(http: httpx.AsyncClient) -> dict[str, Any] | None:
    return (await http.get("/api/channels/room")).json()["handover"]


def pictures_sent(app: Any) -> int:
    return sum(stream.pictures for stream in app.state.lobby.channels["room"].presenter.reports())


async def test_janus_passes_on_what_is_handed_over_to_it(tmp_path):
    async with AsyncExitStack() as stack:
        room = await stack.enter_async_context(janus(tmp_path))
        url, asked = await stack.enter_async_context(whip(room.publish, room.unpublish, "its-token"))
        base, app = await stack.enter_async_context(serving(settings_for(tmp_path / "data", handover_hosts=HERE)))
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=base, timeout=60))
        caller = await stack.enter_async_context(Client(http))
        await caller.publish()
        begun = await http.post(API, json={"url": url, "token": "its-token"})
        assert begun.status_code == 201, begun.text
        assert [request.url.path for request in asked] == ["/whip/front", "/whip/behind"] * 2  # 307, 503, 307, 201
        while not (told := await handed(http) or {})["connected"]:
            await asyncio.sleep(0.1)
        async with room.watching() as viewer:
            seen, sent = len(await viewer.seen(5)), pictures_sent(app)

            def comes_through() -> bool:
                """Of the pictures that are sent; those still under way become few beside them."""
                more = pictures_sent(app) - sent
                return more >= 25 and len(viewer.pictures) - seen >= 0.8 * more

            await until(comes_through)
        assert told["host"] == "127.0.0.1"
        assert "its-token" not in (await http.get("/api/channels")).text
        problem(await http.post(API, json={"url": url}), 409, "already-handed-over")
        assert (await http.delete(API)).status_code == 204
        await until(lambda: asked[-1].method == "DELETE")
        assert await handed(http) is None
        problem(await http.delete(API), 404, "not-handed-over")


async def test_another_of_our_servers_takes_a_channel_with_its_sound_and_hears_of_its_end(tmp_path):
    async with AsyncExitStack() as stack:
        settings = settings_for(tmp_path / "one", handover_hosts=HERE)
        base, _ = await stack.enter_async_context(serving(settings))
        there, taking = await stack.enter_async_context(serving(settings_for(tmp_path / "two")))
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=base, timeout=60))
        caller = await stack.enter_async_context(Client(http))
        await caller.publish("room", Clip(), AudioStreamTrack())
        assert (await http.post(API, json={"url": f"{there}/whip/taken"})).status_code == 201
        taken = taking.state.lobby.channels["taken"]
        await until(lambda: taken.ingest.received >= 10, 60)
        assert taken.voice is not None
        await caller.hang_up()
        await until(lambda: not taking.state.lobby.channels)


async def test_a_call_goes_out_once_everybody_agrees_and_comes_back_when_one_does_not(tmp_path):
    async with AsyncExitStack() as stack:
        settings = settings_for(tmp_path / "one", handover_hosts=HERE)
        base, app = await stack.enter_async_context(serving(settings))
        there, taking = await stack.enter_async_context(serving(settings_for(tmp_path / "two")))
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=base, timeout=60))
        call = await Call.make(http)
        stack.push_async_callback(call.close)
        (ana, hers), (bo, his) = await call.join("Ana", "host"), await call.join("Bo")
        for one in (ana, bo):
            headers = {"Authorization": f"Bearer {one['token']}"}
            asking = await stack.enter_async_context(httpx.AsyncClient(base_url=base, headers=headers, timeout=60))
            caller = await stack.enter_async_context(Client(asking))
            await caller.publish(f"{call.name}.{one['seat']}", Clip(), AudioStreamTrack())
        await hers.hears("seat", seat=bo["seat"], publishing="live")
        path, wanted = f"/api/channels/{call.name}/handover", {"url": f"{there}/whip/out"}
        hosts, bos = ({"Authorization": f"Bearer {token}"} for token in (call.host, bo["token"]))
        problem(await http.post(path, json=wanted, headers=bos), 403, "not-permitted")
        problem(
            await http.post(path, json={"url": "https://evil.example/"}, headers=hosts), 403, "handover-not-allowed"
        )
        refused = problem(await http.post(path, json=wanted, headers=hosts), 409, "not-everybody-agrees")
        assert (refused["what"], refused["missing"]) == ("handover", [1, 2])
        assert (await his.hears("asking", what="handover"))["to"] == "127.0.0.1"
        assert "out" not in taking.state.lobby.channels
        for socket in (his, hers):
            await socket.say(t="agree", handover=True)
        assert (await his.hears("handover"))["to"] == "127.0.0.1"
        await until(lambda: "out" in taking.state.lobby.channels and taking.state.lobby.channels["out"].ingest, 60)
        taken = taking.state.lobby.channels["out"]
        await until(lambda: taken.ingest.received >= 10, 60)
        assert taken.voice is not None
        assert (await hers.hears("form", 20.0, **{"as": "table"}))["views"] == 8
        assert (await call.ask("GET")).json()["handover"]["to"] == "127.0.0.1"
        newcomer = await call.ask("POST", "/seats", (await call.invite())["token"], name="Cy", consent=True)
        problem(newcomer, 409, "not-everybody-agrees")
        assert (await call.sit("Cy", handover=True))["seat"] == 3
        assert (await http.delete(path, headers=bos)).status_code == 204
        assert (await hers.hears("handover", since=None))["why"] == "Bo does not agree"
        await until(lambda: not taking.state.lobby.channels, 60)
        problem(await http.delete(path, headers=hosts), 404, "not-handed-over")
        assert sorted(app.state.lobby.channels) == [f"{call.name}.1", f"{call.name}.2"]


async def test_a_call_whose_other_server_is_silent_or_goes_is_told_so(tmp_path):
    async with AsyncExitStack() as stack:
        settings = settings_for(tmp_path / "one", handover_hosts=HERE, connect_seconds=5)
        base, _ = await stack.enter_async_context(serving(settings))
        there, taking = await stack.enter_async_context(serving(settings_for(tmp_path / "two")))
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=base, timeout=60))
        call = await Call.make(http)
        stack.push_async_callback(call.close)
        ana, hers = await call.join("Ana", "host")
        headers = {"Authorization": f"Bearer {ana['token']}"}
        asking = await stack.enter_async_context(httpx.AsyncClient(base_url=base, headers=headers, timeout=60))
        path = f"/api/channels/{call.name}/handover"
        silent = {"url": f"http://127.0.0.1:{free_port()}/whip"}
        problem(await asking.post(path, json=silent), 502, "handover-failed")
        assert "does not answer" in (await hers.hears("handover", since=None))["why"]
        hers.told.clear()
        caller = await stack.enter_async_context(Client(asking))
        await caller.publish(f"{call.name}.1", Clip(), AudioStreamTrack())
        begun = await asking.post(path, json={"url": f"{there}/whip/out"})
        assert (begun.status_code, begun.json()["host"]) == (201, "127.0.0.1")
        await until(lambda: taking.state.lobby.channels["out"].ingest.received >= 5, 60)
        taking.state.lobby.drop("out", "it is over")
        assert (await hers.hears("handover", 30.0, since=None))["why"] == "127.0.0.1 takes it no more"


async def test_what_the_other_server_says_is_told(tmp_path):
    async with AsyncExitStack() as stack:
        settings = settings_for(tmp_path, handover_hosts=f"{HERE},sfu.example", connect_seconds=5)
        base, app = await stack.enter_async_context(serving(settings))
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=base, timeout=60))
        problem(await http.post(API, json={"url": "https://sfu.example/whip"}), 404, "not-live")
        caller = await stack.enter_async_context(Client(http))
        await caller.publish()
        url, _ = await stack.enter_async_context(whip(_never, asyncio.Event().wait, "right"))
        refused = problem(await http.post(API, json={"url": url, "token": "wrong"}), 502, "handover-failed")
        assert refused["answered"] == 401
        silent = f"http://127.0.0.1:{free_port()}/whip"
        problem(await http.post(API, json={"url": silent}), 502, "handover-failed")
        problem(await http.post(API, json={"url": "https://elsewhere.example/whip"}), 403, "handover-not-allowed")
        assert await handed(http) is None
        assert not app.state.lobby.channels["room"].viewers


async def _never(sdp: str) -> str:
    raise AssertionError("it was asked to publish")


PUBLIC, PRIVATE = "93.184.216.34", "10.1.2.3"


@pytest.mark.parametrize(
    ("listed", "url", "found", "answer"),
    [
        (["sfu.example"], "https://sfu.example/whip", [PUBLIC], PUBLIC),
        (["SFU.example."], "https://sfu.example./whip", [PRIVATE, PUBLIC], PUBLIC),
        (["sfu.example"], "https://sfu.example/whip", [PRIVATE], 403),
        (["sfu.example", "10.0.0.0/8"], "https://sfu.example/whip", [PRIVATE], PRIVATE),
        (["sfu.example", "10.0.0.0/8"], "http://sfu.example/whip", [PRIVATE], PRIVATE),
        (["sfu.example"], "http://sfu.example/whip", [PUBLIC], 403),
        (["sfu.example"], "https://sfu.example/whip", ["::ffff:127.0.0.1"], 403),
        (["sfu.example"], "https://sfu.example/whip", ["169.254.169.254"], 403),
        (["sfu.example"], "https://sfu.example/whip", [], 403),
        (["sfu.example"], "https://evil.example/whip", [PUBLIC], 403),
        (["10.0.0.0/8"], f"https://{PUBLIC}/whip", [PUBLIC], 403),
        (["::1"], "http://[::1]:8000/whip", ["::1"], "::1"),
        ([], "https://sfu.example/whip", [PUBLIC], 403),
        (["sfu.example"], "https://me@sfu.example/whip", [PUBLIC], 400),
        (["sfu.example"], "file:///etc/passwd", [], 400),
        (["sfu.example"], "https://sfu.example:99999/", [], 400),
    ],
)
def test_only_what_the_operator_lists_is_asked_and_no_private_address_unless_listed(listed, url, found, answer):
    assert asked_address(Destinations(listed), url, found) == answer


def asked_address(destinations: Destinations, url: str, found: list[str]) -> str | int:
    """Which address is asked, or the status of the refusal."""
    try:
        destinations.host(url)
        return destinations.address(url, found)
    except Problem as refused:
        return refused.status


async def test_keyframes_are_asked_for_once_in_a_while_and_none_is_forgotten():
    asked: list[float] = []
    loop = asyncio.get_running_loop()
    sparing = Sparing(lambda: asked.append(loop.time()), 0.2)
    begun, last = loop.time(), 0.0
    for _ in range(20):
        last = loop.time()
        sparing()
        await asyncio.sleep(0.02)
    await until(lambda: asked[-1] >= last)  # the last request is made up for
    assert 2 <= len(asked) <= (asked[-1] - begun) / 0.2 + 1
    assert all(after - before >= 0.199 for before, after in pairwise(asked))


@pytest.mark.soak
async def test_pion_passes_on_what_is_handed_over_to_it(tmp_path):
    async with AsyncExitStack() as stack:
        relay = await stack.enter_async_context(pion(tmp_path))
        base, app = await stack.enter_async_context(serving(settings_for(tmp_path / "data", handover_hosts=HERE)))
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=base, timeout=60))
        caller = await stack.enter_async_context(Client(http))
        await caller.publish("room", Clip(), AudioStreamTrack())
        assert (await http.post(API, json={"url": f"{relay}/whip/room"})).status_code == 201
        there = await stack.enter_async_context(httpx.AsyncClient(base_url=relay, timeout=60))
        viewer = await stack.enter_async_context(Client(there))
        await until(lambda: pictures_sent(app) >= 10)
        assert (await viewer.view(audio=True)).status_code == 201
        await viewer.seen(5, 60)
        presenter = app.state.lobby.channels["room"].presenter
        before, first = len(viewer.pictures), presenter.reports()[0]
        await asyncio.sleep(8)
        last = presenter.reports()[0]
        assert len(viewer.pictures) - before >= 0.9 * (last.pictures - first.pictures)
        assert last.keyframes - first.keyframes <= 5  # of the 16 that it asked for
        assert len(viewer.sounds) > 200
