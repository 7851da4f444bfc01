"""Every route against every kind of authority: what the guards refuse is refused everywhere, in one table."""

from __future__ import annotations

import asyncio
import functools
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from server.app import create_app
from server.problems import Problem
from server.routes import access
from server.routes.quotas import Quotas
from server.settings import Settings
from tests.live import settings_for

TOKEN = "s3cret-of-the-house"
UNLISTED = ("/", "/view/x", "/call/x", "/verify", "/pages/viewer/lenticular.vert", "/pages/viewer/lenticular.frag")
"Pages' routes, which are in no schema."
SLOW = ("/puppet.mp4", "/api/engines")
"Seconds of work, which one table is enough for."
ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}
PAGES = re.compile(r"/(?:|verify|view/.*|call/.*|pages/.*|healthz|readyz|nowhere)")
"What needs no token: pages, and what load balancers ask."


def app_for(data: Path, **more: Any) -> FastAPI:
    return create_app(settings_for(data, **more))


@pytest.fixture(scope="module", params=[False, True], ids=["loopback", "shared"])
def either(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    """A server for this machine alone, and one for others; neither has been started."""
    more = {"host": "0.0.0.0", "token": TOKEN} if request.param else {}
    return app_for(tmp_path_factory.mktemp("data"), **more)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    return app_for(tmp_path_factory.mktemp("data"))


@functools.cache
def routes() -> tuple[tuple[str, str], ...]:
    """(method, path) of every route, those included that pages load."""
    app = create_app(Settings(data_dir=Path("/nonexistent")))
    told = [(method.upper(), path) for path, methods in app.openapi()["paths"].items() for method in methods]
    unlisted = [("GET", path) for path in (*UNLISTED, "/pages/shared/api.js", "/api/openapi.json", "/nowhere")]
    return tuple((method, re.sub(r"\{[^}]*\}", "x", path)) for method, path in (*told, *unlisted))


def client(app: FastAPI, at: str = "localhost:8000", **headers: str) -> httpx.AsyncClient:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=f"http://{at}", headers=named, timeout=60)


async def answers(
    app: FastAPI, at: str = "localhost:8000", but: tuple[str, ...] = (), **headers: str
) -> dict[tuple[str, str], httpx.Response]:
    """What every route says, `but` for some. Each says what it is and stays out of foreign pages."""
    async with client(app, at, **headers) as http:
        found = {(method, path): await http.request(method, path) for method, path in routes() if path not in but}
    for which, answer in found.items():
        for name, value in ALWAYS.items():
            assert answer.headers[name] == value, which
    return found


def kinds(found: dict[tuple[str, str], httpx.Response]) -> set[str]:
    return {one.json()["type"].rsplit(":", 1)[1] if one.content else str(one.status_code) for one in found.values()}


def test_the_table_knows_every_route(tmp_path):
    app = app_for(tmp_path)
    own = {route.path for route in app.routes if isinstance(route, APIRoute) and not route.include_in_schema}
    named = {"/view/x": "/view/{channel}", "/call/x": "/call/{call}"}
    assert own == {named.get(path, path) for path in UNLISTED}
    assert len(routes()) > 35


async def test_on_loopback_everything_answers_without_a_token(alone):
    for which, answer in (await answers(alone)).items():
        assert answer.status_code not in (401, 403, 421, 500), (which, answer.text)


@pytest.mark.parametrize("host", ["evil.example", "192.0.2.1", "localhost.evil.example", "127.0.0.1.example:8000"])
async def test_on_loopback_no_route_answers_to_a_foreign_host(alone, host):
    found = await answers(alone, at=host)
    assert {one.status_code for one in found.values()} == {421}
    assert kinds(found) == {"foreign-host"}


ORIGINS = ["https://evil.example", "null", "http://localhost:9000", "http://localhost", "https://localhost.evil:8000"]


@pytest.mark.parametrize("origin", ORIGINS)
async def test_on_loopback_no_route_answers_to_a_foreign_origin(alone, origin):
    found = await answers(alone, Origin=origin)
    assert {one.status_code for one in found.values()} == {403}
    assert not [one for one in found.values() if "access-control-allow-origin" in one.headers]


NO_ORIGINS = [
    "//localhost:8000",
    "javascript://localhost:8000",
    "http://localhost:8000/",
    "http://[",
    "http://a@localhost:8000",
]
NO_ORIGINS += [
    "localhost:8000",
    "file://",
    "http://localhost:8000#",
    "http:///localhost:8000",
    "\x00",
    "http://localhost:8000 ",
]


@pytest.mark.parametrize("origin", NO_ORIGINS)
async def test_what_is_no_origin_is_refused_everywhere(either, origin):
    for method, path in routes():
        assert await raw(either, method, path, [(b"host", b"localhost:8000"), (b"origin", origin.encode())]) in (
            400,
            403,
        )


