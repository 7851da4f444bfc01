"""Chaos: for ten minutes all that may happen to a server happens to it at random, beside two callers who have done nothing.

    python -m benchmarks.chaos                        ten minutes, seed 1
    python -m benchmarks.chaos --minutes 2 --seed 7

By a seed: clients that break off at each step of coming in, callers over bad networks, noise and STUN floods at media ports, broken
offers and requests, slow ones, recordings; and from inside: face tracking that raises, a clock an hour off, a full disk, an event loop
that stands still. What must hold: the two are never ended, and never without a picture for longer than PAUSE; every refusal is a problem
in words (RFC 9457), with Retry-After where one may come again, and none is a 500; the log has no traceback; afterwards the server holds
what it held before. Server (real but for an engine that costs nothing) in a process of its own.
"""

from __future__ import annotations

import asyncio
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import httpx
import numpy as np
import psutil
import typer
from rich.console import Console

from benchmarks.glass_to_glass import PUPPET_FRAMES
from benchmarks.lib.harness import RESULTS, show, write
from benchmarks.live import broken_off, faults, server_process, unkind
from benchmarks.live.broken_off import Visitor
from benchmarks.live.distance import Distance, away
from benchmarks.live.network import Conditions, Way
from benchmarks.live.regulars import UNHEARD, Regular, holdings, settled
from benchmarks.live.unkind import Stranger

INNOCENT = ("ana", "bo")
PAUSE = 3.0
"Seconds without a picture at most, beyond what this process itself stood still: a fault inside and a keyframe that has to come."
AT_ONCE = 6
"Unkind clients."
AT_FIRST = 3
"Of each kind before anything is measured."
EVERY = (0.1, 1.0)
"Seconds between two of them."
WEIGHED = 20.0
"Seconds between two looks at memory."
MOST_MEMORY = 0.05
VARIABLES = {"TELEQUILT_MAX_CHANNELS": "16", "TELEQUILT_CONNECT_SECONDS": "3"}
MAY_COME_AGAIN = (429, 503)
BAD = [
    Conditions(loss=0.15),
    Conditions(bits=1e6),
    Conditions(jitter=0.05),
    Conditions(jitter=0.02, overtaken=0.2),
    Conditions(loss=1.0),
    Conditions(mtu=1280),
]


