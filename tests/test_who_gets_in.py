"""Who gets in: each route against each kind of authority, on servers where what is asked for is there. A new route needs a row."""

from __future__ import annotations

import io
import logging
import os
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import pytest_asyncio
import structlog
from fastapi import FastAPI
from fastapi.routing import APIWebSocketRoute
from PIL import Image
from starlette.routing import BaseRoute, Mount, Route

from server.app import create_app
from server.cluster import routes as cluster
from server.routes import puppet
from tests.conversing import Call, Socket
from tests.live import Client, serving, settings_for, without_quotas
from tests.test_calls_guarded import KEY, TOKEN, forged

pytestmark = pytest.mark.asyncio(loop_scope="module")

NO_TOKEN, WRONG, OTHERS, EXPIRED = "no token", "wrong token", "another call's token", "expired token"
EVERYBODY: dict[str, int | None] = dict.fromkeys((NO_TOKEN, WRONG, OTHERS, EXPIRED))
"Nothing is asked for: pages, which hold no secret, and what load balancers ask."
SERVERS: dict[str, int | None] = dict.fromkeys((NO_TOKEN, WRONG, OTHERS, EXPIRED), 401)
"The server's own token. Channels belong to it, and to their call's members."
MEMBERS: dict[str, int | None] = SERVERS | {OTHERS: None}
"What a member of whichever call needs: an avatar. It is of no channel."
CALLS: dict[str, int | None] = {NO_TOKEN: 401, WRONG: 404, OTHERS: 404, EXPIRED: 401}
"A call's own token. Whoever has another's is told what whoever made the name up is told."

ROWS: dict[str, dict[str, int | None]] = {
    "GET /": EVERYBODY,
    "GET /call/{call}": EVERYBODY,
    "GET /view/{channel}": EVERYBODY,
    "GET /verify": EVERYBODY,
    "GET /pages/viewer/lenticular.vert": EVERYBODY,
    "GET /pages/viewer/lenticular.frag": EVERYBODY,
    "GET /pages/{file}": EVERYBODY,
    "GET /healthz": EVERYBODY,
    "GET /readyz": EVERYBODY,
    "OPTIONS /whip/{channel}": EVERYBODY,
    "OPTIONS /whep/{channel}": EVERYBODY,
    "OPTIONS /whip/{channel}/{session}": EVERYBODY,
    "OPTIONS /whep/{channel}/{session}": EVERYBODY,
    "GET /puppet.mp4": MEMBERS,
    "GET /metrics": SERVERS,
    "GET /api/openapi.json": SERVERS,
    "GET /api/engines": MEMBERS,
    "GET /api/screens": MEMBERS,
    "GET /api/devices": SERVERS,
    "POST /api/verify": SERVERS,
    "POST /whip/{channel}": SERVERS,
    "PATCH /whip/{channel}/{session}": SERVERS,
    "DELETE /whip/{channel}/{session}": SERVERS,
    "POST /whep/{channel}": SERVERS,
    "PATCH /whep/{channel}/{session}": SERVERS,
    "DELETE /whep/{channel}/{session}": SERVERS,
    "GET /whep/{channel}/{session}/asset": SERVERS,
    "GET /api/avatars": MEMBERS,
    "POST /api/avatars": MEMBERS,
    "GET /api/avatars/{avatar}": MEMBERS,
    "GET /api/avatars/{avatar}/picture": MEMBERS,
    "DELETE /api/avatars/{avatar}": MEMBERS,
    "POST /api/avatars/{avatar}/withdrawal": MEMBERS,
    "GET /api/channels": SERVERS,
    "GET /api/channels/{channel}": SERVERS,
    "GET /api/channels/{channel}/provenance": SERVERS,
    "POST /api/channels/{channel}/likeness": SERVERS,
    "POST /api/channels/{channel}/recording": SERVERS,
    "GET /api/channels/{channel}/recording": SERVERS,
    "DELETE /api/channels/{channel}/recording": SERVERS,
    "POST /api/channels/{channel}/still": SERVERS,
    "POST /api/channels/{channel}/handover": SERVERS,
    "DELETE /api/channels/{channel}/handover": SERVERS,
    "GET /api/recordings": SERVERS,
    "GET /api/recordings/{name}": SERVERS,
    "DELETE /api/recordings/{name}": SERVERS,
    "POST /api/calls": SERVERS,
    "GET /api/calls": SERVERS,
    "GET /api/calls/{call}": CALLS,
    "PATCH /api/calls/{call}": CALLS,
    "DELETE /api/calls/{call}": CALLS,
    "POST /api/calls/{call}/invitations": CALLS,
    "DELETE /api/calls/{call}/invitations/{invitation}": CALLS,
    "POST /api/calls/{call}/seats": CALLS,
    "PATCH /api/calls/{call}/seats/{seat}": CALLS,
    "DELETE /api/calls/{call}/seats/{seat}": CALLS,
    "POST /api/calls/{call}/rehearsals": CALLS,
    "DELETE /api/calls/{call}/rehearsals/{number}": CALLS,
    "SOCKET /api/calls/{call}/events": {NO_TOKEN: 4404, WRONG: 4404, OTHERS: 4404, EXPIRED: 4401},
    "GET /api/cluster": SERVERS,
    "POST /api/cluster/nodes/{node}/drain": SERVERS,
    "DELETE /api/cluster/nodes/{node}/drain": SERVERS,
    "GET /api/cluster/avatars/{avatar}": SERVERS,
    "DELETE /api/cluster/avatars/{avatar}": SERVERS,
    "POST /api/cluster/avatars/{avatar}/withdrawal": SERVERS,
    "POST /api/cluster/calls/{call}": SERVERS,
}
"Route -> what each authority is answered; None where it may. On loopback, and with the token, everybody may."

