"""Churn: many sessions, most of them broken off, at each step of coming in. Afterwards the server holds what it held before.

    python -m benchmarks.churn                     500 sessions
    python -m benchmarks.churn --sessions 60       fewer

Two in five come in and leave politely; the others go by turns (benchmarks/live/broken_off.py): half a request, no wait for the
answer, no packet ever, ICE that never completes, ICE alone, in the middle of DTLS, connected without a picture, gone without a word, a
viewer that reads nothing. Server (real but for an engine that costs nothing) in a process of its own. Fails where memory has grown by
5 % or anything is left.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.progress import Progress

from benchmarks.lib.harness import RESULTS, show, write
from benchmarks.live import broken_off, server_process
from benchmarks.live.broken_off import KINDS, Visitor
from benchmarks.live.regulars import holdings, settled

CHANNELS = 6
"Sessions at once, each at a channel of its own."
WARM_UP = 80
MOST_MEMORY = 0.05
VARIABLES = {"TELEQUILT_MAX_CHANNELS": "16", "TELEQUILT_CONNECT_SECONDS": "3"}
REFUSED = (404, 409, 429, 503)
"How a server may turn away who comes: in words, and with when to come again."


def order(sessions: int, seed: int) -> list[str]:
    """Which kind each session is."""
    others = [name for name in KINDS if name != "polite"]
    luck = random.Random(seed)
    kinds = ["polite" if n % 5 < 2 else others[n % len(others)] for n in range(sessions)]
    luck.shuffle(kinds)
    return kinds


async def come_and_go(
    base: str, kinds: list[str], seed: int, progress: Progress | None = None, what: str = "sessions"
) -> dict[str, Any]:
    """All of them; what was answered and what went wrong on our side, by kind."""
    waiting: asyncio.Queue[tuple[int, str]] = asyncio.Queue()
    for numbered in enumerate(kinds):
        waiting.put_nowait(numbered)
    answered: dict[str, Counter[int]] = {name: Counter() for name in kinds}
    failed: list[str] = []
    line = progress.add_task(what, total=len(kinds)) if progress else None
    limits = httpx.Limits(max_keepalive_connections=0)  # an idle connection would count as a handle

    async def one_by_one(channel: str) -> None:
        async with httpx.AsyncClient(base_url=base, timeout=30, trust_env=False, limits=limits) as http:
            while not waiting.empty():
                number, kind = waiting.get_nowait()
                visitor = Visitor(http, f"{channel}-{number}", random.Random(seed * 100_000 + number))
                try:
                    async with asyncio.timeout(60):
                        await KINDS[kind](visitor)
                except Exception as failure:
                    failed.append(f"{kind}: {failure!r}")
                answered[kind].update(visitor.answered)
                if progress and line is not None:
                    progress.advance(line)

    await asyncio.gather(*(one_by_one(f"churn{n}") for n in range(CHANNELS)))
    return {"answered": {kind: dict(told) for kind, told in answered.items()}, "failed": failed}


async def measured(base: str, sessions: int, seed: int) -> dict[str, Any]:
    """Some, so that pools and the allocator's arenas have what they will have; what is held then; all of them; what is held then."""
    limits = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=base, timeout=60, trust_env=False, limits=limits) as http:
        with Progress() as progress:
            await come_and_go(base, order(WARM_UP, seed + 1), seed + 1, progress, "sessions that warm it up")
        await asyncio.sleep(8)  # until those are noticed who are gone without a word
        untrimmed = [(await holdings(http))["rss_mib"]]
        before = await holdings(http, collect=True)
        begun = time.monotonic()
        with Progress() as progress:
            told = await come_and_go(base, order(sessions, seed), seed, progress)
        took = time.monotonic() - begun
        with Console().status("waiting until all are gone"):
            await asyncio.sleep(8)
            untrimmed.append((await holdings(http))["rss_mib"])
            after = await settled(http, before)
        live = (await http.get("/api/channels")).json()
        return told | {
            "before": before,
            "after": after,
            "untrimmed_mib": untrimmed,
            "seconds": round(took, 1),
            "left": live,
        }


def found(run: dict[str, Any]) -> list[str]:
    """What is not as it has to be, in words."""
    before, after = run["before"], run["after"]
    wrong = [
        f"{name}: {before[name]:g} before, {after[name]:g} after"
        for name in before
        if after[name] > _most(name, before)
    ]
    wrong += [
        f"{kind} was answered {status}, {count} times"
        for kind, told in run["answered"].items()
        for status, count in told.items()
        if status >= 400 and status not in REFUSED
    ]
    first, last = run["untrimmed_mib"]
    wrong += [f"with what the allocator keeps: {first:g} MiB before, {last:g} after"] * (
        last > first * (1 + MOST_MEMORY)
    )
    return wrong + [f"still live: {run['left']}"] * bool(run["left"]) + run["failed"]


def _most(name: str, before: dict[str, float]) -> float:
    return before[name] * (1 + MOST_MEMORY) if name == "rss_mib" else before[name]


def main(
    sessions: Annotated[int, typer.Option(min=1, help="How many come and go.")] = 500,
    seed: Annotated[int, typer.Option(help="Of their order, and of when they break off.")] = 1,
    port: Annotated[int, typer.Option(help="Where the server listens meanwhile; 0: anywhere.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for the JSON.")] = RESULTS,
) -> None:
    """Have sessions come and go, and look whether the server holds more than before."""
    port = port or server_process.free_port()
    command = [sys.executable, "-m", "benchmarks.live.witnessed_server", f"--port={port}", "--stand-in"]
    with server_process.running(command, port, VARIABLES):
        run = asyncio.run(measured(f"http://127.0.0.1:{port}", sessions, seed))
    rows = [(name, f"{value:g}", f"{run['after'][name]:g}") for name, value in run["before"].items()]
    rows += [("rss_mib with what the allocator keeps", *(f"{one:g}" for one in run["untrimmed_mib"]))]
    show(f"{sessions} sessions in {run['seconds']:g} s", ("held", "before", "after"), rows)
    kinds = Counter(order(sessions, seed))
    told = (
        (kind, kinds[kind], _in_words(run["answered"].get(kind, {})), getattr(broken_off, kind).__doc__)
        for kind in kinds
    )
    show("who came", ("kind", "how many", "answers", "what it does"), told)
    wrong = found(run)
    Console().print(
        write("churn", {"sessions": sessions, "seed": seed, "kinds": dict(kinds)} | run | {"wrong": wrong}, out)
    )
    if wrong:
        raise SystemExit("; ".join(wrong[:20]))


def _in_words(told: dict[int, int]) -> str:
    return ", ".join(f"{count} x {status}" for status, count in sorted(told.items())) or "-"


if __name__ == "__main__":
    typer.run(main)
