"""How calls end: whatever raises or hangs on its way out, and whatever else happens meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import pytest_asyncio

from engines import catalogue
from pipeline.avatar_files import Consent
from pipeline.session import Session
from server.channels import channel as channels
from server.channels.services import Services
from server.recordings.archive import Archive
from server.webrtc.ingest import Ingest
from server.webrtc.peers import Peer
from tests.filming import RECORDING, http_of, live_server, recorded_for
from tests.live import PLENTY, Client, Clip, serving, settings_for, until
from tests.test_whep import Tone
from tests.test_whip import problem

pytestmark = pytest.mark.asyncio(loop_scope="module")
live = pytest_asyncio.fixture(scope="module", loop_scope="module")(live_server)
http = pytest_asyncio.fixture(loop_scope="module")(http_of)

PATIENCE = 0.5


@pytest.fixture(autouse=True)
def little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "PATIENCE", PATIENCE)


def raising(close: Any) -> Any:
    async def closing(self: Any) -> None:
        await close(self)
        raise OSError("it cannot be closed")

    return closing


def hanging(close: Any) -> Any:
    async def closing(self: Any) -> None:
        await close(self)
        await asyncio.Event().wait()

    return closing


@pytest.mark.parametrize("fault", [raising, hanging])
@pytest.mark.parametrize("kind", [Ingest, Peer])
async def test_each_thing_is_closed_whatever_becomes_of_the_others(live, http, monkeypatch, kind: type, fault: Any):
    closed: list[Any] = []
    for one in (Ingest, Peer):
        monkeypatch.setattr(one, "close", noted(one.close, closed))
    monkeypatch.setattr(kind, "close", fault(kind.close))
    async with Client(http) as caller, Client(http) as first, Client(http) as second:
        await caller.publish("room", Clip(), Tone())
        for viewer in (first, second):
            await viewer.view(audio=True)
        await first.seen(2)
        name = (await http.post(RECORDING)).json()["name"]
        await recorded_for(http, 0.1)
        channel = live.app.state.lobby.channels["room"]
        ended = [channel.ingest, channel.caller, *(viewer.peer for viewer in channel.viewers.values())]
        assert len(ended) == 4
        await caller.hang_up()
    assert set(ended) <= set(closed)
    assert channel.session._flow._closed, "the session was closed too"
    assert live.app.state.archive.get(name).ended == "the caller left", "and the recording is whole"


def noted(close: Any, closed: list[Any]) -> Any:
    async def closing(self: Any) -> None:
        closed.append(self)
        await close(self)

    return closing


async def test_a_session_that_cannot_be_closed_spoils_nothing_else(live, http, monkeypatch):
    def fails(session: Session) -> None:
        raise RuntimeError("the device is gone")

    monkeypatch.setattr(Session, "close", fails)
    async with Client(http) as caller, Client(http) as viewer:
        await caller.publish()
        await viewer.view()
        name = (await http.post(RECORDING)).json()["name"]
        await recorded_for(http, 0.1)
        assert (await caller.hang_up()).status_code == 200
        await until(lambda: viewer.connection.connectionState == "closed")
    assert live.app.state.archive.get(name).ended == "the caller left"


async def test_a_session_that_hangs_is_left_behind_and_whoever_waits_goes_on(live, http, monkeypatch):
    go_on, closing = threading.Event(), threading.Event()
    close = Session.close

    def hangs(session: Session) -> None:
        closing.set()
        assert go_on.wait(30)
        close(session)

    monkeypatch.setattr(Session, "close", hangs)
    async with Client(http) as caller, Client(http) as again:
        await caller.publish()
        name = (await http.post(RECORDING)).json()["name"]
        await recorded_for(http, 0.1)
        assert (await caller.hang_up()).status_code == 200
        assert closing.is_set()
        assert live.app.state.archive.get(name).ended == "the caller left", "without the pictures that never came"
        assert (await again.publish()).status_code == 201, "the name is free"
        go_on.set()
        await again.hang_up()


async def test_viewers_are_let_go_at_once_and_not_one_after_another(live, http, monkeypatch):
    leaving, most = 0, 0
    close = Peer.close

    async def closing(peer: Peer) -> None:
        nonlocal leaving, most
        leaving += 1
        most = max(most, leaving)
        await asyncio.sleep(0.1)
        leaving -= 1
        await close(peer)

    async with Client(http) as caller:
        await caller.publish()
        viewers = [Client(http) for _ in range(4)]
        await asyncio.gather(*(viewer.view() for viewer in viewers))
        monkeypatch.setattr(Peer, "close", closing)
        await caller.hang_up()
        for viewer in viewers:
            await viewer.close()
    assert most == 5, "four viewers and their caller"


async def test_a_call_ends_once_however_many_ways_it_ends(live, http, monkeypatch):
    closings: list[Session] = []
    close = Session.close
    monkeypatch.setattr(Session, "close", lambda session: (closings.append(session), close(session)))
    async with Client(http) as caller:
        await caller.publish()
        lobby = live.app.state.lobby
        channel = lobby.channels["room"]
        lobby._endings.broken(channel, "one")
        lobby._endings.broken(channel, "another")
        await asyncio.gather(lobby.leave("room", channel.caller), caller.hang_up())
        await channel.ended()
    assert closings == [channel.session]


async def test_who_comes_while_the_caller_leaves_is_told_that_nobody_is_live(live, http, monkeypatch):
    answer = Peer.answer
    lobby = live.app.state.lobby

    async def late(peer: Peer, *more: Any) -> str:
        channel = lobby.channels["room"]
        if peer is not channel.caller:
            await lobby.leave("room", channel.caller)
        return await answer(peer, *more)

    async with Client(http) as caller, Client(http) as viewer:
        await caller.publish()
        monkeypatch.setattr(Peer, "answer", late)
        refused = await viewer.view()
        assert int(refused.headers["retry-after"]) > 0
        problem(refused, 404, "not-live")


async def test_a_recording_that_begins_while_its_caller_leaves_records_nobody_else(live, http, monkeypatch):
    """Even where another caller has taken the name by then."""
    begun, go_on = threading.Event(), threading.Event()
    begin = Archive.begin

    def slow(archive: Archive, *what: Any) -> Any:
        opened = begin(archive, *what)
        begun.set()
        assert go_on.wait(20)
        return opened

    monkeypatch.setattr(Archive, "begin", slow)
    kept = live.app.state.archive.listing("room")
    async with Client(http) as caller, Client(http) as another:
        await caller.publish()
        recording = asyncio.create_task(http.post(RECORDING))
        await until(begun.is_set)
        leaving = asyncio.create_task(caller.hang_up())
        await until(lambda: "room" not in live.app.state.lobby.channels)
        assert (await another.publish()).status_code == 201
        go_on.set()
        problem(await recording, 404, "not-live")
        await leaving
        channel = live.app.state.lobby.channels["room"]
        assert channel.recording is None
        assert not channel.session._watched
        assert not channel.presenter.reports()
        await another.hang_up()
    assert live.app.state.archive.listing("room") == kept, "nothing is left of it"


async def test_a_forgotten_face_does_not_go_live(live, http, monkeypatch):
    begun, go_on = threading.Event(), threading.Event()
    services: Services = live.app.state.services
    record = services.avatars.keep(services.observe_portrait(None), Consent.ME, "0" * 64, "me")  # type: ignore[arg-type]
    forget = Archive.forget

    def slow(archive: Archive, avatar: str) -> None:
        begun.set()
        assert go_on.wait(20)
        forget(archive, avatar)

    monkeypatch.setattr(Archive, "forget", slow)
    async with Client(http) as caller, Client(http) as later, Client(http) as other:
        forgetting = asyncio.create_task(http.delete(f"/api/avatars/{record.id}"))
        await until(begun.is_set)
        problem(await caller.publish("room", avatar=record.id), 409, "avatar-being-forgotten")
        assert (await other.publish("other")).status_code == 201, "with another face"
        go_on.set()
        assert (await forgetting).status_code == 204
        problem(await later.publish("room", avatar=record.id), 404, "unknown-avatar")
        await other.hang_up()


async def test_an_engine_that_is_being_loaded_keeps_nobody_waiting(live, http):
    async with Client(http) as caller, Client(http) as viewer:
        await caller.publish()
        with catalogue._loading:
            for path in ("/api/channels", "/api/channels/room", "/metrics", "/readyz", "/api/devices"):
                assert (await asyncio.wait_for(http.get(path), PLENTY)).status_code == 200
            assert (await asyncio.wait_for(viewer.view(), PLENTY)).status_code == 201
            assert (await asyncio.wait_for(http.post(RECORDING), PLENTY)).status_code == 201
        await caller.hang_up()


@pytest.fixture
def slow_session(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Sessions are made while `go_on` is waited for."""
    slow = SimpleNamespace(begun=threading.Event(), go_on=threading.Event(), made=[])
    session = Services.session

    def making(services: Services, *what: Any) -> Session:
        slow.begun.set()
        assert slow.go_on.wait(20)
        slow.made.append(session(services, *what))
        return slow.made[-1]

    monkeypatch.setattr(Services, "session", making)
    return slow