CLUSTERS = "/api/cluster"


def whole_app(settings: Any) -> FastAPI:
    """The app, with what a machine of a cluster has besides."""
    app = create_app(settings)
    app.include_router(cluster.router(settings, None, None))  # type: ignore[arg-type]
    return app


@pytest.fixture(scope="module", autouse=True)
def quickly() -> Iterator[None]:
    """The puppet's film takes seconds to be made."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(puppet, "film", lambda: b"")
        yield


def routes_of(routes: Iterable[BaseRoute]) -> set[str]:
    """What an app itself says it has."""
    found = set()
    for route in routes:
        if (inner := getattr(route, "original_router", None)) is not None:  # FastAPI keeps included ones whole
            found |= routes_of(inner.routes)
        elif isinstance(route, APIWebSocketRoute):
            found.add(f"SOCKET {route.path}")
        elif isinstance(route, Mount):
            found.add(f"GET {route.path}/{{file}}")
        else:
            assert isinstance(route, Route), route
            found |= {f"{method} {route.path}" for method in (route.methods or ()) if method != "HEAD"}
    return found


async def test_each_route_has_its_row_and_each_row_its_route(tmp_path):
    """A new route is answered for here: add a row that says who gets in."""
    assert routes_of(whole_app(settings_for(tmp_path)).routes) == set(ROWS)


@pytest.fixture(scope="module", autouse=True)
def journal() -> Iterator[io.StringIO]:
    """All that is logged meanwhile, by us and by libraries, as an operator who looks for something has it: at debug level."""
    written, root = io.StringIO(), logging.getLogger()
    before, handler = root.level, logging.StreamHandler(written)
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(written))  # type: ignore[arg-type]
    yield written
    structlog.reset_defaults()
    root.setLevel(before)
    root.removeHandler(handler)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory, journal: io.StringIO) -> AsyncIterator[SimpleNamespace]:
    """A server for others, with a channel that is live, watched and recorded, and two calls. Tokens by authority. Its user lets
    others read whatever it writes (umask)."""
    before = os.umask(0)
    data = tmp_path_factory.mktemp("data")
    settings = settings_for(data, host="0.0.0.0", token=TOKEN, call_key=KEY, min_free_bytes=0)
    async with (
        serving(settings) as (base, app),
        httpx.AsyncClient(base_url=base, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30) as http,
        Client(http) as caller,
        Client(http) as viewer,
    ):
        without_quotas(app)
        app.include_router(cluster.router(settings, None, None))  # type: ignore[arg-type]
        assert (await caller.publish("room")).status_code == 201
        assert (await viewer.view("room")).status_code == 201
        await viewer.seen(1)
        film = (await http.post("/api/channels/room/recording")).json()["name"]
        call, other = await Call.make(http), await Call.make(http)
        ana = await call.sit("Ana")
        tokens = {
            NO_TOKEN: "",
            WRONG: "w" * 40,
            OTHERS: (await other.sit("Eve"))["token"],
            EXPIRED: forged(call.name, exp=int(time.time()) - 60),
        }
        names = {"channel": "room", "call": call.name, "seat": "1", "number": "1", "name": film, "invitation": "none"}
        names |= {
            "avatar": "sample",
            "session": caller.session.rpartition("/")[2],
            "node": "one",
            "file": "shared/api.js",
        }
        yield SimpleNamespace(
            base=base, app=app, call=call, ana=ana, tokens=tokens, names=names, watched=viewer, http=http, data=data
        )
        await call.close()
    os.umask(before)


@pytest.mark.parametrize("who", [NO_TOKEN, WRONG, OTHERS, EXPIRED])
async def test_each_route_lets_in_whom_its_row_says(shared, who: str):
    """Of a call's channels too, which are asked for by its seats' names."""
    headers = {"Authorization": f"Bearer {shared.tokens[who]}"} if shared.tokens[who] else {}
    async with httpx.AsyncClient(base_url=shared.base, headers=headers, timeout=30) as http:
        for row, answers in ROWS.items():
            method, _, path = row.partition(" ")
            if method == "SOCKET":
                assert await socket_of(shared, shared.tokens[who]) == answers[who]
                continue
            for names in asked(shared, path):
                answer = await http.request(method, path.format(**names))
                expected = answers[who]
                if expected is None:
                    assert answer.status_code not in (401, 500), (row, answer.text)
                    assert "not-permitted" not in answer.text, row
                    continue
                assert answer.status_code == expected, (row, answer.text)
                assert answer.headers["Cache-Control"] == "no-store", row
                if expected == 401:
                    assert answer.headers["WWW-Authenticate"].startswith("Bearer"), row
    assert shared.app.state.lobby.live("room").recording.under_way, "nobody has ended it"
    assert len(shared.app.state.calls.conferences) == 2


def asked(shared: Any, path: str) -> list[dict[str, str]]:
    """With which names: the server's own channel, and a call's seat and the whole of it."""
    if "{channel}" not in path:
        return [shared.names]
    return [shared.names | {"channel": name} for name in ("room", f"{shared.call.name}.1", shared.call.name)]


async def socket_of(shared: Any, token: str) -> int:
    socket = await Socket.open(shared.base, shared.call.name)
    await socket.say(t="hello", token=token)
    code = await socket.closed()
    assert socket.told == []
    return code


async def test_with_the_servers_token_nothing_is_refused_for_want_of_one(shared):
    for row in ROWS:
        method, _, path = row.partition(" ")
        if method in ("GET", "OPTIONS") and not path.startswith(CLUSTERS):
            answer = await shared.http.request(method, path.format(**shared.names))
            assert answer.status_code in (200, 204, 400, 404, 409), (row, answer.text)


async def test_nothing_that_the_server_keeps_can_be_read_by_other_users(shared):
    """Portraits, films, keys, the log of consent, who sits where: whatever this process's umask is."""
    photo = io.BytesIO()
    Image.new("RGB", (400, 400), "grey").save(photo, "JPEG")
    sent = await shared.http.post("/api/avatars", files={"portrait": photo.getvalue()}, data={"consent": "me"})
    assert sent.status_code == 201
    assert (await shared.http.post("/api/verify", content=b"no film")).status_code == 200
    kept = [path for path in shared.data.rglob("*") if not path.is_symlink()]
    open_to_others = {
        str(path.relative_to(shared.data)): oct(path.stat().st_mode) for path in kept if path.stat().st_mode & 0o077
    }
    assert open_to_others == {}
    names = {path.name for path in kept}
    assert {"avatars", "recordings", "provenance", "calls.json"} <= names, names
    assert [name for name in names if name.endswith(".mp4")]


