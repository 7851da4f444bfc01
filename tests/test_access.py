"""Who may talk to the server: hosts, origins, tokens, and settings that would leave it open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
from pydantic import ValidationError
from typer.testing import CliRunner

from display.bridge_wire import ADDRESS
from server.__main__ import app
from server.app import create_app
from server.commands.options import token_of
from server.commands.serve import address
from server.routes.metrics import alias
from server.routes.pages import PAGES
from tests.live import Client, painted_services, serving, settings_for
from tests.painted import still_face

TOKEN = "s3cret-of-the-house"
BROWSERS = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
"What Firefox and Chromium accept where somebody opens an address; scripts in pages accept anything."


def client(data_dir: Path, at: str = "127.0.0.1:8000", **more: Any) -> httpx.AsyncClient:
    """Talks to an app that has not been started: what is refused is refused before anything else."""
    app = create_app(settings_for(data_dir, **more))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=f"http://{at}", timeout=60)


def kind(answer: httpx.Response) -> str:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.json()["type"].rsplit(":", 1)[1]


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "telequilt.example"])
def test_an_open_server_without_a_token_does_not_start(host, tmp_path):
    with pytest.raises(ValidationError, match="token is needed"):
        settings_for(tmp_path, host=host)
    assert not settings_for(tmp_path, host=host, token=TOKEN).private


def test_what_is_wrong_with_settings_is_told_without_its_secrets(tmp_path):
    secrets = {"call_key": "a short key of calls", "token": "a token in words", "turn_secret": "turn's own"}
    with pytest.raises(ValidationError) as wrong:
        settings_for(tmp_path, host="0.0.0.0", **secrets)
    assert "call_key" in str(wrong.value)
    assert not [one for one in secrets.values() if one in str(wrong.value) + repr(wrong.value)]
    with pytest.raises(ValidationError) as open_to_others:
        settings_for(tmp_path, host="0.0.0.0", turn_secret="turn's own")
    assert "turn's own" not in str(open_to_others.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_a_server_for_this_machine_alone_needs_none(host, tmp_path):
    assert settings_for(tmp_path, host=host).private


def test_settings_come_from_variables_and_bad_ones_say_what_is_wrong(monkeypatch, tmp_path):
    monkeypatch.setenv("TELEQUILT_ICE_SERVERS", "stun:stun.example:3478, turn:turn.example")
    monkeypatch.setenv("TELEQUILT_TURN_SECRET", "s")
    monkeypatch.setenv("TELEQUILT_MAX_CHANNELS", "2")
    settings = settings_for(tmp_path)
    assert settings.ice_servers == ("stun:stun.example:3478", "turn:turn.example")
    assert settings.max_channels == 2
    for wrong, words in (
        ({"ice_servers": "http://x"}, "begins with stun:"),
        ({"turn_secret": ""}, "needs TELEQUILT_TURN_SECRET"),
        ({"udp_ports": "50200-50100"}, "no range of ports"),
        ({"screen": "sofa"}, "no screen is called"),
        ({"token": "two\nwords"}, "openssl rand -hex 16"),
        ({"token": "schl\u00fcssel"}, "of ASCII"),
        ({"trusted_proxies": "10.0.0.0/8, proxy"}, "no address and no network"),
    ):
        with pytest.raises(ValidationError, match=words):
            settings_for(tmp_path, **wrong)


async def test_a_foreign_name_for_this_machine_is_refused(tmp_path):
    async with client(tmp_path, at="evil.example") as http:
        assert kind(await http.get("/api/channels")) == "foreign-host"
        assert kind(await http.get("/")) == "foreign-host"
    for host in ("localhost:8000", "127.0.0.1:1234", "[::1]:8000"):
        async with client(tmp_path, at=host) as http:
            assert (await http.get("/healthz")).status_code == 200


async def test_foreign_pages_may_not_call_unless_listed(tmp_path):
    async with client(tmp_path, allowed_origins="https://services.example") as http:
        refused = await http.get("/api/channels", headers={"Origin": "https://evil.example"})
        assert refused.status_code == 403
        assert kind(refused) == "foreign-origin"
        assert "access-control-allow-origin" not in refused.headers
        assert (await http.get("/api/channels", headers={"Origin": "null"})).status_code == 403
        for origin in ("http://127.0.0.1:8000", "https://services.example"):
            welcome = await http.get("/api/channels", headers={"Origin": origin})
            assert welcome.status_code == 200
            assert welcome.headers["access-control-allow-origin"] == origin


async def test_a_preflight_learns_what_whip_clients_need(tmp_path):
    open_to = {"host": "0.0.0.0", "token": TOKEN, "allowed_origins": "https://services.example"}
    async with client(tmp_path, at="telequilt.example", **open_to) as http:
        asked = {"Origin": "https://services.example", "Access-Control-Request-Method": "POST"}
        answer = await http.options("/whip/room", headers=asked)
        assert answer.status_code == 204
        assert answer.headers["access-control-allow-origin"] == "https://services.example"
        assert "PATCH" in answer.headers["access-control-allow-methods"]
        assert "Authorization" in answer.headers["access-control-allow-headers"]
        assert {"Location", "ETag", "Link"} <= set(answer.headers["access-control-expose-headers"].split(", "))


async def test_foreign_pages_read_nothing_of_a_shared_server_either_unless_listed(tmp_path):
    """They are answered, since a proxy may have changed our own pages' host, but no browser shows them what."""
    async with client(tmp_path, at="telequilt.example", host="0.0.0.0", token=TOKEN) as http:
        for origin in (
            "https://evil.example",
            "null",
            "http://telequilt.example.evil",
            "https://telequilt.example:444",
        ):
            for method, path in (("OPTIONS", "/whip/room"), ("OPTIONS", "/api/avatars"), ("GET", "/api/channels")):
                asked = {"Origin": origin, "Access-Control-Request-Method": "POST", "Authorization": f"Bearer {TOKEN}"}
                answer = await http.request(method, path, headers=asked)
                assert not [name for name in answer.headers if name.startswith("access-control")], (origin, path)
        own = await http.get("/api/channels", headers={"Origin": "https://telequilt.example"})
        assert own.headers["access-control-allow-origin"] == "https://telequilt.example"