NO_HOSTS = [
    "[",
    "[::1",
    "localhost:x",
    "localhost:99999999",
    "a b",
    "u@localhost",
    "localhost/x",
    "\xff",
    "]",
    "[v1.x]:",
    "\x00",
]


@pytest.mark.parametrize("host", NO_HOSTS)
async def test_what_is_no_host_is_refused_everywhere(either, host):
    for method, path in routes():
        assert await raw(either, method, path, [(b"host", host.encode("latin-1"))]) in (400, 421)


async def raw(app: FastAPI, method: str, path: str, headers: list[tuple[bytes, bytes]], kind: str = "http") -> int:
    """The status of a request whose headers no client of ours would send."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": kind,
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": headers,
    }
    scope |= {"scheme": "http", "server": ("127.0.0.1", 8000), "client": ("127.0.0.1", 1), "root_path": "", "asgi": {}}
    await app({**scope, "subprotocols": []}, receive, send)
    return sent[0].get("status") or sent[0]["code"]


@pytest.mark.parametrize(
    "authority", ["", "Bearer", "Bearer ", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", TOKEN]
)
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
async def test_with_a_token_set_no_guarded_route_answers_without_it(tmp_path, authority, host):
    app = app_for(tmp_path, host=host, token=TOKEN)
    guarded = 0
    for method, path in routes():
        async with client(app, **({"Authorization": authority} if authority else {})) as http:
            answer = await http.request(method, path)
        if method == "OPTIONS" or PAGES.fullmatch(path):
            assert answer.status_code != 401, path
            continue
        guarded += 1
        own = path.startswith("/api/calls/") and authority.startswith("Bearer ") and authority != "Bearer "
        assert answer.status_code in ((503,) if own else (401, 429)), path  # a call's own tokens: once there are calls
    assert guarded > 25


async def test_with_the_token_every_route_answers(tmp_path):
    app = app_for(tmp_path, host="0.0.0.0", token=TOKEN)
    found = await answers(app, but=SLOW, Authorization=f"Bearer {TOKEN}")
    for which, answer in found.items():
        assert answer.status_code not in (401, 403, 421, 429, 500), (which, answer.text)


async def test_a_web_socket_is_refused_before_any_route_sees_it(tmp_path):
    app = app_for(tmp_path)

    @app.websocket("/api/listening")
    async def listening() -> None:
        raise AssertionError("nobody guards this")

    for path in ("/api/listening", "/whip/room", "/", "/api/calls/x/events/more", "/api/calls//events"):
        assert await raw(app, "GET", path, [(b"host", b"localhost:8000")], kind="websocket") == 1008


async def test_who_tries_many_wrong_tokens_has_to_wait(tmp_path):
    app = app_for(tmp_path, token=TOKEN)
    async with client(app, Authorization="Bearer wrong") as http:
        statuses = [(await http.get("/api/channels")).status_code for _ in range(40)]
        assert statuses[:20] == [401] * 20
        assert statuses.count(429) >= 15
        refused = await http.get("/api/channels")
        assert int(refused.headers["retry-after"]) >= 1
    async with client(app_for(tmp_path, token=TOKEN)) as http:  # a page that has not asked for the token yet
        assert {(await http.get("/api/channels")).status_code for _ in range(40)} == {401}


async def test_a_body_that_dribbles_is_given_up(tmp_path, monkeypatch):
    """Its bytes come in time, but never fast enough for the whole."""
    monkeypatch.setattr(access, "BODY_SECONDS", 0.2)
    taken = 0

    async def reading(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["more_body"]:
            pass

    async def receive() -> dict[str, Any]:
        nonlocal taken
        await asyncio.sleep(0.01)
        taken += 1
        return {"type": "http.request", "body": b"a", "more_body": taken < 2000}

    scope = {"type": "http", "method": "POST", "path": "/whip/x", "headers": [(b"host", b"localhost")]}
    with pytest.raises(Problem) as refused:
        await access.Access(reading, settings_for(tmp_path), Quotas())(scope, receive, receive)  # type: ignore[arg-type]
    assert refused.value.status == 408
    assert taken < 200


async def test_a_large_body_may_take_as_long_as_a_slow_line_needs(tmp_path, monkeypatch):
    monkeypatch.setattr(access, "BODY_SECONDS", 0.5)  # of the 0.7 that it takes, by a clock that goes by its pieces
    taken, begun = 0, asyncio.get_running_loop().time()
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: begun + 0.05 * taken)

    async def reading(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["more_body"]:
            pass

    async def receive() -> dict[str, Any]:
        nonlocal taken
        taken += 1
        for _ in range(3):  # turns of the loop, in which a time limit would come
            await asyncio.sleep(0)
        return {"type": "http.request", "body": bytes(8192), "more_body": taken < 14}

    scope = {"type": "http", "method": "POST", "path": "/whip/x", "headers": [(b"host", b"localhost")]}
    await access.Access(reading, settings_for(tmp_path), Quotas())(scope, receive, receive)  # type: ignore[arg-type]
    assert taken == 14
