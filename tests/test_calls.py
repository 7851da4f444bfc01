"""Calls between people, over a real server, real sockets and real peers."""

from __future__ import annotations

import asyncio
import io
import json
from contextlib import asynccontextmanager
from typing import Any

import av
import httpx
import pytest
from aiortc import RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack

from server.calls import rules
from server.calls.rules import AWAY_SECONDS
from tests.conversing import Call, Socket
from tests.live import GONE_SECONDS, SDP, Client, Clip, quiet, serving, settings_for, until


@pytest.fixture
async def served(tmp_path):
    async with (
        serving(settings_for(tmp_path, min_free_bytes=0)) as (address, app),
        httpx.AsyncClient(base_url=address, timeout=60) as http,
    ):
        yield http, app


@pytest.fixture
async def http(served):
    return served[0]


@pytest.fixture
async def call(http):
    made = await Call.make(http, title="Tea")
    yield made
    await made.close()


@asynccontextmanager
async def peer(http: httpx.AsyncClient, token: str):
    """A WebRTC client that sends `token`."""
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        httpx.AsyncClient(base_url=http.base_url, headers=headers, timeout=60) as asking,
        Client(asking) as client,
    ):
        yield client


@asynccontextmanager
async def publishing(http: httpx.AsyncClient, seat: dict[str, Any], **query: str):
    async with peer(http, seat["token"]) as client:
        answer = await client.publish(seat["whip"].removeprefix("whip/"), **query)
        assert answer.status_code == 201, answer.text
        yield client


@asynccontextmanager
async def watching(http: httpx.AsyncClient, token: str, channel: str, **query: str):
    async with peer(http, token) as client:
        client.connection.addTransceiver("video", "recvonly")
        answer = await client.exchange(f"/whep/{channel}", query)
        assert answer.status_code == 201, answer.text
        yield client


def kind(answer: httpx.Response) -> str:
    return answer.json()["type"].rsplit(":", 1)[1]


async def test_two_see_each_other_and_nobody_sees_themselves(http, call):
    ana, hers = await call.join("Ana", "host")
    bo, his = await call.join("Bo")
    assert (await his.hears("welcome"))["seats"][0]["name"] == "Ana"
    assert (await hers.hears("seat", seat=bo["seat"], name="Bo"))["role"] == "member"
    async with publishing(http, ana), publishing(http, bo):
        await hers.hears("seat", seat=bo["seat"], publishing="live")
        await his.hears("seat", seat=ana["seat"], publishing="live")
        for seat, other in ((ana, bo), (bo, ana)):
            async with watching(http, seat["token"], f"{call.name}.{other['seat']}") as sees:
                await sees.seen(3)
            async with watching(http, seat["token"], f"{call.name}.{seat['seat']}", self="1") as sees:
                await sees.seen(1)
            async with peer(http, seat["token"]) as sees:
                assert kind(await sees.view(f"{call.name}.{seat['seat']}")) == "own-seat"
        snapshot = (await call.ask("GET")).json()
        assert [row["publishing"] for row in snapshot["seats"]] == ["live", "live"]
        assert (await call.ask("DELETE")).status_code == 204
        assert await hers.closed() == await his.closed() == 4410
        assert hers.told[-1]["why"] == "the host has ended it"
    assert kind(await call.ask("GET")) == "call-ended"
    assert (await http.get(f"/api/channels/{call.name}.1")).status_code == 404


async def test_who_loses_its_socket_or_its_media_alone_stays_and_who_loses_both_is_away(http, call):
    _, hers = await call.join("Ana", "host")
    bo, his = await call.join("Bo")
    async with publishing(http, bo) as sends:
        await hers.hears("seat", seat=bo["seat"], publishing="live")
        await his.connection.close()
        await asyncio.sleep(1)
        assert (await call.ask("GET")).json()["seats"][1]["state"] == "present"
        his = await call.enter(bo, resume=True)
        await sends.vanish()
        await hers.hears("seat", seat=bo["seat"], publishing="none", seconds=GONE_SECONDS)
        assert (await call.ask("GET")).json()["seats"][1]["state"] == "present"
        await his.connection.close()
        await hers.hears("seat", seat=bo["seat"], state="away")


