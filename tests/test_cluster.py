"""A cluster: any node's door answers for all of them. Everything is real but Ray, whose part is test_cluster_ray.py's."""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from pipeline.avatar_files import BROUGHT_FILES, ID
from server.cluster import forward, members, membership
from server.cluster.avatars import Exchange
from server.cluster.forward import CLIENT, PASS, Forward
from server.cluster.members import Report
from server.cluster.membership import Membership
from server.cluster.registry import pass_of
from server.cluster.station import Station
from server.problems import Problem
from server.provenance.consents import FORGOTTEN, GIVEN, Consents
from tests.clusters import TOKEN, Flaky, begun, ready, stations, welcomed
from tests.conversing import Call
from tests.exported import head
from tests.live import PLENTY, SDP, Client, until
from tests.test_brought import services_with_both


@pytest.fixture(scope="module")
def directory() -> Iterator[Flaky]:
    """Of nodes that share two cores with other tests: whoever is to be missed is said to be."""
    with pytest.MonkeyPatch.context() as patient:
        for module in (members, membership):
            patient.setattr(module, "DEAD_SECONDS", PLENTY)
        patient.setattr(forward, "CONNECT_SECONDS", PLENTY)
        yield Flaky()


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory, directory: Flaky) -> Iterator[list[Station]]:
    with stations(tmp_path_factory.mktemp("cluster"), 3, directory, services_with_both) as made:
        yield made


