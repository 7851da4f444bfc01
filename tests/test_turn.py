"""TURN: server and viewers who meet nowhere but at a real coturn, each with credentials of its own; and what is said where it refuses."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect, sync_playwright

from server.commands import doctor
from server.settings import Settings
from server.webrtc import peers, relays
from server.webrtc.gathering import TURN_REFUSES
from server.webrtc.patches.ice import gathering
from server.webrtc.peers import useless_servers
from tests import apart
from tests.apart import MIDDLE_OF_A, SECRET, SERVER, TOKEN, Apart
from tests.browsing import FLAGS, PLENTY, chromium
from tests.live import SDP, serving, settings_for
from tests.test_whip import offered

RELAY = f"turn:{MIDDLE_OF_A}"
CONFIGURED = "stun:stun.example,turn:turn.example?transport=tcp"


@pytest.fixture(scope="module")
def parted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apart]:
    """Server and viewers apart, coturn between them."""
    apart.skip_where_impossible()
    with apart.namespaces() as parted, apart.coturn(parted, tmp_path_factory.mktemp("coturn")) as certificate:
        parted.certificate = certificate
        yield parted


def settings_with(folder: Path, port: int, secret: str) -> Settings:
    known: dict[str, Any] = {"token": TOKEN, "ice_servers": RELAY, "turn_secret": secret}
    return Settings(data_dir=folder, host=SERVER, port=port, **known)


@pytest.fixture(scope="module")
def server(parted: Apart, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its address for viewers."""
    with apart.turned(parted, settings_with(tmp_path_factory.mktemp("data"), 8000, SECRET)) as server:
        yield server


@pytest.mark.parametrize("way", ["turn:{}?transport=udp", "turn:{}?transport=tcp", "turns:{}?transport=tcp"])
def test_server_and_viewer_meet_at_the_relay_alone(parted, server, way, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(parted.certificate))

    async def watch() -> None:
        async with apart.watching(server, way.format(MIDDLE_OF_A)) as (viewer, _):
            await viewer.seen(10, 60)
            assert apart.candidates(viewer) == {"host", "relay"}

    before = dict(gathering.turn_failures)  # the process counts; other tests' servers fail on purpose
    parted.run("b", watch)
    assert gathering.turn_failures == before


@pytest.mark.browser
def test_a_browser_learns_the_relay_before_it_gathers(parted, server, tmp_path):
    browser = tmp_path / "chromium"
    browser.write_text(f'#!/bin/sh\nexec {" ".join(parted.command("b", chromium()))} "$@"\n')
    browser.chmod(0o755)
    with sync_playwright() as playwright:
        visitor = playwright.chromium.launch(executable_path=browser, headless=True, args=FLAGS)
        page = visitor.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.method) if "/whep/" in request.url else None)
        page.goto(f"{server}/view/room#token={TOKEN}")
        expect(page.locator("#stage")).to_have_attribute("data-state", "live", timeout=PLENTY)
        assert asked == ["OPTIONS", "POST"]
        visitor.close()


def test_a_secret_that_is_not_the_relays_is_told_by_log_metrics_and_doctor(parted, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gathering, "_silent", {})
    settings = settings_with(tmp_path, 8001, "another")

    async def watch() -> str:
        async with apart.watching(server, RELAY) as (viewer, http):
            assert apart.candidates(viewer) == {"host"}
            return (await http.get("/metrics")).text

    async def examine() -> dict[str, str]:
        return await useless_servers(settings.model_copy(update={"ice_servers": (RELAY, f"stun:{MIDDLE_OF_A}")}))

    with apart.turned(parted, settings) as server:
        told = parted.run("b", watch)
    assert 'telequilt_turn_failures_total{reason="refused"} 1.0' in told
    assert TURN_REFUSES in capsys.readouterr().out
    gathering._silent.clear()
    assert parted.run("a", examine) == {RELAY: "refuses the credential"}


def test_the_doctor_says_what_mends_a_refusal(tmp_path, monkeypatch):
    async def refused(settings: Settings) -> dict[str, str]:
        return {RELAY: "refuses the credential"}

    monkeypatch.setattr(peers, "useless_servers", refused)
    found = doctor._ice_servers(settings_with(tmp_path, 0, "another"))
    assert found is not None
    assert "static-auth-secret" in found.mend


def test_a_credential_is_what_coturn_computes_and_another_for_each_session(tmp_path):
    settings = settings_for(tmp_path, ice_servers=CONFIGURED, turn_secret=SECRET)
    (stun, one), (_, other) = (relays.ice_servers(settings, 1_000_000) for _ in range(2))
    assert one.username.startswith("1003600:")
    assert one.username != other.username
    signed = hmac.new(SECRET.encode(), one.username.encode(), hashlib.sha1)
    assert base64.b64decode(one.credential) == signed.digest()
    assert stun.link == '<stun:stun.example>; rel="ice-server"'
    assert one.link == (
        f'<turn:turn.example?transport=tcp>; rel="ice-server"; username="{one.username}"; '
        f'credential="{one.credential}"; credential-type="password"'
    )
    assert relays.ice_servers(settings, 0, "2")[1].username == "3600:2"


async def test_only_who_may_post_is_told_the_servers_and_asking_is_enough(tmp_path):
    settings = settings_for(
        tmp_path, token=TOKEN, ice_servers=CONFIGURED, turn_secret=SECRET, ice_for_clients_only=True
    )
    async with serving(settings) as (base, _), httpx.AsyncClient(base_url=base, timeout=30) as http:
        assert "link" not in (await http.options("/whep/room")).headers
        assert "link" not in (await http.options("/whep/room", headers={"Authorization": "Bearer wrong"})).headers
        known = {"Authorization": f"Bearer {TOKEN}"}
        told = await http.options("/whip/room", headers=known)
        assert "turn:turn.example?transport=tcp" in told.headers["link"]
        answer = await http.post("/whip/room", content=await offered("video"), headers=known | SDP)
        assert answer.status_code == 201
        assert answer.headers["link"] != told.headers["link"]


async def test_media_come_in_at_the_ports_that_are_configured_and_where_none_is_left_that_is_said(tmp_path):
    settings = settings_for(tmp_path, udp_ports="47120-47121", max_channels=9)
    async with serving(settings) as (base, _), httpx.AsyncClient(base_url=base, timeout=30) as http:
        sdp, ports = await offered("video"), []
        for name in ("one", "two", "three"):
            answer = await http.post(f"/whip/{name}", content=sdp, headers=SDP)
            assert answer.status_code == 201
            ports.append({int(line.split()[5]) for line in answer.text.splitlines() if line.startswith("a=candidate")})
        assert ports[0] | ports[1] == {47120, 47121}
        assert not ports[2]
