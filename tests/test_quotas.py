"""How often one client may ask for what costs much: who is one client, what is counted, and what is said then."""

from __future__ import annotations

import re
import time
from typing import Any

import httpx
import pytest
import throttled.utils
from fastapi import FastAPI
from starlette.requests import HTTPConnection

from server import connections
from server.app import create_app
from server.problems import Problem
from server.routes.quotas import COSTLY, REMEMBERED, Quota, Quotas, client_of
from tests.live import listening, settings_for
from tests.test_access_table import routes

TOKEN = "s3cret-of-the-house"
CHEAP = {
    "POST /api/calls": "calls have quotas of their own",
    "POST /api/calls/x/invitations": "calls have quotas of their own",
    "POST /api/calls/x/rehearsals": "calls have quotas of their own",
    "POST /api/calls/x/seats": "calls have quotas of their own",
    "POST /api/channels/x/likeness": "a flag and a line, once for each channel",
}
"What is posted and costs little, and why."


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(throttled.utils, "now_mono_f", lambda: now[0])
    return now


def app_for(data: Any, **more: Any) -> FastAPI:
    return create_app(settings_for(data, **({"host": "0.0.0.0", "token": TOKEN} | more)))


def test_so_many_at_once_and_so_many_in_a_time_by_client(clock):
    quota = Quota(20, 1, 1)
    for _ in range(20):
        assert quota.wait("a") == 0
        quota.count("a")
    assert 0 < quota.wait("a") <= 1
    assert quota.wait("b") == 0
    clock[0] += 1.1
    assert quota.wait("a") == 0
    quota.count("a")
    assert quota.wait("a") > 0
    assert quota.refused == 2
    for number in range(2 * REMEMBERED):
        quota.count(f"client {number}")
    store: Any = quota._limiter._store
    assert len(store._backend.get_client()) <= REMEMBERED


def test_who_is_refused_is_told_when_to_come_and_loses_nothing_by_asking(clock):
    quota = Quota(2, 1, 10)
    for _ in range(2):
        quota.take("a", "films")
    for waited in (0.0, 4.0, 4.0):
        clock[0] += waited
        with pytest.raises(Problem, match="too many films") as refused:
            quota.take("a", "films")
        assert refused.value.status == 429
    assert refused.value.headers["Retry-After"] == "2"
    clock[0] += 2.1
    quota.take("a", "films")


@pytest.mark.parametrize("step", [-3600.0, 3600.0])
def test_a_clock_that_is_set_anew_neither_frees_nor_holds_anybody(monkeypatch, step):
    quota = Quota(3, 3, 3600)
    for _ in range(3):
        quota.take("a", "calls")
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + step)
    with pytest.raises(Problem) as refused:
        quota.take("a", "calls")
    assert 1190 < int(refused.value.headers["Retry-After"]) <= 1200


def test_whatever_is_posted_has_a_quota_or_a_reason_to_have_none():
    posted = {f"{method} {path}" for method, path in routes() if method == "POST"}
    counted = {one for one in posted for row in COSTLY if row.path.fullmatch(one.partition(" ")[2])}
    assert posted == counted | set(CHEAP)
    assert not counted & set(CHEAP)
    for row in COSTLY:
        assert any(method == row.method and row.path.fullmatch(path) for method, path in routes()), row


async def test_each_costly_route_is_refused_in_its_words_and_counted(tmp_path):
    app = app_for(tmp_path)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    app.state.quotas.costly = {row.name: Quota(1, 1, 3600) for row in COSTLY}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://localhost", headers=headers, timeout=60
    ) as http:
        for row in COSTLY:
            path = re.sub(r"\[\^/\]\+", "x", row.path.pattern)
            first = await http.request(row.method, path)
            assert first.status_code != 429, row.name
            refused = await http.request(row.method, path)
            assert refused.status_code == 429, row.name
            assert refused.json()["type"].endswith("too-many-requests")
            assert 3500 < int(refused.headers["Retry-After"]) <= 3600
            assert refused.headers["X-Content-Type-Options"] == "nosniff"
        metrics = (await http.get("/metrics")).text
        for row in COSTLY:
            assert f'telequilt_too_often_total{{what="{row.name}"}} 1.0' in metrics


async def test_who_has_no_token_uses_up_nobodys_quota(tmp_path):
    app = app_for(tmp_path)
    app.state.quotas.costly["portraits"] = Quota(1, 1, 3600)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost", timeout=60) as http:
        assert {(await http.post("/api/avatars")).status_code for _ in range(5)} == {401}
        assert (await http.post("/api/avatars", headers={"Authorization": f"Bearer {TOKEN}"})).status_code == 503


async def test_this_machines_user_meets_no_quota(tmp_path):
    app = create_app(settings_for(tmp_path))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost", timeout=60) as http:
        assert {(await http.post("/api/avatars")).status_code for _ in range(100)} == {503}


@pytest.mark.parametrize(
    ("host", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "20010db800010002::/64"),
        ("2001:db8:1:2::9", "20010db800010002::/64"),
        ("2001:db8:1:3::9", "20010db800010003::/64"),
        ("::1", "::1"),
        ("testclient", "testclient"),
    ],
)
def test_one_client_is_an_address_or_a_line_of_ipv6(host, client):
    assert client_of(HTTPConnection({"type": "http", "client": (host, 1), "headers": []})) == client


@pytest.mark.parametrize(("trusted", "counted"), [(("127.0.0.1",), "198.51.100.9"), (("10.0.0.0/8",), "127.0.0.1")])
async def test_a_client_is_whom_a_trusted_proxy_names_and_nobody_elses_word_counts(
    tmp_path, monkeypatch, trusted, counted
):
    app = app_for(tmp_path)
    asked: list[str] = []
    monkeypatch.setattr(Quotas, "check", lambda self, method, path, who: asked.append(who))
    whole = connections.config
    monkeypatch.setattr(connections, "config", lambda app, host, port: whole(app, host, port, trusted))
    async with listening(app) as base, httpx.AsyncClient(base_url=base, timeout=60) as http:
        for said in ("198.51.100.9", "203.0.113.1, 198.51.100.9"):  # what its own client said, the proxy has put first
            headers = {"Authorization": f"Bearer {TOKEN}", "X-Forwarded-For": said, "Forwarded": "for=192.0.2.1"}
            await http.post("/api/avatars", headers=headers)
    assert asked == [counted] * 2


def test_a_quota_of_calls_is_the_same_for_every_member():
    quotas = Quotas()
    for number in range(60):
        quotas.joins_of_a_call.take("tea", f"joins {number}")
    with pytest.raises(Problem):
        quotas.joins_of_a_call.take("tea", "joins")
    assert quotas.refused["joins_of_a_call"] == 1
