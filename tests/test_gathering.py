"""STUN and TURN servers that do not answer: nobody waits for them twice, and the operator is told which."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aioice.stun
import httpx
import pytest

from server.commands.doctor import Health, _ice_servers
from server.webrtc import gathering
from server.webrtc.gathering import SILENT_FOR, STUN_SILENT, Gathering
from tests.live import SDP, serving, settings_for
from tests.test_whip import offered

SERVER = ("stun.example", 3478)


class Stun(asyncio.DatagramProtocol):
    """A STUN server that says what it sees, or, if it is not to speak, nothing."""

    def __init__(self, speaks: bool) -> None:
        self.speaks, self.asked = speaks, 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.asked += 1
        if self.speaks:
            asked = aioice.stun.parse_message(data)
            answer = aioice.stun.Message(asked.message_method, aioice.stun.Class.RESPONSE, asked.transaction_id)
            answer.attributes["XOR-MAPPED-ADDRESS"] = ("192.0.2.99", addr[1])
            self.transport.sendto(bytes(answer), addr)


@asynccontextmanager
async def stun(speaks: bool) -> AsyncIterator[tuple[str, Stun]]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(lambda: Stun(speaks), local_addr=("127.0.0.1", 0))
    yield "stun:127.0.0.1:{}".format(transport.get_extra_info("sockname")[1]), server
    transport.close()


async def test_an_answer_waits_once_for_a_server_that_is_silent_and_then_no_more(tmp_path, capsys):
    async with stun(speaks=False) as (url, server), stun(speaks=False) as (turn, _):
        settings = settings_for(tmp_path, ice_servers=f"{url},{turn.replace('stun', 'turn')}", turn_secret="s")
        async with serving(settings) as (base, app), httpx.AsyncClient(base_url=base, timeout=30) as http:
            asked, sdp = [], await offered("video")
            begun = time.monotonic()
            for name in ("first", "second", "third"):
                answer = await http.post(f"/whip/{name}", content=sdp, headers=SDP)
                asked.append(server.asked)
                assert answer.status_code == 201
                assert "a=candidate" in answer.text
            assert time.monotonic() - begun >= gathering.PATIENCE
            assert f"nothing within {gathering.PATIENCE:g} s" in capsys.readouterr().out, (
                "by our patience, not aioice's"
            )
            assert 0 < asked[0] == asked[2], "the first waited for it; it was not asked again"
            assert len(app.state.lobby.channels) == 3


async def test_an_address_that_a_server_saw_is_in_the_answer(tmp_path, monkeypatch):
    monkeypatch.setattr(gathering, "PATIENCE", 60.0)
    async with stun(speaks=True) as (url, _):
        settings = settings_for(tmp_path, ice_servers=url)
        async with serving(settings) as (base, _), httpx.AsyncClient(base_url=base, timeout=30) as http:
            answer = await http.post("/whip/one", content=await offered("video"), headers=SDP)
            assert "192.0.2.99" in answer.text
            assert "typ srflx" in answer.text


@pytest.mark.parametrize("speaks", [True, False])
async def test_the_doctor_asks_them(tmp_path, speaks, monkeypatch):
    monkeypatch.setattr(gathering, "PATIENCE", 60.0 if speaks else 0.5)
    async with stun(speaks) as (url, _):
        found = await asyncio.to_thread(_ice_servers, settings_for(tmp_path, ice_servers=url))
        assert found is not None
        assert found.health is (Health.FINE if speaks else Health.SLOWER)
        assert url in found.detail
    assert _ice_servers(settings_for(tmp_path)) is None


async def test_a_silent_server_is_asked_again_after_a_while_and_each_way_to_it_counts_for_itself(monkeypatch):
    monkeypatch.setattr(gathering, "PATIENCE", 0.05)
    now, asked = 0.0, []
    asking = Gathering(now=lambda: now)

    async def silent() -> None:
        asked.append(now)
        await asyncio.sleep(10)

    async def refusing() -> None:
        raise OSError("unreachable")

    async def speaking() -> str:
        return "an address"

    for _ in range(3):
        with pytest.raises(ConnectionError):
            await asking.ask(silent, SERVER, "192.0.2.1", STUN_SILENT)
    assert asked == [0.0]
    assert await asking.ask(speaking, SERVER, "192.0.2.2", STUN_SILENT) == "an address"
    with pytest.raises(ConnectionError, match="unreachable"):
        await asking.ask(refusing, SERVER, "192.0.2.3", STUN_SILENT)
    now = SILENT_FOR + 1
    assert await asking.ask(speaking, SERVER, "192.0.2.1", STUN_SILENT) == "an address"
    assert asking.told.counts == {STUN_SILENT: 2}
