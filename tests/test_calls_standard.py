"""Calls by standard clients that know no socket, and by commands: FFmpeg, a plain WHEP player, `show`, `puppet` and `call`."""

from __future__ import annotations

import asyncio
import re
import sys
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from server.__main__ import app as command_line
from server.commands import attendance
from server.commands.attendance import Link, LinkUnreadable
from server.commands.puppet import Tone, join
from server.commands.watching import attend
from server.webrtc.client import Refused
from tests import swaying_face
from tests.conversing import Call
from tests.live import Client, running, serving, settings_for, until
from tests.test_watching import Wall

PATIENCE = 40.0


TOKEN = "s3cret-of-the-house"


@pytest.fixture(params=[False], ids=["loopback"])
async def served(request, tmp_path):
    """On this machine alone or, if a test asks for it, shared with others, who need tokens."""
    more = {"host": "0.0.0.0", "token": TOKEN} if request.param else {}
    headers = {"Authorization": f"Bearer {TOKEN}"} if request.param else {}
    async with (
        serving(settings_for(tmp_path, **more)) as (address, app),
        httpx.AsyncClient(base_url=address, headers=headers, timeout=60) as http,
    ):
        yield http, app


@pytest.fixture
async def call(served):
    made = await Call.make(served[0], title="Tea")
    yield made
    await made.close()


def link_of(call: Call, invitation: dict[str, Any]) -> Link:
    return Link.read(f"{str(call.http.base_url).rstrip('/')}/{invitation['link']}")


async def seat_row(call: Call, number: int) -> dict[str, Any]:
    rows = (await call.ask("GET")).json()["seats"]
    return next((row for row in rows if row["seat"] == number), {})


async def test_ffmpeg_sits_in_a_call_by_its_media_alone_and_any_player_watches(served, call, tmp_path):
    http, _ = served
    clip = tmp_path / "clip.mp4"
    swaying_face.write_mp4(clip)
    camera = await call.sit("OBS", token=call.host, plain=True)
    player = await call.sit("Player", token=(await call.invite("viewer"))["token"])
    words = [f"{http.base_url.join(camera['whip'])}", camera["token"], str(clip), str(tmp_path)]
    async with running(sys.executable, "-m", "tests.foreign_muxer", *words, stdin=asyncio.subprocess.PIPE) as ffmpeg:
        async with asyncio.timeout(PATIENCE):
            while (await seat_row(call, camera["seat"])).get("publishing") != "live":
                await asyncio.sleep(0.1)
        assert (await seat_row(call, camera["seat"]))["state"] == "present"
        headers = {"Authorization": f"Bearer {player['token']}"}
        async with (
            httpx.AsyncClient(base_url=http.base_url, headers=headers, timeout=60) as asking,
            Client(asking) as watcher,
        ):
            assert (await watcher.view(call.name, audio=True)).status_code == 201
            await watcher.seen(5, PATIENCE)
            await until(lambda: len(watcher.sounds) > 5, PATIENCE)
            assert (await seat_row(call, player["seat"]))["state"] == "present"
        assert ffmpeg.stdin is not None
        ffmpeg.stdin.close()
        await asyncio.wait_for(ffmpeg.wait(), PATIENCE)
    async with asyncio.timeout(PATIENCE):
        while (await seat_row(call, camera["seat"]))["state"] != "away":
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("served", [False, True], ids=["loopback", "shared"], indirect=True)
async def test_show_watches_a_call_and_everybody_sees_that_it_does(served, call):
    http, _ = served
    ana, hers = await call.join("Ana", "host")
    wall, link = Wall(), link_of(call, await call.invite("viewer"))
    showing = asyncio.create_task(attend(link, None, "The wall", wall, wall.told.append))
    watcher = await hers.hears("seat", name="The wall")
    assert watcher["role"] == "viewer"
    await until(lambda: wall.dark == "waiting for the call")
    headers = {"Authorization": f"Bearer {ana['token']}"}
    async with (
        httpx.AsyncClient(base_url=http.base_url, headers=headers, timeout=60) as asking,
        Client(asking) as client,
    ):
        assert (await client.publish(f"{call.name}.1")).status_code == 201
        await until(lambda: len(wall.shown) > 5, PATIENCE)
        assert "Showing the call: 6x4 views in 1536x1024." in wall.told
        await call.ask("DELETE", f"/seats/{watcher['seat']}")
        await asyncio.wait_for(showing, PATIENCE)
    assert wall.told[-1] == "The call is over: removed."
    assert (await hers.hears("gone", seat=watcher["seat"]))["why"] == "removed"