async def test_a_seat_is_taken_up_again_with_its_number_and_its_session_and_its_viewers(served, call):
    http, app = served
    ana, hers = await call.join("Ana", "host")
    bo, his = await call.join("Bo")
    name = f"{call.name}.{bo['seat']}"
    async with publishing(http, bo) as before:
        await hers.hears("seat", seat=bo["seat"], publishing="live")
        session = app.state.lobby.live(name).session
        async with watching(http, ana["token"], name) as sees:
            await sees.seen(3)
            await before.vanish()
            await his.connection.close()
            await hers.hears("seat", seat=bo["seat"], state="away", seconds=GONE_SECONDS)
            assert app.state.lobby.live(name).caller is None
            again = await call.enter(bo, resume=True)
            assert (await again.hears("welcome"))["seat"] == bo["seat"]
            fresh = await again.hears("token")
            shown = len(sees.pictures)
            async with publishing(http, bo | {"token": fresh["token"]}) as after:
                await until(lambda: after.connection.connectionState == "connected")
                await until(lambda: len(sees.pictures) > shown + 5)
                assert app.state.lobby.live(name).session is session


async def test_who_comes_back_slowly_is_connecting_and_then_live(served, call):
    http, _ = served
    ana, hers = await call.join("Ana", "host")
    async with publishing(http, ana) as first:
        await hers.hears("seat", seat=ana["seat"], publishing="live")
        assert (await first.hang_up()).status_code == 200
    await hers.hears("seat", seat=ana["seat"], publishing="none")
    hers.told.clear()
    async with peer(http, ana["token"]) as again:
        again.connection.addTransceiver(Clip(), "sendonly")
        await again.connection.setLocalDescription()
        offer = again.connection.localDescription.sdp
        answer = await again.http.post(f"/whip/{call.name}.1", content=offer, headers=SDP)
        await hers.hears("seat", seat=ana["seat"], publishing="connecting")
        await again.connection.setRemoteDescription(RTCSessionDescription(answer.text, "answer"))
        await hers.hears("seat", seat=ana["seat"], publishing="live")
    assert [one["publishing"] for one in hers.told if "publishing" in one][:2] == ["connecting", "live"]


async def test_a_new_session_takes_the_place_of_the_old_one_once_it_stands(served, call):
    """A network change: the page publishes anew while its old connection still counts as connected."""
    http, app = served
    ana, hers = await call.join("Ana", "host")
    name = f"{call.name}.{ana['seat']}"
    async with publishing(http, ana) as before:
        await hers.hears("seat", seat=ana["seat"], publishing="live")
        channel = app.state.lobby.live(name)
        first = channel.caller
        async with publishing(http, ana) as after:
            await until(lambda: channel.caller is not None and channel.caller is not first)
            await until(lambda: before.connection.connectionState in ("closed", "failed"), GONE_SECONDS)
            assert channel.caller.connected
            assert after.connection.connectionState == "connected"
            assert channel.successor is None
            assert not [one for one in hers.told if one.get("publishing") == "none"]
        assert (await call.ask("PATCH", "/seats/1", ana["token"], muted=True)).json()["muted"]
        await until(lambda: channel.caller is None)


async def test_the_same_seat_in_a_second_window_replaces_the_first_and_they_never_fight(http, call):
    ana, first = await call.join("Ana", "host")
    second = await call.enter(ana)
    assert await first.closed() == 4409
    assert first.told[-1] | {"n": 0} == {"t": "bye", "why": "replaced", "again": "never", "n": 0}
    third = await Socket.open(str(http.base_url).rstrip("/"), call.name)
    await third.say(t="hello", token=ana["token"], resume=True)  # as a page that tries again by itself would
    assert await third.closed() == 4409
    assert second.connection.close_code is None
    async with peer(http, ana["token"]) as client:
        assert kind(await client.publish(f"{call.name}.1")) == "seat-replaced"
    fourth = await call.enter(ana)  # a person wants it back
    assert await second.closed() == 4409
    await fourth.hears("token")
    assert [row["seat"] for row in (await call.ask("GET")).json()["seats"]] == [1]


