"""Hostile clients, a few of each kind, from one seed: each is refused or ends cleanly, and nothing is left.

`make hostile` tries thousands of them.
"""

from __future__ import annotations

import json
import logging
import random
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import httpx
import pylibsrtp
import pytest
import pytest_asyncio
from fastapi import FastAPI
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from benchmarks.hostile import asking, datagrams, files, heads, offers, sockets
from benchmarks.hostile.chance import changed, document
from benchmarks.hostile.target import EXPLAINED, Answer, Target, Tried
from engines.contract import AvatarRefused
from engines.splats.engine import Splats
from server.app import create_app
from server.channels.services import at_rest
from server.media.photo_parts import stripped
from server.problems import Problem
from server.webrtc import offers as taken
from tests.clusters import stations
from tests.conversing import Call
from tests.exported import head
from tests.live import Client, serving, settings_for, until, without_quotas
from tests.test_access_table import routes
from tests.test_soak import holdings

pytestmark = pytest.mark.asyncio(loop_scope="module")
SDP = {"Content-Type": "application/sdp"}
SEED = 17


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def victim(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SimpleNamespace]:
    """A server with a live channel and a call in it."""
    made = settings_for(tmp_path_factory.mktemp("data"), connect_seconds=4, min_free_bytes=0)
    patched = pytest.MonkeyPatch()
    patched.setattr("server.routes.access.BODY_SECONDS", 0.5)
    patched.setattr("server.routes.puppet.film", lambda: b"")
    patched.setattr(sockets, "LINGERS", 0.05)
    async with (
        serving(made) as (base, app),
        httpx.AsyncClient(base_url=base, timeout=30) as http,
        Client(http) as caller,
    ):
        without_quotas(app)
        assert (await caller.publish("room")).status_code == 201
        await until(lambda: caller.connection.connectionState == "connected")
        call = await Call.make(http)
        seat = await call.sit("Ana")
        target = Target("127.0.0.1", int(base.rpartition(":")[2]))
        yield SimpleNamespace(
            app=app, http=http, target=target, call=call, seat=seat, room=app.state.lobby.channels["room"]
        )
        await call.close()
    patched.undo()


@pytest.fixture(autouse=True)
def no_errors(caplog: pytest.LogCaptureFixture) -> Any:
    """Nothing that a client does is an error of ours."""
    yield
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


async def harmed_nobody(victim: Any, tried: Tried, cases: int) -> None:
    """The live channel goes on, and its caller's pictures come."""
    assert tried.faults == []
    assert tried.cases == cases
    assert victim.app.state.lobby.channels["room"] is victim.room
    before = victim.room.ingest.received
    await until(lambda: victim.room.ingest.received > before + 2)


async def test_requests_of_every_route_are_refused_or_answered(victim):
    tried, luck = Tried(), random.Random(SEED)
    names = {
        "channel": "room",
        "call": victim.call.name,
        "avatar": "sample",
        "seat": "1",
        "number": "1",
        "session": "x",
    }
    known = asking.routes((await victim.http.get("/api/openapi.json")).json())
    assert {(method, path) for method, path, _ in known} >= {("POST", "/whip/{channel}"), ("POST", "/api/calls")}
    made = asking.requests(victim.target, luck, known, names)
    before = holdings()
    for _ in range(150):
        sent = next(made)
        if not sent.startswith(b"DELETE"):
            tried.add(await victim.target.send(sent), sent)
    await harmed_nobody(victim, tried, tried.cases)
    assert tried.cases > 100
    assert {told[:3] for told in tried.outcomes} >= {"200", "400", "404"}
    await until(lambda: holdings()["handles"] <= before["handles"] + 3)