async def test_a_puppet_sits_moves_and_speaks_and_comes_back_when_its_line_is_lost(served, call, monkeypatch):
    http, app = served
    monkeypatch.setattr(attendance, "PAUSE", 0.1)
    _, hers = await call.join("Ana", "host")
    told: list[str] = []
    link = link_of(call, await call.invite())
    playing = asyncio.create_task(join(link, "Judy", "sample", None, told.append))
    seat = (await hers.hears("seat", name="Judy", seconds=PATIENCE))["seat"]
    await hers.hears("seat", seat=seat, publishing="live", seconds=PATIENCE)
    conference = app.state.calls.conferences[call.name]
    first = conference.rules.seats[seat].socket
    await conference._talks[first]._socket.close(1012)  # as a server that restarts its sockets
    await until(lambda: conference.rules.seats[seat].socket not in (0, first))
    assert conference.rules.seats[seat].being == "present"
    heard = app.state.lobby.live(f"{call.name}.{seat}").voice
    assert heard is not None
    headers = {"Authorization": f"Bearer {(await call.sit('Eve', 'viewer'))['token']}"}
    async with (
        httpx.AsyncClient(base_url=http.base_url, headers=headers, timeout=60) as asking,
        Client(asking) as viewer,
    ):
        assert (await viewer.view(f"{call.name}.{seat}", audio=True)).status_code == 201
        await until(lambda: any(abs(frame.to_ndarray()).max() > 1000 for frame in viewer.sounds), PATIENCE)
    playing.cancel()
    await asyncio.gather(playing, return_exceptions=True)
    await hers.hears("gone", seat=seat)
    assert told[0].startswith("Judy sits on seat")


async def test_who_is_not_let_in_is_told_so(served):
    call = await Call.make(served[0], approve=True)
    _, hers = await call.join("Ana", "host")
    told: list[str] = []
    playing = asyncio.create_task(join(link_of(call, await call.invite()), "Judy", "sample", None, told.append))
    seat = (await hers.hears("seat", name="Judy", seconds=PATIENCE))["seat"]
    await until(lambda: "Waiting for the host to let it in." in told)
    await hers.say(t="approve", seat=seat, yes=False)
    with pytest.raises(Refused, match="not let in: denied"):
        await playing
    await call.close()


def test_each_seats_voice_is_a_tone_of_its_own():
    assert len({round(Tone(seat, 0.0)._hertz) for seat in range(1, 7)}) == 6


@pytest.mark.parametrize(
    "link", ["", "call/x#t=y", "http://a/call/x", "http://a/call/#t=y", "http://a/view/x#t=y", "ftp://a/call/x#t=y"]
)
def test_what_is_no_link_is_told_how_one_looks(link):
    with pytest.raises(LinkUnreadable, match="call make"):
        Link.read(link)


def test_a_link_may_lead_below_a_path():
    link = Link.read("https://host.example/tele/call/Ab-_9#t=a.b.c\n")
    assert (link.server, link.call, link.token) == ("https://host.example/tele", "Ab-_9", "a.b.c")
    assert link.api == "https://host.example/tele/api/calls/Ab-_9"


async def test_a_call_is_made_invited_to_listed_and_ended_from_the_command_line(served):
    http, app = served
    server = str(http.base_url).rstrip("/")

    async def says(*words: str) -> str:
        result = await asyncio.to_thread(CliRunner().invoke, command_line, ["call", *words])
        assert result.exit_code == 0, result.output
        return result.output

    made = await says("make", "--title", "Tea", "--seats", "2", "--invite", "2", "--server", server)
    host, *guests = re.findall(r"http\S+", made)
    assert len(guests) == 2
    more = (await says("invite", host, "--role", "viewer", "--name", "Wall")).strip()
    assert Link.read(more).call == Link.read(host).call
    plain = await says("seat", host, "--name", "OBS")
    assert f"{server}/whip/{Link.read(host).call}.1" in plain
    listed = await says("list", "--server", server)
    assert "Tea" in listed
    assert "OBS" in listed
    assert "joining" in await says("list", guests[0])
    assert (await says("end", host)).strip().endswith("The call has ended.")
    assert app.state.calls.conferences == {}
    refused = await asyncio.to_thread(CliRunner().invoke, command_line, ["call", "end", guests[0]])
    assert refused.exit_code == 2
    assert "this call has ended" in refused.output