@asynccontextmanager
async def at(station: Station, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{station.port}", timeout=30, headers=headers) as http:
        yield http


@asynccontextmanager
async def live(http: httpx.AsyncClient, channel: str, **query: str) -> AsyncIterator[Client]:
    """A caller who is connected, until the end."""
    async with Client(http) as caller:
        answer = await caller.publish(channel, **query)
        assert answer.status_code == 201, answer.text
        await until(lambda: caller.connection.connectionState == "connected")
        yield caller
        await caller.hang_up()


async def nodes(http: httpx.AsyncClient) -> dict[str, list[str]]:
    """Node -> what is live there."""
    return {one["node"]: list(one["names"]) for one in (await http.get("/api/cluster")).json()["nodes"]}


async def reported(http: httpx.AsyncClient, is_so: Callable[[dict[str, list[str]]], bool]) -> dict[str, list[str]]:
    """What is live at each node, once that is so as far as this door has heard."""
    deadline = time.monotonic() + PLENTY
    while not is_so(held := await nodes(http)):
        assert time.monotonic() < deadline, held
        await asyncio.sleep(0.1)
    return held


def live_names(held: dict[str, list[str]]) -> list[str]:
    return sorted(name for names in held.values() for name in names)


async def settled(http: httpx.AsyncClient, *names: str) -> None:
    """Nobody but `names` is live any more, as far as this door has heard."""
    await reported(http, lambda held: live_names(held) == sorted(names))


def placed(directory: Flaky, name: str, station: Station, others: list[Station]) -> None:
    """Whoever comes as `name` next is `station`'s, whatever the loads are."""
    chosen = directory.members.place(name, station.name, time.monotonic(), [one.name for one in others])
    assert chosen is not None
    assert chosen.node == station.name


async def until_gone(http: httpx.AsyncClient, station: Station) -> None:
    await reported(http, lambda held: station.name not in held)


async def enrolled(http: httpx.AsyncClient) -> str:
    photo = io.BytesIO()
    Image.fromarray(np.full((64, 64, 3), 99, np.uint8)).save(photo, "PNG")
    answer = await http.post(
        "/api/avatars", files={"portrait": photo.getvalue()}, data={"consent": "me", "name": "Ana"}
    )
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def test_a_caller_at_one_door_is_watched_by_another_and_a_name_is_one_callers(three):
    async with at(three[0]) as here, at(three[1]) as there, live(here, "across") as caller, Client(there) as viewer:
        answer = await viewer.view("across")
        assert answer.status_code == 201, answer.text
        await viewer.seen(3)
        assert (await there.get("/api/channels/across")).json()["name"] == "across"
        for which in (here, there):
            assert [one["name"] for one in (await which.get("/api/channels")).json()] == ["across"]
        async with Client(there) as second:
            assert (await second.publish("across")).status_code == 409
        wrong = {"If-Match": '"x"', "Content-Type": "application/trickle-ice-sdpfrag"}
        fragment = f"a=ice-ufrag:{viewer.ufrag}\r\na=ice-pwd:{'p' * 22}\r\nm=video 9 RTP/AVP 0\r\na=mid:0\r\n"
        for session in (viewer.session, caller.session):
            assert (await there.patch(session, headers=wrong, content=fragment)).status_code == 412
        assert (await viewer.hang_up()).status_code == 200
        await settled(here, "across")
    async with at(three[2]) as http:
        await settled(http)


async def test_callers_are_spread_by_load_and_two_doors_that_race_for_one_name_ask_one_node(three):
    async with at(three[0]) as a, at(three[1]) as b:
        first, second = Client(a), Client(b)
        async with first, second:
            answers = await asyncio.gather(first.publish("raced"), second.publish("raced"))
            assert sorted(one.status_code for one in answers) == [201, 409]
            await (first if answers[0].status_code == 201 else second).hang_up()
        await settled(a)
        async with live(a, "one"), live(a, "two"), live(a, "three"):
            held = await reported(b, lambda held: len(live_names(held)) == 3)
            assert sorted(len(names) for names in held.values()) == [1, 1, 1], held
        await settled(a)


async def test_an_avatar_is_fetched_by_the_node_that_needs_it_and_forgotten_by_all(three, tmp_path):
    async with at(three[0]) as a, at(three[1]) as b, at(three[2]) as c:
        avatar = await enrolled(a)
        answer = await b.get(f"/api/avatars/{avatar}")
        assert answer.status_code == 200, answer.text
        assert answer.json()["name"] == "Ana"
        assert (await c.get("/api/avatars")).json() == (await a.get("/api/avatars")).json()
        async with live(c, "hers", avatar=avatar):
            await settled(b, "hers")
            assert (await b.delete(f"/api/avatars/{avatar}")).status_code == 409
        await settled(b)
        assert (await b.delete(f"/api/avatars/{avatar}")).status_code == 204
        for http in (a, b, c):
            assert (await http.get(f"/api/avatars/{avatar}")).status_code == 404
            async with Client(http) as caller:
                assert (await caller.publish("again", avatar=avatar)).status_code == 404
        assert (await c.delete(f"/api/avatars/{avatar}")).status_code == 404
        noted = [[entry.event for entry in Consents(one.data_dir / "provenance").entries()] for one in three]
        assert noted == [[GIVEN, FORGOTTEN], [FORGOTTEN], [FORGOTTEN]], "each that had it says so"
        kept = [folder for one in three for folder in (one.data_dir / "avatars").iterdir()]
        assert kept == []


async def test_a_head_of_gaussians_comes_whole_to_the_node_that_shows_it_and_is_forgotten_by_all(three, directory):
    """Brought by one door, shown by another machine's engine to who came by the first."""
    async with at(three[0]) as a, at(three[1]) as b:
        brought = await a.post("/api/avatars", files={"portrait": head().zipped()}, data={"consent": "me"})
        assert brought.status_code == 201, brought.text
        avatar = brought.json()["id"]
        placed(directory, "gaussians", three[2], three[:2])
        async with live(a, "gaussians", avatar=avatar), Client(a) as viewer:
            assert (await viewer.view("gaussians")).status_code == 201
            await viewer.seen(3)
            assert (await b.get("/api/channels/gaussians")).json()["engine"] == "splats"
            here, there = (one.data_dir / "avatars" / avatar for one in (three[0], three[2]))
            for name in BROUGHT_FILES:
                assert (here / name).read_bytes() == (there / name).read_bytes(), name
        await settled(b)
        assert (await b.delete(f"/api/avatars/{avatar}")).status_code == 204
        assert [folder for one in three for folder in (one.data_dir / "avatars").iterdir()] == []


async def test_consent_is_withdrawn_on_every_node_and_what_shows_it_ends(three, tmp_path):
    async with at(three[0]) as a, at(three[1]) as b, at(three[2]) as c:
        avatar = await enrolled(a)
        assert (await b.get(f"/api/avatars/{avatar}")).status_code == 200, "now it has it too"
        async with live(c, "hers", avatar=avatar):
            done = await b.post(f"/api/avatars/{avatar}/withdrawal")
            assert done.status_code == 200, done.text
            told = done.json()
            assert (told["ended"], told["looked"]["found"], len(told["nodes"])) == (["hers"], [], 3)
            assert [one["had"] for one in told["nodes"].values()] == [True] * 3
        for http in (a, b, c):
            assert (await http.get(f"/api/avatars/{avatar}")).status_code == 404
        assert (await c.post(f"/api/avatars/{avatar}/withdrawal")).status_code == 404
        kept = [folder for one in three for folder in (one.data_dir / "avatars").iterdir()]
        assert kept == []


async def test_where_a_machine_cannot_be_asked_nobody_says_that_there_is_no_such_avatar(three, monkeypatch):
    ask = Forward.ask

    async def deaf(self: Forward, door: str, method: str, path: str, **more: Any) -> httpx.Response:
        if "/avatars/" in path and method in ("DELETE", "POST"):
            raise Problem(503, "node-lost", "it does not answer")
        return await ask(self, door, method, path, **more)

    async with at(three[0]) as a, at(three[2]) as c:
        for forget in (
            lambda avatar: a.delete(f"/api/avatars/{avatar}"),
            lambda avatar: a.post(f"/api/avatars/{avatar}/withdrawal"),
        ):
            avatar = await enrolled(c)
            with monkeypatch.context() as patched:
                patched.setattr(Forward, "ask", deaf)
                answer = await forget(avatar)
            assert answer.status_code == 503, answer.text
            assert three[2].name in answer.json()["detail"]
            await until(lambda: not any((three[2].data_dir / "avatars").iterdir()))  # as soon as it is heard of
            assert (await forget(avatar)).status_code == 404


async def test_with_a_token_avatars_are_brought_and_forgotten_as_without_by_members_of_calls_too(tmp_path):
    with stations(tmp_path, 2, token=TOKEN) as (one, two):
        async with at(one, Authorization=f"Bearer {TOKEN}") as a, at(two, Authorization=f"Bearer {TOKEN}") as b:
            made = (await a.post("/api/calls", json={})).json()
            for by in (one, two):  # the door of the machine that has the call, and another one
                avatar = await enrolled(a)
                while (brought := await b.get(f"/api/avatars/{avatar}")).status_code == 503:
                    await asyncio.sleep(0.1)  # until what is forgotten is known there
                assert brought.status_code == 200, "by a machine that shows the token"
                async with at(by) as nobody:
                    assert (await nobody.delete(f"/api/avatars/{avatar}")).status_code == 401
                async with at(by, Authorization=f"Bearer {made['host']['token']}") as member:
                    assert (await member.delete(f"/api/avatars/{avatar}")).status_code == 204
                for http in (a, b):
                    assert (await http.get(f"/api/avatars/{avatar}")).status_code == 404
        assert [folder for one in (one, two) for folder in (one.data_dir / "avatars").iterdir()] == []


async def test_a_node_that_was_away_learns_what_was_forgotten_before_it_serves_it(three, directory, tmp_path):
    fourth = begun(tmp_path / "fourth", directory)
    ready(fourth)
    async with at(three[0]) as a:
        async with at(fourth) as d:
            avatar = await enrolled(d)
            assert (await a.get(f"/api/avatars/{avatar}")).status_code == 200
        fourth.stop()
        assert fourth.ended.wait(20)
        assert (await a.delete(f"/api/avatars/{avatar}")).status_code == 204
        directory.lose_all()  # and whoever held the list is started anew: the nodes bring it back
        fourth = begun(tmp_path / "fourth", directory)
        ready(fourth)
        async with at(fourth) as d:
            while (answer := await d.get(f"/api/avatars/{avatar}")).status_code == 503:
                await asyncio.sleep(0.1)
            assert answer.status_code == 404
            await until(lambda: not any((tmp_path / "fourth" / "avatars").iterdir()))
        fourth.stop()
        assert fourth.ended.wait(20)
        await until_gone(a, fourth)


async def test_people_of_one_call_meet_whichever_door_they_come_by(three):
    async with at(three[0]) as a, at(three[1]) as b:
        call = await Call.make(a, title="Across")
        try:
            _, socket = await call.join("Ana")
            told = await call.invite()
            theirs = Call(b, {"call": call.name, "host": {"token": call.host}})
            other = await theirs.sit("Ben", token=told["token"])
            heard = await theirs.enter(other)
            assert {one["name"] for one in (await heard.hears("welcome"))["seats"]} >= {"Ana", "Ben"}
            await socket.hears("seat", name="Ben")
            assert (await b.get(f"/api/calls/{call.name}")).json()["title"] == "Across"
            await heard.close()
            assert (await theirs.ask("DELETE")).status_code == 204
        finally:
            await call.close()


async def test_who_is_live_stays_so_without_the_directory_and_nobody_new_comes_in(three, directory):
    async with at(three[0]) as a, at(three[1]) as b, live(a, "steady") as caller, Client(b) as viewer:
        assert (await viewer.view("steady")).status_code == 201
        await viewer.seen(2)
        await settled(b, "steady")
        directory.away = True
        try:
            async with Client(b) as late:
                refused = await late.publish("late")
                assert refused.status_code == 503
                assert refused.json()["type"].endswith("directory-away")
            async with Client(b) as second:
                assert (await second.view("steady")).status_code == 201
            seen = len(viewer.pictures)
            await viewer.seen(seen + 10)
            assert caller.connection.connectionState == "connected"
        finally:
            directory.away = False
            directory.lose_all()
        await reported(b, lambda held: len(held) == 3 and live_names(held) == ["steady"])


async def test_a_node_is_emptied_and_ends(directory, three, tmp_path):
    fourth = begun(tmp_path / "leaving", directory)
    welcomed(fourth)
    async with at(fourth) as d, at(three[0]) as a:
        placed(directory, "last", fourth, three)
        async with live(d, "last"):
            await settled(a, "last")
            assert (await a.post(f"/api/cluster/nodes/{fourth.name}/drain")).status_code == 204
            assert (await a.post("/api/cluster/nodes/nobody/drain")).status_code == 404
            while not (await d.get("/readyz")).json().get("type", "").endswith("draining"):
                await asyncio.sleep(0.1)
            async with live(d, "elsewhere"):
                held = await reported(a, lambda held: live_names(held) == ["elsewhere", "last"])
                assert held[fourth.name] == ["last"]
        assert await asyncio.to_thread(fourth.ended.wait, 20)
        await until_gone(a, fourth)


async def test_a_machine_that_dies_takes_only_what_it_held_and_its_names_are_free_again(directory, three, tmp_path):
    fourth = begun(tmp_path / "dying", directory)
    welcomed(fourth)
    async with at(three[0]) as a, at(fourth) as d:
        async with live(a, "survivor"), Client(d) as caller:
            placed(directory, "victim", fourth, three)
            assert (await caller.publish("victim")).status_code == 201
            await settled(a, "survivor", "victim")
            assert (await a.get("/api/channels/victim")).status_code == 200
            directory.miss(fourth.name)
            while (answer := await a.get("/api/channels/victim")).status_code == 200:
                await asyncio.sleep(0.1)
            assert answer.status_code in (404, 503)
            assert "Retry-After" in answer.headers
            await until_gone(a, fourth)
            async with live(a, "victim"):
                assert (await a.get("/api/channels/survivor")).status_code == 200
            await caller.hang_up()
        await settled(a)
    fourth.stop()
    assert fourth.ended.wait(20)


async def test_a_call_whose_machine_dies_goes_on_elsewhere_with_its_seats_and_faces(directory, three, tmp_path):
    fourth = begun(tmp_path / "falling", directory)
    welcomed(fourth)
    asked_by_a_door = {PASS: pass_of((tmp_path / "falling" / "call.key").read_bytes())}
    async with at(three[0]) as a, at(fourth, **asked_by_a_door) as d:
        avatar = await enrolled(a)
        call = await Call.make(d, title="Falls")
        seat, _ = await call.join("Ana", avatar=avatar)
        assert (await reported(a, lambda held: live_names(held) == [call.name]))[fourth.name] == [call.name]
        await until(lambda: directory.remembers(fourth.name, call.name, "Ana"))
        directory.miss(fourth.name)
        await until_gone(a, fourth)
        again = Call(a, {"call": call.name, "host": {"token": call.host}})
        socket = await again.enter(seat, resume=True)
        told = await socket.hears("welcome")
        assert told["title"] == "Falls"
        assert [(one["name"], one["seat"]) for one in told["seats"]] == [("Ana", seat["seat"])]
        token = (await socket.hears("token"))["token"]
        async with at(three[1], Authorization=f"Bearer {token}") as hers, Client(hers) as ana:
            assert (await ana.publish(f"{call.name}.{seat['seat']}")).status_code == 201
            await socket.hears("seat", seat=seat["seat"], publishing="live")
        assert (await again.invite())["role"] == "member"
        assert (await again.ask("DELETE")).status_code == 204
        for one in (call, again):
            await one.close()
        await settled(a)
        gone = await a.delete(f"/api/avatars/{avatar}")
        assert gone.status_code == 204, gone.text
    fourth.stop()
    assert fourth.ended.wait(20)


async def test_names_that_are_no_avatars_reach_no_other_door_and_are_not_remembered(three):
    """They would be part of a path there."""
    async with at(three[0]) as http:
        for name in ("%0a", "..%2f", "%2e%2e", "x%3fy", "%00", "a%23", "%c3%a9", "%ff", "a" * 65, "%20", "x;y"):
            for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/withdrawal")):
                answer = await http.request(method, f"/api/avatars/{name}{path}")
                assert 300 <= answer.status_code < 500, (method, name, answer.text)
            asked = await http.post(f"/whip/odd?avatar={name}", content="v=0", headers=SDP)
            assert 400 <= asked.status_code < 500, (name, asked.text)
    kept = [one.data_dir / "forgotten.json" for one in three]
    assert all(ID.fullmatch(name) for file in kept if file.exists() for name in json.loads(file.read_text()))


@pytest.mark.parametrize("spoilt", [b"", b"[1, ", b"7", b"\xff"])
def test_a_spoilt_list_of_what_was_forgotten_is_set_aside(tmp_path, spoilt):
    (tmp_path / "forgotten.json").write_bytes(spoilt)
    app: Any = None
    assert Exchange(app, "here", Forward(""), tmp_path).forgotten == {}
    assert (tmp_path / "forgotten.damaged").read_bytes() == spoilt


async def test_a_disk_that_takes_no_list_keeps_nobody_from_being_forgotten(tmp_path):
    in_the_way = tmp_path / "forgotten.part"
    in_the_way.mkdir()
    warming: Any = SimpleNamespace(state=SimpleNamespace(services=None, lobby=None))
    exchange = Exchange(warming, "here", Forward(""), tmp_path)
    await exchange.learn(("a",))
    assert "a" in exchange.forgotten
    in_the_way.rmdir()
    await asyncio.gather(exchange.learn(()), *(exchange.learn((f"avatar{number}",)) for number in range(40)))
    assert set(json.loads((tmp_path / "forgotten.json").read_bytes())) == set(exchange.forgotten), (
        "all of them, at once"
    )


async def test_what_a_machine_cannot_do_as_told_ends_no_report_of_its(monkeypatch):
    monkeypatch.setattr("server.cluster.membership.EVERY", 0.01)
    directory, learned = Flaky(), 0

    async def learn(forgotten: tuple[str, ...]) -> None:
        nonlocal learned
        learned += 1
        if learned == 2:
            raise RuntimeError("a recording goes on")

    membership = Membership(directory, lambda: Report("here", "http://here"), tuple, learn)
    await membership.begin()
    await until(lambda: learned > 4)
    await membership.end()


async def test_nobody_but_a_door_may_say_what_doors_say(three):
    async with at(three[0], **{PASS: "guessed", CLIENT: "192.0.2.7"}) as http:
        avatar = await enrolled(http)
        for method in ("GET", "DELETE"):
            assert (await http.request(method, f"/api/cluster/avatars/{avatar}")).status_code == 404
        assert (await http.post("/api/cluster/calls/mine", json={"people": []})).status_code == 404
        assert (await http.get(f"/api/avatars/{avatar}")).status_code == 200
        assert (await http.delete(f"/api/avatars/{avatar}")).status_code == 204


async def test_a_foreign_page_reaches_no_node_by_any_door(three):
    async with at(three[0], Origin="https://evil.example") as http:
        for method, path in (
            ("POST", "/whip/x"),
            ("POST", "/api/calls"),
            ("GET", "/api/recordings"),
            ("DELETE", "/api/avatars/" + "x" * 22),
        ):
            assert (await http.request(method, path)).status_code == 403, path
    async with at(three[0]) as http:
        await settled(http)
