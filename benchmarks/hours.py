"""Hours: three callers who come and go, a viewer each. How old pictures are and what the server holds must stay as they are.

    python -m benchmarks.hours                                      60 minutes
    python -m benchmarks.hours --minutes 12 --stand-in --rate 5     on a machine that others use

Callers stay for 40 to 90 seconds and are away for 2 to 6; every second time they and their viewers vanish without a word. Server in
a process of its own, peers (aiortc) in this one. Fails where memory grows beyond noise and by more than 5 %, pictures become older
beyond noise and by more than 20 ms, or threads, tasks, handles or sockets are not back to where they were.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import httpx
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.glass_to_glass import PUPPET_FRAMES
from benchmarks.lib.harness import RESULTS, write
from benchmarks.lib.trend import Trend, trend
from benchmarks.live import server_process
from benchmarks.live.regulars import UNHEARD, Regular, holdings, settled

CALLERS = ("ana", "bo", "cy")
STAYS, AWAY = (40.0, 90.0), (2.0, 6.0)
LOOK_EVERY = 5.0
LOADING = 2.0
"Minutes that are not looked at: all is loaded, and caches fill."
MOST_MEMORY, MOST_AGE = 0.05, 20.0
"Share, and milliseconds, by which memory and age may rise over the whole run, where that is more than noise."
Row = dict[str, float]


class Run:
    """Callers, and what is seen of the server meanwhile."""

    def __init__(self, base: str, pictures: list[np.ndarray], rate: float, console: Console) -> None:
        self.regulars = [Regular(base, name, pictures, rate) for name in CALLERS]
        self.samples: list[dict[str, float]] = []
        self.stays = self.abrupt = 0
        self.failed: list[str] = []
        self._base, self._console = base, console

    async def run(self, minutes: float) -> dict[str, Any]:
        """Everybody once, then for so many minutes; what was held before and after."""
        limits = httpx.Limits(max_keepalive_connections=0)  # an idle connection would count as a handle
        async with httpx.AsyncClient(base_url=self._base, timeout=60, trust_env=False, limits=limits) as http:
            await asyncio.gather(*(one.stay(8.0, abrupt=number == 0) for number, one in enumerate(self.regulars)))
            await asyncio.sleep(UNHEARD)
            before = await holdings(http, collect=True)
            self.begun = time.monotonic()
            looking = asyncio.create_task(self._look(http, minutes))
            until = self.begun + 60 * minutes
            await asyncio.gather(*(self._come_and_go(one, n, until) for n, one in enumerate(self.regulars)))
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
            return {"before": before, "after": await settled(http, before)}

    async def _come_and_go(self, regular: Regular, number: int, until: float) -> None:
        luck = random.Random(number)
        while (left := until - time.monotonic()) > 0:
            abrupt = self.stays % 2 == 1
            self.stays += 1
            self.abrupt += abrupt
            try:
                await regular.stay(min(luck.uniform(*STAYS), left), abrupt)
            except Exception as failure:
                self.failed.append(f"{regular.channel} at {time.monotonic() - self.begun:.0f} s: {failure!r}")
            await asyncio.sleep(luck.uniform(*AWAY))

    async def _look(self, http: httpx.AsyncClient, minutes: float) -> None:
        trimmed = time.monotonic() - 30
        while True:
            await asyncio.sleep(LOOK_EVERY)
            held = await holdings(http)
            now = time.monotonic()
            if now - trimmed >= 54:  # the allocator's arenas fill for half an hour
                trimmed, held["held_mib"] = now, (await holdings(http, trim=True))["rss_mib"]
            self.samples.append(
                {"at_s": round(now - self.begun, 1), "there": sum(one.there for one in self.regulars), **held}
            )
            ages = [1e3 * age for one in self.regulars for at, age in one.seen if at > now - LOOK_EVERY]
            middle = f"{np.median(ages):.0f} ms old" if ages else "no pictures"
            self._console.print(
                f"{self.samples[-1]['at_s'] / 60:5.1f} of {minutes:g} min: {self.samples[-1]['there']:.0f} live, {middle}, "
                f"{held['rss_mib']:.0f} MiB, {held['threads']:.0f} threads, {held['handles']:.0f} handles",
                end="\r",
                highlight=False,
            )

    def by_minute(self) -> list[Row]:
        """Medians of each whole minute."""
        seen = [(at - self.begun, 1e3 * age) for one in self.regulars for at, age in one.seen]
        at, ages = (np.array(one) for one in zip(*seen, strict=True))
        looked = np.array([one["at_s"] for one in self.samples])
        rows = []
        for minute in range(int(looked[-1] // 60)):
            within = ages[(at >= 60 * minute) & (at < 60 * minute + 60)]
            held = [self.samples[n] for n in np.flatnonzero((looked >= 60 * minute) & (looked < 60 * minute + 60))]
            if len(within) and held:
                names = ("there", "rss_mib", "threads", "tasks", "handles", "sockets")
                rows.append(
                    {"minute": minute + 1, "fps_each": round(len(within) / 60 / len(self.regulars), 2)}
                    | {f"age_p{of}_ms": round(float(np.percentile(within, of)), 1) for of in (50, 95)}
                    | {name: float(np.median([one[name] for one in held])) for name in names}
                    | {"held_mib": next((one["held_mib"] for one in held if "held_mib" in one), float("nan"))}
                )
        return rows


def trends(rows: list[Row]) -> dict[str, Trend]:
    """Of memory (`held_mib`: without what the allocator keeps) and age, once all is loaded."""
    late = [row for row in rows if row["minute"] > LOADING and np.isfinite(row["held_mib"])]
    if len(late) < 3:
        return {}
    return {
        name: trend([60 * row["minute"] for row in late], [row[name] for row in late])
        for name in ("held_mib", "age_p50_ms")
    }


def found(rows: list[Row], slopes: dict[str, Trend], held: dict[str, Any]) -> list[str]:
    """What is not as it has to be, in words."""
    before, after = held["before"], held["after"]
    wrong = [
        f"{name}: {before[name]:g} before, {after[name]:g} after"
        for name in ("threads", "tasks", "handles", "sockets")
        if after[name] > before[name]
    ]
    limits = (
        {"held_mib": MOST_MEMORY * float(np.nanmedian([row["held_mib"] for row in rows])), "age_p50_ms": MOST_AGE}
        if rows
        else {}
    )
    return wrong + [
        f"{name} grows by {one.per_hour:g} an hour (noise {one.noise:g})"
        for name, one in slopes.items()
        if one.grows and one.over_all > limits[name]
    ]


def main(
    minutes: Annotated[float, typer.Option(min=1, help="How long callers come and go.")] = 60.0,
    rate: Annotated[float, typer.Option(help="Each camera's frames a second.")] = 10.0,
    stand_in: Annotated[
        bool, typer.Option(help="An engine that costs nothing, for a machine that others use.")
    ] = False,
    port: Annotated[int, typer.Option(help="Where the server listens meanwhile; 0: anywhere.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for the JSON.")] = RESULTS,
) -> None:
    """Have three callers come and go; show age, memory, threads, tasks, handles and sockets minute by minute, and their slopes."""
    from pipeline.puppet import Puppet

    console = Console()
    with console.status("drawing what the cameras see"):
        pictures = [frame.pixels for frame in islice(Puppet().frames(), PUPPET_FRAMES)]
    port = port or server_process.free_port()
    command = [sys.executable, "-m", "benchmarks.live.witnessed_server", f"--port={port}", "--adapt"]
    with server_process.running([*command, *(["--stand-in"] if stand_in else [])], port):
        run = Run(f"http://127.0.0.1:{port}", pictures, rate, console)
        held = asyncio.run(run.run(minutes))
    rows = run.by_minute()
    slopes = trends(rows)
    table = Table(title=f"three callers, {run.stays} stays, {run.abrupt} of them abrupt; medians of minutes")
    for heading in rows[0]:
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(*(f"{value:g}" for value in row.values()))
    console.print()
    console.print(table)
    for name, one in slopes.items():
        console.print(f"{name}: {one.per_hour:+g} an hour, noise {one.noise:g}; over the run {one.over_all:+.2f}")
    for when in ("before", "after"):
        console.print(f"{when}: {', '.join(f'{value:g} {name}' for name, value in held[when].items())}")
    wrong = found(rows, slopes, held) + run.failed + [end for one in run.regulars for end in one.ended]
    facts = {"minutes": minutes, "camera_fps": rate, "stand_in": stand_in, "stays": run.stays, "abrupt": run.abrupt}
    told = {name: asdict(one) for name, one in slopes.items()}
    console.print(write("hours", facts | held | {"trends": told, "wrong": wrong, "by_minute": rows}, out))
    if wrong:
        raise SystemExit("; ".join(wrong))


if __name__ == "__main__":
    typer.run(main)
