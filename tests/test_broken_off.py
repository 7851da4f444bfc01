"""Clients that go at each step of coming in leave nothing behind, and are told what they are told in words."""

from __future__ import annotations

import asyncio
import random
import threading
from pathlib import Path

import httpx
import pytest

from benchmarks import chaos, churn
from benchmarks.live.broken_off import KINDS, Visitor
from benchmarks.live.witnessed_server import POOLS
from tests.live import serving, settings_for, until
from tests.test_soak import filled, holdings, settled

TOGETHER = sorted(set(KINDS) - {"polite"})


@pytest.mark.timeout(120)
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open handles by Linux's /proc")
async def test_whoever_breaks_off_at_whichever_step_leaves_nothing_open(tmp_path: Path):
    async with serving(settings_for(tmp_path, max_channels=32, connect_seconds=4)) as (base, app):
        limits = httpx.Limits(max_keepalive_connections=0)
        async with httpx.AsyncClient(base_url=base, timeout=30, limits=limits) as http:

            async def one(kind: str, channel: str) -> list[int]:
                visitor = Visitor(http, channel, random.Random(1))
                await KINDS[kind](visitor)
                return visitor.answered

            await one("polite", "first")
            await filled()
            await until(lambda: not app.state.lobby.channels)
            await asyncio.sleep(0.5)
            pools = lambda: sum(one.name.startswith(POOLS) for one in threading.enumerate())  # noqa: E731
            before, idle = holdings(), pools()
            told = await asyncio.gather(*(one(kind, kind) for kind in TOGETHER))
            assert {status for statuses in told for status in statuses} <= {201, 204, *churn.REFUSED}
            await until(lambda: not app.state.lobby.channels)
            await settled(before | {"threads": before["threads"] - idle + pools()})


def test_the_order_of_those_who_come_is_the_seeds():
    kinds = churn.order(500, 1)
    assert kinds == churn.order(500, 1) != churn.order(500, 2)
    assert set(kinds) == set(KINDS)
    assert kinds.count("polite") == 200


def test_what_is_left_or_unexplained_is_told():
    held = {"rss_mib": 700.0, "threads": 20.0, "handles": 10.0}
    run = {
        "before": held,
        "after": held | {"rss_mib": 730.0},
        "answered": {"polite": {201: 5, 503: 1}},
        "left": [],
        "untrimmed_mib": [800.0, 820.0],
        "failed": [],
    }
    assert churn.found(run) == []
    spoiled = run | {
        "after": held | {"rss_mib": 740.0, "threads": 21.0},
        "answered": {"polite": {500: 2}},
        "failed": ["x"],
    }
    assert churn.found(spoiled) == [
        "rss_mib: 700 before, 740 after",
        "threads: 20 before, 21 after",
        "polite was answered 500, 2 times",
        "x",
    ]


def test_a_refusal_is_explained_or_is_not():
    def answer(status: int, told: object = None, **headers: str) -> httpx.Response:
        kind = {"content-type": "application/problem+json"} if told is not None else {}
        return (
            httpx.Response(status, json=told, headers=kind | headers)
            if told is not None
            else httpx.Response(status, headers=headers)
        )

    words = {"type": "urn:telequilt:problem:not-live", "detail": "nobody is live there"}
    assert chaos._explained(answer(404, words))
    assert not chaos._explained(answer(404, {"type": "urn:x"}))
    assert not chaos._explained(answer(404))
    assert not chaos._explained(answer(429, words))
    assert chaos._explained(answer(429, words, **{"retry-after": "2"}))
    assert chaos._explained(answer(503, **{"retry-after": "2"})), "a connection that is turned away"


def test_errors_are_found_in_a_log():
    lines = ["2026-01-01 [info     ] fine error=ValueError", "2026-01-01 [error    ] a failed b"]
    log = "\n".join([*lines, "Traceback (most recent call last):", "ValueError: x"])
    assert chaos.tracebacks(log) == [
        "in the log: 2026-01-01 [error    ] a failed b (x1)",
        "in the log: ValueError: x (x1)",
    ]
    assert chaos.tracebacks("2026-01-01 [warning  ] careful\n") == []