async def test_everything_but_the_pages_needs_the_token(tmp_path):
    async with client(tmp_path, token=TOKEN) as http:
        for method, path in (
            ("GET", "/api/channels"),
            ("GET", "/api/avatars"),
            ("POST", "/whip/room"),
            ("POST", "/whep/room"),
            ("DELETE", "/whip/room/x"),
            ("GET", "/metrics"),
        ):
            for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}):
                answer = await http.request(method, path, headers=headers)
                assert answer.status_code == 401, path
                assert answer.headers["www-authenticate"].startswith("Bearer")
        assert (await http.get("/healthz")).status_code == 200
        assert (await http.get("/api/channels", headers={"Authorization": f"Bearer {TOKEN}"})).status_code == 200


async def test_a_strangers_list_of_avatars_holds_the_sample_alone(tmp_path):

    for host, seen in (("127.0.0.1", 2), ("0.0.0.0", 1)):
        settings = settings_for(tmp_path / host, host=host, token=TOKEN)
        app = create_app(settings)
        app.state.services = services = painted_services(settings)
        services.avatars.keep(still_face(), services.avatars.records()[0].consent, "")
        base = {"base_url": "http://localhost", "headers": {"Authorization": f"Bearer {TOKEN}"}}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), **base, timeout=60) as http:
            assert len((await http.get("/api/avatars")).json()) == seen
        services.close()


async def test_a_shared_server_names_no_channel_to_who_does_not_know_it(tmp_path):
    settings = settings_for(tmp_path, host="0.0.0.0", token=TOKEN)
    async with serving(settings) as (base, _), Client(holder(base)) as caller:
        assert (await caller.publish("our-room")).status_code == 201
        assert (await caller.http.get("/api/channels")).json() == []
        assert (await caller.http.get("/api/channels?channel=other")).json() == []
        (found,) = (await caller.http.get("/api/channels?channel=other&channel=our-room")).json()
        assert found["name"] == "our-room"
        metrics = (await caller.http.get("/metrics")).text
        assert "our-room" not in metrics
        assert f'telequilt_presence{{channel="{alias("our-room")}"}}' in metrics
        await caller.hang_up()
        await caller.http.aclose()


def holder(base: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=base, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30)


def test_a_token_may_lie_in_a_file(tmp_path, monkeypatch):
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    monkeypatch.setenv("TELEQUILT_TOKEN_FILE", str(file))
    settings = settings_for(tmp_path, host="0.0.0.0")
    assert settings.token is not None
    assert settings.token.get_secret_value() == TOKEN == token_of(file)
    assert TOKEN not in repr(settings)
    for bad, words in ((tmp_path / "none", "cannot be read"), (tmp_path / "empty", "is empty")):
        (tmp_path / "empty").touch()
        with pytest.raises(ValidationError, match=words):
            settings_for(tmp_path, token_file=bad)
        with pytest.raises(typer.BadParameter, match=words):
            token_of(bad)