class Chaos:
    """All who are unkind, by one seed; and what was seen of it."""

    def __init__(self, base: str, server: psutil.Process, pictures: list[np.ndarray], seed: int) -> None:
        self.innocent = [Regular(base, name, pictures, 10) for name in INNOCENT]
        self.happened: Counter[str] = Counter()
        self.answers: Counter[int] = Counter()
        self.wrong: list[str] = []
        self._base, self._server, self._pictures, self._luck = base, server, pictures, random.Random(seed)
        self._number = 0
        self.paused_at: dict[str, int] = {}
        "Innocent -> seconds from the beginning to its longest pause."
        self.memory: list[tuple[int, float]] = []
        "Seconds, and what the server held then, MiB."
        self.stood_still = 0.0
        "Seconds, at most, for which this process, all clients, had no processor: no fault of the server's."

    async def run(self, seconds: float, told: Callable[[str], None]) -> dict[str, Any]:
        limits = httpx.Limits(max_keepalive_connections=0)
        hooks: dict[str, Any] = {"response": [self._answered]}
        async with (
            httpx.AsyncClient(
                base_url=self._base, timeout=60, trust_env=False, limits=limits, event_hooks=hooks
            ) as http,
            away(self._base) as distance,
        ):
            await asyncio.gather(*(one.stay(8.0) for one in self.innocent), self._filmed_once(http))
            await self._all_at_first(http, distance)
            before, threads = await holdings(http, collect=True), await _threads(http)
            pauses = await self._at_once(http, distance, seconds, told)
            after = await settled(http, before, 60)
            more = await _threads(http) - threads
        self._judge(before, after, pauses)
        self.wrong += [f"a thread more: {name}" for name in more]
        return {
            "before": before,
            "after": after,
            "memory_mib": self.memory,
            "pauses_s": pauses,
            "paused_at_s": self.paused_at,
            "we_stood_still_s": round(self.stood_still, 2),
        }

    async def _at_once(
        self, http: httpx.AsyncClient, distance: Distance, seconds: float, told: Callable[[str], None]
    ) -> dict[str, float]:
        """All that happens, beside the innocent; for how long each of them had no picture at most."""
        begun = time.monotonic()
        looking = asyncio.create_task(self._beat()), asyncio.create_task(self._weighed(http, begun))
        staying = [asyncio.create_task(one.stay(seconds + 60)) for one in self.innocent]
        await self._there(staying)
        await asyncio.gather(self._outside(http, distance, begun + seconds, told), self._inside(http, begun + seconds))
        over = time.monotonic()
        pauses = {one.channel: self._pause(one, over) for one in self.innocent}
        self.paused_at = {one.channel: round(self._paused(one, over) - begun) for one in self.innocent}
        self.wrong += [f"an innocent caller ended: {task.exception()!r}" for task in staying if task.done()]
        for task in (*looking, *staying):
            task.cancel()
        await asyncio.gather(*looking, *staying, return_exceptions=True)
        await asyncio.sleep(UNHEARD)
        return pauses

    def _judge(self, before: dict[str, float], after: dict[str, float], pauses: dict[str, float]) -> None:
        most = PAUSE + self.stood_still
        self.wrong += [end for one in self.innocent for end in one.ended]
        self.wrong += [f"{name} had no picture for {pause} s" for name, pause in pauses.items() if pause > most]
        self.wrong += [
            f"{name}: {before[name]:g} before, {after[name]:g} after"
            for name in before
            if after[name] > _most(name, before)
        ]

    def kinds(self, http: httpx.AsyncClient, distance: Distance) -> dict[str, Callable[[], Awaitable[None]]]:
        """What may happen from outside, by name."""
        all_kinds: dict[str, Callable[[], Awaitable[None]]] = {}
        for name, breaks_off in broken_off.KINDS.items():
            all_kinds[name] = lambda made=breaks_off: made(self._visitor(http))
        for name, is_unkind in unkind.KINDS.items():
            all_kinds[name] = lambda made=is_unkind: made(Stranger(http, self._server, self._luck))
        all_kinds["bad_network"] = lambda: self._bad_network(distance)
        all_kinds["red"] = lambda: self._guest(red=True)
        return all_kinds

    async def _filmed_once(self, http: httpx.AsyncClient) -> None:
        async with asyncio.timeout(60):
            while not self.innocent[0].there:
                await asyncio.sleep(0.1)
        await unkind.films(Stranger(http, self._server, self._luck))

    async def _all_at_first(self, http: httpx.AsyncClient, distance: Distance) -> None:
        """All of them, as many at once as will be: what they need is loaded, and pools and the allocator's arenas are as large."""
        turn = asyncio.Semaphore(AT_ONCE)

        async def one(name: str, make: Callable[[], Awaitable[None]]) -> None:
            async with turn:
                await self._one(name, make)

        kinds = list(self.kinds(http, distance).items()) * AT_FIRST
        self._luck.shuffle(kinds)
        await asyncio.gather(*(one(name, make) for name, make in kinds))
        await asyncio.sleep(UNHEARD + 4)

    async def _outside(
        self, http: httpx.AsyncClient, distance: Distance, until: float, told: Callable[[str], None]
    ) -> None:
        kinds, under_way = self.kinds(http, distance), set[asyncio.Task[None]]()
        while (now := time.monotonic()) < until:
            if len(under_way) < AT_ONCE:
                name = self._luck.choice(list(kinds))
                task = asyncio.create_task(self._one(name, kinds[name]))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
            told(f"{until - now:.0f} s left, {self.happened.total()} happened, {len(self.wrong)} went wrong")
            await asyncio.sleep(self._luck.uniform(*EVERY))
        await asyncio.gather(*under_way)

    async def _inside(self, http: httpx.AsyncClient, until: float) -> None:
        luck = random.Random(self._luck.random())
        while time.monotonic() < until:
            await asyncio.sleep(luck.uniform(2, 6))
            name = luck.choice(list(faults.FAULTS))
            self.happened[name] += 1
            await http.get("/witness/faults", params={"name": name, "seconds": luck.uniform(0.5, 4)})

    async def _one(self, name: str, make: Callable[[], Awaitable[None]]) -> None:
        self.happened[name] += 1
        try:
            async with asyncio.timeout(60):
                await make()
        except Exception as failure:
            self.wrong.append(f"{name}: {failure!r}")

    def _visitor(self, http: httpx.AsyncClient) -> Visitor:
        self._number += 1
        return Visitor(http, f"guest{self._number}", random.Random(self._luck.random()))

    async def _bad_network(self, distance: Distance) -> None:
        distance.up, distance.down = (Way(self._luck.choice(BAD), self._luck.randrange(1000)) for _ in range(2))
        await self._guest(distance.address)

    async def _guest(self, address: str = "", red: bool = False) -> None:
        """Somebody who stays for a while, perhaps far away, and leaves or vanishes; whether it comes in is another matter."""
        self._number += 1
        pictures = [np.full((240, 320, 3), faults.RED, np.uint8)] if red else self._pictures
        guest = Regular(address or self._base, f"guest{self._number}", pictures, 10)
        try:
            await guest.stay(self._luck.uniform(1, 6), abrupt=self._luck.random() < 0.5)
        except Exception as failure:
            self.happened[f"a guest did not come in: {type(failure).__name__}"] += 1

    async def _answered(self, answer: httpx.Response) -> None:
        self.answers[answer.status_code] += 1
        if answer.status_code < 400:
            return
        await answer.aread()
        asked = f"{answer.request.method} {answer.request.url.path}: {answer.status_code}"
        if answer.status_code == 500:
            self.wrong.append(f"{asked} {answer.text[:200]}")
        elif not _explained(answer):
            self.wrong.append(f"{asked} without a reason: {answer.text[:200]!r}")

    async def _there(self, staying: list[asyncio.Task[None]]) -> None:
        async with asyncio.timeout(60):
            while not all(one.there for one in self.innocent):
                for task in staying:
                    if task.done():
                        task.result()
                await asyncio.sleep(0.05)
        for one in self.innocent:
            one.seen.clear()

    async def _beat(self) -> None:
        while True:
            begun = time.monotonic()
            await asyncio.sleep(0.05)
            self.stood_still = max(self.stood_still, time.monotonic() - begun - 0.05)

    async def _weighed(self, http: httpx.AsyncClient, begun: float) -> None:
        while True:
            await asyncio.sleep(WEIGHED)
            with suppress(httpx.HTTPError):
                held = await holdings(http, trim=True)
                self.memory.append((round(time.monotonic() - begun), held["rss_mib"]))

    def _paused(self, one: Regular, over: float) -> float:
        """When its longest pause began."""
        at = [when for when, _ in one.seen] or [over]
        return at[int(np.diff(np.array([*at, over])).argmax())]

    def _pause(self, one: Regular, over: float) -> float:
        at = [when for when, _ in one.seen]
        return round(float(np.diff(np.array([*at, over])).max()), 2) if at else float("inf")