async def test_the_call_goes_on_without_its_host_who_passes_on_what_it_leads(call):
    ana, hers = await call.join("Ana", "host")
    bo, his = await call.join("Bo", "host")
    _, theirs = await call.join("Cy")
    assert (await his.hears("welcome"))["seats"][1]["role"] == "member"
    await hers.say(t="leave")
    assert await hers.closed() == 1000
    assert (await theirs.hears("gone", seat=ana["seat"]))["why"] == "left"
    await theirs.hears("seat", seat=bo["seat"], role="host")
    assert (await call.ask("GET", token=bo["token"])).json()["state"] == "open"


async def test_who_waits_is_let_in_or_not_by_the_host(http):
    call = await Call.make(http, approve=True)
    _, hers = await call.join("Ana", "host")
    bo, cy = await call.sit("Bo"), await call.sit("Cy")
    assert bo["state"] == cy["state"] == "waiting"
    his = await call.enter(bo)
    assert [row["name"] for row in (await his.hears("welcome"))["seats"]] == ["Bo"]
    async with peer(http, bo["token"]) as client:
        assert kind(await client.publish(f"{call.name}.{bo['seat']}")) == "not-permitted"
    await hers.hears("seat", seat=bo["seat"], state="waiting")
    await hers.say(t="approve", seat=bo["seat"], yes=True)
    await his.hears("seat", seat=bo["seat"], state="present")
    assert (await call.ask("PATCH", f"/seats/{cy['seat']}", approved=False)).json()["state"] == "gone"
    await call.close()


async def test_a_host_mutes_and_only_oneself_unmutes(served, call):
    http, app = served
    ana, hers = await call.join("Ana", "host")
    bo, his = await call.join("Bo")
    async with peer(http, bo["token"]) as client:
        assert (await client.publish(f"{call.name}.{bo['seat']}", Clip(), AudioStreamTrack())).status_code == 201
        await hers.hears("seat", seat=bo["seat"], publishing="live")
        voice = app.state.lobby.live(f"{call.name}.{bo['seat']}").voice
        await until(lambda: voice.muted is False)
        assert (await call.ask("PATCH", f"/seats/{bo['seat']}", ana["token"], muted=True)).status_code == 200
        assert (await his.hears("seat", seat=bo["seat"], muted=True))["by"] == "host"
        assert voice.muted is True
        refused = await call.ask("PATCH", f"/seats/{bo['seat']}", ana["token"], muted=False)
        assert (refused.status_code, kind(refused)) == (403, "not-permitted")
        await his.say(t="set", muted=False)
        await hers.hears("seat", seat=bo["seat"], muted=False, by="self")
        assert voice.muted is False