@pytest.mark.parametrize(
    ("path", "instead"),
    [("/whip/of", offers.PUBLISHED), ("/whep/room", offers.WATCHED), ("/whep/room?as=geometry", offers.DRAWN)],
    ids=["published", "watched", "drawn"],
)
async def test_offers_by_a_grammar_are_refused_or_taken(victim, path, instead):
    tried, made = Tried(), offers.offers(random.Random(SEED), instead)
    for _ in range(40):
        sent = next(made)
        answer = await victim.target.ask("POST", path, sent, SDP)
        tried.add(answer, sent)
        if isinstance(answer, Answer) and answer.status == 201:
            await victim.target.ask("DELETE", answer.location)
    await harmed_nobody(victim, tried, 40)
    assert {told[:3] for told in tried.outcomes} <= {"201", "400", "409", "422"}, tried.outcomes
    await until(lambda: set(victim.app.state.lobby.channels) == {"room"})


async def test_whatever_the_grammar_makes_an_offer_is_understood_or_a_problem():
    """Our own checks alone, without a peer: many in little time."""
    luck = random.Random(SEED)
    kinds = ((taken.publishing, offers.PUBLISHED), (taken.viewing, offers.WATCHED), (taken.drawing, offers.DRAWN))
    for look, instead in kinds:
        made = offers.offers(luck, instead)
        told = [refusal(look, next(made)) for _ in range(150)]
        assert set(told) == {0, 400, 422}
    made = offers.fragments(luck)
    assert {refusal(taken.fragment, next(made)) for _ in range(150)} == {0, 400}


def refusal(look: Callable[[str], object], sent: bytes) -> int:
    """The status with which it is refused; 0 where it is not."""
    try:
        look(sent.decode(errors="replace"))
    except Problem as refused:
        return refused.status
    return 0


async def test_a_calls_socket_is_closed_or_goes_on(victim):
    tried, luck = Tried(), random.Random(SEED)
    for _ in range(60):
        await sockets.talk(victim.target, luck, victim.call.name, victim.seat["token"], tried)
    text = sockets.frame(sockets.TEXT, b"\xff\xfe")
    tried.add(await _said(victim, text), text)
    await harmed_nobody(victim, tried, 61)
    assert tried.outcomes["code 1007"] >= 1, "text that is no UTF-8"
    await until(lambda: victim.app.state.calls.conferences[victim.call.name].sockets == 0)


async def _said(victim: Any, frames: bytes) -> str:
    """How a socket ends that says these alone."""
    tried = Tried()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sockets, "frames", lambda luck, token: frames)
        await sockets.talk(victim.target, random.Random(0), victim.call.name, "", tried)
    return next(iter(tried.outcomes))


async def test_forms_and_photos_are_refused_or_taken(victim):
    tried, luck = Tried(), random.Random(SEED)
    made, photos = files.forms(luck), files.photos(luck)
    for number in range(44):
        body = next(made) if number < 40 else _form(next(photos))
        told = {"Content-Type": f"multipart/form-data; boundary={files.BOUNDARY.decode()}"}
        tried.add(await victim.target.ask("POST", "/api/avatars", body, told), body)
    for _ in range(300):
        stripped(next(photos))  # raises nothing: what is taken out of a photo before its decoder sees it
    await harmed_nobody(victim, tried, 44)


def _form(photo: bytes) -> bytes:
    parts = ((b'"consent"', b"me"), (b'"portrait"; filename="a"', photo))
    told = [
        b"--" + files.BOUNDARY + b"\r\nContent-Disposition: form-data; name=" + name + b"\r\n\r\n" + value
        for name, value in parts
    ]
    return b"\r\n".join(told) + b"\r\n--" + files.BOUNDARY + b"--\r\n"


async def test_heads_of_gaussians_that_are_spoilt_are_refused_or_come_in_and_are_drawn():
    made, engine, came = heads.heads(random.Random(SEED), head().zipped()), Splats(), 0
    for _ in range(60):
        with suppress(AvatarRefused):
            avatar = engine.made(engine.bring(next(made)).arrays)
            came += 1
            if came < 3:
                assert at_rest(engine, avatar).any()
    assert 2 < came < 30


async def test_films_are_verified_or_found_unreadable(victim):
    tried, made = Tried(), files.films(random.Random(SEED))
    for _ in range(4):
        sent = next(made)
        tried.add(await victim.target.ask("POST", "/api/verify", sent), sent)
    await harmed_nobody(victim, tried, 4)
    assert set(tried.outcomes) == {"200"}