@pytest_asyncio.fixture(loop_scope="module")
async def alone(tmp_path) -> AsyncIterator[SimpleNamespace]:
    """A server for one test."""
    async with serving(settings_for(tmp_path)) as (base, app), httpx.AsyncClient(base_url=base, timeout=30) as http:
        yield SimpleNamespace(http=http, lobby=app.state.lobby)


async def test_a_session_made_after_the_server_stops_is_closed_again(alone, slow_session):
    async with Client(alone.http) as caller, Client(alone.http) as later:
        coming = asyncio.create_task(caller.publish())
        await until(slow_session.begun.is_set)
        stopping = asyncio.create_task(alone.lobby.close())
        await until(lambda: not alone.lobby.channels)
        problem(await later.publish("other"), 503, "stopping")
        slow_session.go_on.set()
        problem(await coming, 503, "stopping")
        await stopping
    assert [session._flow._closed for session in slow_session.made] == [True]


async def test_a_caller_whose_request_is_dropped_leaves_nothing(alone, slow_session):
    async with Client(alone.http) as caller:
        caller.connection.addTransceiver(Clip(), "sendonly")
        await caller.connection.setLocalDescription()
        offer = caller.connection.localDescription.sdp
        coming = asyncio.create_task(alone.lobby.publish("room", offer, "sample", "relief"))
        await until(slow_session.begun.is_set)
        coming.cancel()
        await asyncio.wait([coming])
        slow_session.go_on.set()
        await until(lambda: not alone.lobby._tasks._under_way)
    assert not alone.lobby.channels
    assert [session._flow._closed for session in slow_session.made] == [True]