async def test_nobody_is_recorded_without_everybodys_yes(served, call):
    http, app = served
    _, hers = await call.join("Ana", "host")
    bo, his = await call.join("Bo")
    host = {"Authorization": f"Bearer {call.host}"}
    recording = f"/api/channels/{call.name}/recording"
    async with publishing(http, bo):
        await hers.hears("seat", seat=bo["seat"], publishing="live")
        for path in (f"/api/channels/{call.name}.{bo['seat']}/recording", f"/api/channels/{call.name}.2/still"):
            assert (await http.post(path, headers=host)).status_code in (403, 409), "not past the others"
        refused = await http.post(recording, headers=host)
        assert (refused.status_code, kind(refused), refused.json()["missing"]) == (409, "not-everybody-agrees", [1, 2])
        await his.hears("asking", what="recording")
        await his.say(t="agree", recording=True)
        app.state.lobby.keep([f"{call.name}.{bo['seat']}"], (8,))
        await hers.say(t="agree", recording=True)
        assert (await his.hears("recording"))["since"] is not None
        assert kind(await http.post(recording, headers=host)) == "already-recording"
        newcomer = await call.ask("POST", "/seats", (await call.invite())["token"], name="Cy", consent=True)
        assert (newcomer.status_code, kind(newcomer)) == (409, "not-everybody-agrees")
        assert (await call.sit("Cy", recording=True))["seat"] == 3
        kept = app.state.lobby.live(f"{call.name}.{bo['seat']}")
        await until(lambda: kept.recording is not None and kept.recording.report().seconds > 1)
        await his.say(t="agree", recording=False)
        assert (await hers.hears("recording", since=None))["why"] == "Bo does not agree"
        await until(lambda: not kept.recording.under_way)
    told = (await http.get(recording, headers=host)).json()
    assert told["recording"] is None
    (name,) = told["recorded"]
    (facts,) = [one for one in (await http.get("/api/recordings")).json() if one["name"] == name]
    assert facts["ended"] == "Bo does not agree"
    assert facts["credentials"] == "signed"
    assert facts["provenance"]["agreed"] == {"members": 3, "portraits": {"live-picture": 1}}
    assert not {"Ana", "Bo", "Cy"} & set(json.dumps(facts["provenance"]).split('"')), "no names"
    film = await http.get(f"/api/recordings/{name}", headers=host)
    assert "_qs4x2a" in name, "in as many views as this machine makes of each for the others"
    with av.open(io.BytesIO(film.content), "r") as container:
        pictures = list(container.decode(video=0))
        assert {(one.width, one.height) for one in pictures} == {(1024, 512)}
        assert len(pictures) == facts["frames"] > 3


async def test_a_page_that_nobody_sees_is_sent_no_pictures_and_gets_them_back(served, call, monkeypatch):
    monkeypatch.setattr(rules, "HIDDEN_SECONDS", 0.5)
    http, app = served
    ana, hers = await call.join("Ana", "host")
    bo, _ = await call.join("Bo")
    async with publishing(http, bo):
        await hers.hears("seat", seat=bo["seat"], publishing="live")
        channel = app.state.lobby.live(f"{call.name}.{bo['seat']}")
        async with watching(http, ana["token"], channel.name) as sees:
            await sees.seen(3)
            await hers.say(t="watching", visible=False)
            await until(lambda: not channel.presenter.reports())
            before = await quiet(sees.pictures)
            times = [picture.time for picture in sees.pictures]
            await hers.say(t="watching", visible=True)
            pictures = await sees.seen(before + 5)
            later = [picture.time for picture in pictures[len(times) :]]
            assert later[-1] > times[-1] + 0.5, "time has gone on meanwhile"
            assert later == sorted(later)


async def test_a_session_that_was_replaced_says_nothing_to_the_page_that_took_over(served, call):
    http, _ = served
    ana, hers = await call.join("Ana", "host")
    bo, _ = await call.join("Bo")
    async with publishing(http, bo):
        await hers.hears("seat", seat=bo["seat"], publishing="live")
        channel = f"{call.name}.{bo['seat']}"
        async with watching(http, ana["token"], channel) as before:
            await before.seen(2)
            again = await call.enter(ana)
            async with watching(http, ana["token"], channel) as after:
                await after.seen(2)
                await again.hears("form", of=bo["seat"])
                await before.hang_up()
                seen = len(after.pictures)
                await after.seen(seen + 3)
    told = [one["views"] for one in again.told if one["t"] == "form" and one.get("of") == bo["seat"]]
    assert 0 not in told, "pictures go on"