async def test_feedback_and_media_that_nobody_means_end_no_other_channel(victim):
    """By the keys of a caller and of a viewer who were let in. A NACK storm among them."""
    luck, http = random.Random(SEED), victim.http
    async with Client(http) as caller, Client(http) as viewer:
        assert (await caller.publish("hostile")).status_code == 201
        assert (await viewer.view("room")).status_code == 201
        await viewer.seen(2)
        for client, packets in (
            (caller, datagrams.media(luck, 1)),
            (caller, datagrams.feedback(luck, 1, 1)),
            (viewer, datagrams.feedback(luck, 1, 1)),
        ):
            transport: Any = client.connection.getTransceivers()[0].receiver.transport
            for _ in range(300):
                with suppress(pylibsrtp.Error, ConnectionError):  # what our own end does not encrypt
                    await transport._send_rtp(next(packets))
        tried = Tried()
        tried.add("sent")
        await harmed_nobody(victim, tried, 1)
    await until(lambda: set(victim.app.state.lobby.channels) == {"room"})


@pytest.fixture(scope="module")
def cold(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    return create_app(settings_for(tmp_path_factory.mktemp("cold")))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(), inside, max_size=4),
    max_leaves=12,
)
NAMES = st.sampled_from(
    ["title", "seats", "form", "approve", "url", "token", "name", "avatar", "engine", "consent", "x"]
)


@seed(SEED)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None)
@given(
    which=st.sampled_from(routes()),
    body=st.dictionaries(NAMES, ANYTHING, max_size=5) | ANYTHING,
    query=st.dictionaries(st.text(), st.text(), max_size=3),
    headers=st.dictionaries(
        st.sampled_from(["Authorization", "If-Match", "Range", "Origin", "Host", "Content-Type", "X-Forwarded-For"]),
        st.text(st.characters(min_codepoint=1, max_codepoint=255), max_size=60),
        max_size=3,
    ),
)
async def test_no_route_fails_whatever_it_is_asked(cold, which, body, query, headers):
    """On a server that is not warm yet, whose routes meet what is asked before anything else."""
    told: Any = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(cold, raise_app_exceptions=False), base_url="http://localhost", timeout=60
    ) as http:
        if which[1] in ("/puppet.mp4", "/api/engines"):
            return
        answer = await http.request(which[0], which[1], content=json.dumps(body).encode(), params=query, headers=told)
    assert answer.status_code < 500 or answer.status_code in EXPLAINED, (which, answer.text)


async def test_a_clusters_door_hands_on_nothing_that_is_none(tmp_path):
    """Requests of every route, with what only doors may say, at a machine that has another beside it."""
    luck, tried = random.Random(SEED), Tried()
    known = [
        (method, path, ())
        for method, path in (*routes(), ("GET", "/api/cluster"), ("POST", "/api/cluster/nodes/x/drain"))
    ]
    known += [("DELETE", "/api/cluster/avatars/x", ()), ("POST", "/api/cluster/calls/x", ("people", "call"))]
    known = [row for row in known if row[1] not in ("/puppet.mp4", "/api/engines")]
    with stations(tmp_path, 2) as (one, _):
        target = Target("127.0.0.1", one.port)
        made = asking.requests(target, luck, known, {})
        for _ in range(80):
            sent = next(made)
            if b"Content-Length: 9" not in sent and b"+7" not in sent:
                tried.add(await target.send(sent), sent)
    assert tried.faults == []
    assert tried.cases > 60


async def test_bytes_are_changed_the_same_way_by_the_same_seed():
    first, second = (random.Random(4) for _ in range(2))
    assert [changed(first, b"abcdefgh" * 9) for _ in range(30)] == [changed(second, b"abcdefgh" * 9) for _ in range(30)]
    assert [document(first, ("a",)) for _ in range(30)] == [document(second, ("a",)) for _ in range(30)]