def test_the_token_is_shown_to_people_and_kept_out_of_journals_and_arguments(tmp_path):
    settings = settings_for(tmp_path, token=TOKEN)
    assert address(settings, 8000, seen=True) == f"http://localhost:8000/#token={TOKEN}"
    assert address(settings, 8000, seen=False) == "http://localhost:8000/"
    for command in ("serve", "puppet", "show"):
        told = CliRunner().invoke(app, [command, "--token", TOKEN])
        assert told.exit_code == 2
        assert TOKEN not in told.output


async def test_pages_load_nothing_from_outside(tmp_path):
    async with client(tmp_path) as http:
        files = [f"/pages/{file.relative_to(PAGES)}" for file in sorted(PAGES.glob("*/*.*"))]
        assert len(files) > 40
        for path in ("/", "/call/tea", "/verify", "/view/room", "/pages/viewer/lenticular.frag", *files):
            answer = await http.get(path)
            assert answer.status_code == 200
            assert answer.headers["cross-origin-opener-policy"] == "same-origin"
            assert answer.headers["x-content-type-options"] == "nosniff"
            policy = answer.headers["content-security-policy"]
            if path == "/view/room":  # Looking Glass Bridge on the viewer's own PC
                assert f"connect-src 'self' {ADDRESS};" in policy
                policy = policy.replace(ADDRESS, "")
            assert "default-src 'none'" in policy
            assert "http" not in policy
            assert "unsafe" not in policy


async def test_a_cold_server_says_so(tmp_path):
    async with client(tmp_path) as http:
        for method, path in (("GET", "/readyz"), ("GET", "/api/avatars"), ("GET", "/api/channels/room")):
            answer = await http.request(method, path)
            assert answer.status_code == 503, path
            assert kind(answer) == "warming-up"
        answer = await http.post("/whip/room", content="v=0", headers={"Content-Type": "application/sdp"})
        assert kind(answer) == "warming-up"
        assert (await http.get("/healthz")).json() == {"status": "alive"}


async def test_what_is_not_there_is_a_problem_too(tmp_path):
    async with client(tmp_path) as http:
        assert kind(await http.get("/nowhere")) == "not-found"
        assert kind(await http.put("/healthz")) == "method-not-allowed"


@pytest.mark.parametrize(
    ("path", "status", "root"), [("/nowhere", 404, "./"), ("/a/b%2Fc/", 404, "../../"), ("/view/no%20name", 400, "../")]
)
async def test_a_browser_that_opens_what_is_not_there_is_shown_a_page_that_leads_to_the_start(
    tmp_path, path, status, root
):
    async with client(tmp_path) as http:
        answer = await http.get(path, headers={"Accept": BROWSERS})
        assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
        assert f'href="{root}"' in answer.text
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"


async def test_programs_routes_answer_browsers_as_they_answer_programs(tmp_path):
    async with client(tmp_path) as http:
        assert kind(await http.get("/api/nowhere", headers={"Accept": BROWSERS})) == "not-found"


async def test_a_screen_too_large_to_send_is_said_at_readyz(tmp_path):
    app = create_app(settings_for(tmp_path, screen="8k"), painted_services)
    async with app.router.lifespan_context(app):
        await app.state.warming
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://localhost", timeout=60
        ) as http:
            answer = await http.get("/readyz")
    assert kind(answer) == "cannot-start"
    assert "smaller screen" in answer.json()["detail"]


async def test_slow_files_of_one_client_keep_no_place_from_others(tmp_path):
    settings = settings_for(tmp_path, host="0.0.0.0", token=TOKEN, min_free_bytes=0)
    proxied, go_on = create_app(settings), asyncio.Event()
    at = {ip: httpx.ASGITransport(proxied, client=(ip, 1)) for ip in ("192.0.2.1", "192.0.2.2")}

    async def file(slow: bool) -> AsyncIterator[bytes]:
        yield b"a file"
        if slow:
            await go_on.wait()

    async def verified(ip: str, slow: bool) -> httpx.Response:
        async with httpx.AsyncClient(transport=at[ip], base_url="http://telequilt.example", timeout=60) as http:
            headers = {"Authorization": f"Bearer {TOKEN}"}
            return await http.post("/api/verify", content=file(slow), headers=headers, timeout=60)

    slow = [asyncio.create_task(verified("192.0.2.1", True)) for _ in range(2)]
    while len(list(settings.provenance_dir.glob(".looked-into-*"))) < 2:
        await asyncio.sleep(0.01)
    third = await verified("192.0.2.1", False)
    assert (third.status_code, kind(third)) == (503, "too-many-files")
    assert (await verified("192.0.2.2", False)).json()["finding"] == "unreadable"
    go_on.set()
    assert [(await one).status_code for one in slow] == [200, 200]
    assert (await verified("192.0.2.1", False)).status_code == 200