async def _threads(http: httpx.AsyncClient) -> Counter[str]:
    return Counter((await http.get("/witness/threads")).json())


def _explained(answer: httpx.Response) -> bool:
    """Whether a refusal says what it is, and when to come again where that helps."""
    if answer.status_code in MAY_COME_AGAIN and "retry-after" not in answer.headers:
        return False
    if answer.headers.get("content-type", "").startswith("application/problem+json"):
        told = answer.json()
        return bool(told.get("type")) and bool(told.get("detail"))
    return answer.status_code == 503 and not answer.content  # connections are turned away before there is a request


def _most(name: str, before: dict[str, float]) -> float:
    return before[name] * (1 + MOST_MEMORY) if name == "rss_mib" else before[name]


def tracebacks(log: str) -> list[str]:
    """What the log has of errors that we did not make ourselves, by the line that says which."""
    lines = re.findall(r"(?m)^(?:.*\[(?:error|critical) .*|(?:\w+\.)*\w*(?:Error|Exception)\b.*)$", log)
    found = Counter(line for line in lines if faults.FAILS not in line)
    return [f"in the log: {line[:200]} (x{count})" for line, count in found.items()]


def main(
    minutes: Annotated[float, typer.Option(min=0.2, help="How long.")] = 10.0,
    seed: Annotated[int, typer.Option(help="Of what happens, and when.")] = 1,
    port: Annotated[int, typer.Option(help="Where the server listens meanwhile; 0: anywhere.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for the JSON.")] = RESULTS,
) -> None:
    """Let all that may happen to a server happen to it at random; fail where what must hold does not."""
    from pipeline.puppet import Puppet

    console = Console()
    pictures = [frame.pixels for frame in islice(Puppet().frames(), PUPPET_FRAMES)]
    port = port or server_process.free_port()
    command = [sys.executable, "-m", "benchmarks.live.witnessed_server", f"--port={port}", "--stand-in"]
    with TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with server_process.running(command, port, VARIABLES, log) as server, console.status("loading") as status:
            chaos = Chaos(f"http://127.0.0.1:{port}", server, pictures, seed)
            run = asyncio.run(chaos.run(60 * minutes, status.update))
        wrong = [*chaos.wrong, *tracebacks(log.read_text(errors="replace"))]
    show("what happened", ("what", "how often"), sorted(chaos.happened.items()))
    show("answers", ("status", "how many"), sorted(chaos.answers.items()))
    rows = [(name, f"{value:g}", f"{run['after'][name]:g}") for name, value in run["before"].items()]
    pauses = ", ".join(f"{name} {pause:g} s" for name, pause in run["pauses_s"].items())
    show(
        f"no picture for at most: {pauses} (clients stood still for {run['we_stood_still_s']:g} s)",
        ("held", "before", "after"),
        rows,
    )
    facts = {"minutes": minutes, "seed": seed, "happened": dict(chaos.happened), "answers": dict(chaos.answers)}
    console.print(write("chaos", facts | run | {"wrong": wrong}, out))
    if wrong:
        raise SystemExit("\n".join(wrong[:30]))


if __name__ == "__main__":
    typer.run(main)