async def test_a_seat_is_held_for_who_is_away_and_then_given_up(served, call, monkeypatch):
    http, app = served
    _, hers = await call.join("Ana", "host")
    bo, his = await call.join("Bo")
    conference = app.state.calls.conferences[call.name]
    assert set(app.state.lobby._gate.held) == {f"{call.name}.1", f"{call.name}.2"}
    await his.connection.close()
    await hers.hears("seat", seat=bo["seat"], state="away")
    conference.rules.seats[bo["seat"]].deadline -= AWAY_SECONDS
    assert (await hers.hears("gone", seat=bo["seat"]))["why"] == "lost"
    assert set(app.state.lobby._gate.held) == {f"{call.name}.1"}
    late = await Socket.open(str(http.base_url).rstrip("/"), call.name)
    await late.say(t="hello", token=bo["token"], resume=True)
    assert await late.closed() == 4410


async def test_monitors_count_calls_and_seats_and_learn_no_names(served, call):
    http, _ = served
    ana, hers = await call.join("Ana", "host")
    await call.sit("Bo")
    await hers.connection.close()
    async with publishing(http, ana):
        back = await call.enter(ana, resume=True)
        for age in (87, 87, 120.5):
            await back.say(t="stats", look_age_ms=age)
        await back.say(t="ping")
        await back.hears("pong")
        told = (await http.get("/metrics")).text
        assert 'telequilt_look_age_ms{quantile="p50"} 87.0' in told
        assert 'telequilt_calls{state="open"} 1.0' in told
        assert 'telequilt_seats{state="joining"} 1.0' in told
        assert "telequilt_event_loop_lag_ms" in told
        assert call.name not in told
        assert "Ana" not in told
        assert (await http.get("/api/channels")).json()[0]["name"] == f"{call.name}.1"
        assert [one["call"] for one in (await http.get("/api/calls")).json()] == [call.name]


async def test_who_is_about_to_join_sees_itself_and_nobody_else_does(served, call):
    http, app = served
    ana, hers = await call.join("Ana", "host")
    invitation = (await call.invite())["token"]
    made = await call.ask("POST", "/rehearsals", invitation, avatar="sample")
    assert made.status_code == 201, made.text
    told, channel = made.json(), f"{call.name}.{made.json()['number']}"
    async with peer(http, told["token"]) as caller, peer(http, told["token"]) as mirror:
        assert (await caller.publish(channel)).status_code == 201
        mirror.connection.addTransceiver("video", "recvonly")
        assert (await mirror.exchange(f"/whep/{channel}", {"self": "1"})).status_code == 201
        await mirror.seen(3)
        async with peer(http, ana["token"]) as curious, peer(http, told["token"]) as nosy:
            assert (await curious.view(channel)).status_code == 404
            assert (await nosy.view(f"{call.name}.1")).status_code == 404
        assert [one["seat"] for one in (await call.ask("GET")).json()["seats"]] == [1]
        assert (await call.ask("DELETE", f"/rehearsals/{told['number']}", invitation)).status_code == 403
        assert (await call.ask("DELETE", f"/rehearsals/{told['number']}", told["token"])).status_code == 204
        await until(lambda: channel not in app.state.lobby.channels)
    assert channel not in app.state.lobby._gate.held
    assert (await call.ask("POST", "/rehearsals", ana["token"], avatar="sample")).status_code == 403
    assert [one for one in hers.told if one["t"] == "seat" and one["seat"] > 1] == []


async def test_what_is_given_up_for_lack_of_capacity_is_told_and_what_comes_back_too(served, call):
    http, app = served
    ana, hers = await call.join("Ana", "host")
    async with publishing(http, ana):
        await hers.hears("seat", seat=ana["seat"], publishing="live")
        channel = app.state.lobby.live(f"{call.name}.1")
        channel.slowed = "this server is busy"
        lost = await hers.hears("problem", type="urn:telequilt:problem:capacity-lost")
        assert "less detail: this server is busy" in lost["detail"]
        channel.slowed = ""
        await hers.hears("problem", type="urn:telequilt:problem:capacity-back")
