"""Calls between people, over a real server, real sockets and real peers."""

from __future__ import annotations

from contextlib import AsyncExitStack

import httpx
import pytest

from tests.conversing import Call
from tests.live import Client, serving, settings_for, until


@pytest.fixture
async def http(tmp_path):
    async with serving(settings_for(tmp_path)) as (address, _), httpx.AsyncClient(base_url=address) as http:
        yield http


@pytest.fixture
async def call(http):
    made = await Call.make(http, title="Tea")
    yield made
    await made.close()


def member(http: httpx.AsyncClient, seat: dict) -> Client:
    """A peer with the seat's token."""
    return Client(httpx.AsyncClient(base_url=http.base_url, headers={"Authorization": f"Bearer {seat['token']}"}))


async def test_two_see_each_other(http, call):
    ana, hers = await call.join("Ana", "host")
    bo, his = await call.join("Bo")
    assert (await his.hears("welcome"))["seats"][0]["name"] == "Ana"
    assert (await hers.hears("seat", seat=bo["seat"], name="Bo"))["role"] == "member"
    async with AsyncExitStack() as stack:
        peers = {}
        for seat in (ana, bo):
            peers[seat["seat"]] = publisher = await stack.enter_async_context(member(http, seat))
            answer = await publisher.publish(seat["whip"].removeprefix("whip/"))
            assert answer.status_code == 201, answer.text
        await hers.hears("seat", seat=bo["seat"], publishing="live")
        await his.hears("seat", seat=ana["seat"], publishing="live")
        for seat, other in ((ana, bo), (bo, ana)):
            watcher = await stack.enter_async_context(member(http, seat))
            assert (await watcher.view(f"{call.name}.{seat['seat']}")).json()["type"].endswith("own-seat")
            watcher = await stack.enter_async_context(member(http, seat))
            answer = await watcher.view(f"{call.name}.{other['seat']}")
            assert answer.status_code == 201, answer.text
            await watcher.seen(3)
        snapshot = (await call.ask("GET")).json()
        assert [row["publishing"] for row in snapshot["seats"]] == ["live", "live"]
        assert (await call.ask("DELETE")).status_code == 204
        assert await hers.closed() == await his.closed() == 4410
        assert hers.told[-1]["why"] == "the host has ended it"
        await until(lambda: True)
    assert (await http.get(f"/api/channels/{call.name}.1")).status_code == 404