async def test_no_secret_is_written_into_the_log_whatever_its_level(shared, journal):
    """Where each has been used: in headers, in forms, in a socket's first message, and where it is wrong."""
    invited = await shared.call.invite()
    late = await shared.call.sit("Bo", token=invited["token"])
    for token in (shared.ana["token"], late["token"], *filter(None, shared.tokens.values())):
        await shared.call.ask("GET", token=token)
        await shared.http.post("/api/calls", json={"title": token})
        await shared.http.post("/whip/room", content=token, headers={"Content-Type": "application/sdp"})
        socket = await Socket.open(shared.base, shared.call.name, authorization=f"Bearer {token}")
        await socket.say(t="hello", token=token)
        await socket.say(t="nothing that is known", token=token)
        await socket.connection.close()
    log = journal.getvalue()
    secrets = {TOKEN, KEY, shared.ana["token"], late["token"], invited["token"]}
    assert len(log) > 5000, "libraries have spoken"
    secrets |= {token for token in shared.tokens.values() if token}
    assert len(secrets) == 8
    told = [line for line in log.splitlines() if any(secret.rpartition(".")[2] in line for secret in secrets)]
    assert told == [], "neither a token nor what signs it"


async def test_a_viewers_session_is_no_key_to_the_callers(shared):
    """Sessions are told apart, whoever asks: a viewer's id ends no caller."""
    watched = shared.watched.session.rpartition("/")[2]
    for path, status in (
        (f"/whip/room/{watched}", 404),
        (f"/whep/other/{watched}", 404),
        (f"/whep/room/{watched}x", 404),
    ):
        assert (await shared.http.delete(path)).status_code == status, path
    assert "room" in shared.app.state.lobby.channels


async def test_on_loopback_nobody_needs_a_token(tmp_path):
    app = whole_app(settings_for(tmp_path))
    names = dict.fromkeys(("channel", "call", "name", "invitation", "avatar", "session", "node", "file"), "x")
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://localhost:8000", timeout=60
    ) as http:
        for row in ROWS:
            method, _, path = row.partition(" ")
            if method == "SOCKET" or path in (
                CLUSTERS,
                f"{CLUSTERS}/nodes/{{node}}/drain",
            ):  # want a cluster behind them
                continue
            answer = await http.request(method, path.format(**names, seat=1, number=1))
            assert answer.status_code not in (401, 403, 421, 429, 500), (row, answer.text)
