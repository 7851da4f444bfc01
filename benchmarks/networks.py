"""Networks: what loss, jitter, reordering, an outage, a bottleneck and a small MTU cost a live call, at either end of it.

    python -m benchmarks.networks                        all of it: about ten minutes
    python -m benchmarks.networks --only "1 Mbit/s" --end viewer

Each call runs without a fault, then for a while with one, then without again, and what it was before is what it is compared with. A relay
of datagrams in user space makes the faults by a seed (benchmarks/live/network.py). Server in a process of its own, caller, viewer (aiortc)
and relay in this one. The caller's camera has grain, and its encoder may use of the link what browsers' do, so that a bottleneck is one.
The columns that matter: for how long there was no picture at most while it was bad (after an outage: until the first one), how old pictures
were before, meanwhile and in the last seconds, and what the link was sent, before and then.
"""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import httpx
import numpy as np
import typer
from aiortc.codecs import vpx
from rich.console import Console

from benchmarks.glass_to_glass import PUPPET_FRAMES
from benchmarks.lib.harness import RESULTS, show, write
from benchmarks.live import server_process
from benchmarks.live.distance import Distance, away
from benchmarks.live.network import Conditions, Way
from benchmarks.live.regulars import Regular

SETTLES, BEFORE, AFTER = 5.0, 4.0, 8.0
"Seconds until a call goes on as it will, that are measured then, and after the fault."
LAST = 3.0
"Seconds at the end in which its age has to be what it was."
BACK = 2.0
"Seconds within which there has to be a picture."
OUTAGE = 2.0
QUEUED = 0.3
"Seconds by which pictures may be older over a bottleneck than before: what it holds itself, and what retransmissions take."
RECOVERED = 0.05
"Seconds by which they may be older than before once the fault is over."
CAMERA_BITS = 2_500_000
"A second, that the caller's encoder uses at most: Chromium's of 1280x720. aiortc's own bound fits through each bottleneck here but one."
CAMERA_CONTENT = 1150
"""Bytes of a picture in one packet: browsers' datagrams end at 1200, as an MTU of 1280 wants it. aiortc's own caller sends up to 1300, of
which nothing comes through there, whoever listens."""
GRAIN = 6.0
"Standard deviation of a camera's noise, in levels: without any, the puppet's pictures never take so many bits."
KEYFRAMES = 2.2
"A second, at most: two, and the one that was due."


@dataclass(frozen=True)
class Fault:
    conditions: Conditions
    seconds: float = 10.0


FAULTS = {
    "none": Fault(Conditions()),
    "loss 1 %": Fault(Conditions(loss=0.01)),
    "loss 5 %": Fault(Conditions(loss=0.05)),
    "loss 15 %": Fault(Conditions(loss=0.15)),
    "jitter 50 ms": Fault(Conditions(jitter=0.05)),
    "reordered": Fault(Conditions(jitter=0.02, overtaken=0.1)),
    "outage 2 s": Fault(Conditions(loss=1.0), OUTAGE),
    "5 Mbit/s": Fault(Conditions(bits=5e6), 15.0),
    "1 Mbit/s": Fault(Conditions(bits=1e6), 15.0),
    "MTU 1280": Fault(Conditions(mtu=1280)),
}
ENDS = ("viewer", "caller")
COLUMNS = {
    "longest_pause_s": "pause s",
    "back_after_s": "back s",
    "age_before_ms": "age ms",
    "age_meanwhile_ms": "then",
    "age_at_last_ms": "after",
    "fps_meanwhile": "fps",
    "fps_at_last": "after",
    "megabit_per_second_before": "Mbit/s",
    "megabit_per_second": "then",
    "keyframes_per_second": "keys/s",
}


class Call:
    """One caller and one viewer, one of them far away."""

    def __init__(self, base: str, distance: Distance, end: str, pictures: list[np.ndarray], rate: float) -> None:
        self.caller_far = end == "caller"
        self._distance, self._base = distance, base
        self.regular = Regular(base, "far", pictures, rate)
        self.regular.watched = base if self.caller_far else distance.address
        self.regular.base = distance.address if self.caller_far else base

    async def run(self, fault: Fault) -> dict[str, Any]:
        up, down = self._distance.up, self._distance.down = Way(seed=1), Way(seed=2)
        seconds = SETTLES + BEFORE + fault.seconds + AFTER
        staying = asyncio.create_task(self.regular.stay(seconds + 5))
        async with httpx.AsyncClient(base_url=self._base, timeout=20, trust_env=False) as http:
            try:
                await self._there(staying)
                await asyncio.sleep(SETTLES)
                begun = time.monotonic()
                await asyncio.sleep(BEFORE)
                keyframes, bad = await self._keyframes(http), time.monotonic()
                sent = self._sent(BEFORE)
                up.conditions = down.conditions = fault.conditions
                await asyncio.sleep(fault.seconds)
                good, keyframes = time.monotonic(), _more(keyframes, await self._keyframes(http))
                carried = self._sent(min(5.0, fault.seconds))
                up.conditions = down.conditions = Conditions()
                await asyncio.sleep(AFTER)
                over = time.monotonic()
            finally:
                staying.cancel()
                await asyncio.gather(staying, return_exceptions=True)
        lost = dict((up if self.caller_far else down).lost)
        return self._facts(begun, bad, good, over) | {
            "megabit_per_second_before": sent,
            "megabit_per_second": carried,
            "keyframes_per_second": round(keyframes / fault.seconds, 2),
            "lost": lost,
            "ended": list(self.regular.ended),
        }

    async def _there(self, staying: asyncio.Task[None]) -> None:
        async with asyncio.timeout(60):
            while not self.regular.there:
                if staying.done():
                    staying.result()
                await asyncio.sleep(0.05)

    def _sent(self, seconds: float) -> float:
        """Megabit a second that the pictures took on the far way lately."""
        now = asyncio.get_running_loop().time()
        way = self._distance.up if self.caller_far else self._distance.down
        return round(way.bits(now - seconds, now) / 1e6, 2)

    async def _keyframes(self, http: httpx.AsyncClient) -> dict[str, int]:
        """By form."""
        told = (await http.get("/api/channels/far")).json()
        return {stream["form"]: stream["keyframes"] for stream in told["streams"]}

    def _facts(self, begun: float, bad: float, good: float, over: float) -> dict[str, Any]:
        at, ages = (np.array(one) for one in zip(*self.regular.seen, strict=True))
        after = at[at > good]
        return {
            "age_before_ms": _middle(at, ages, begun, bad),
            "age_meanwhile_ms": _middle(at, ages, bad + (good - bad) / 2, good),
            "age_at_last_ms": _middle(at, ages, over - LAST, over),
            "fps_before": _rate(at, begun, bad),
            "fps_meanwhile": _rate(at, bad + (good - bad) / 2, good),
            "fps_at_last": _rate(at, over - LAST, over),
            "longest_pause_s": _pause(at, bad, good),
            "back_after_s": round(float(after[0] - good), 2) if len(after) else None,
        }


def _more(before: dict[str, int], now: dict[str, int]) -> int:
    """How many came; a form that was given up for another meanwhile, and is made again, counts from nothing."""
    return sum(count - before.get(form, 0) if count >= before.get(form, 0) else count for form, count in now.items())


def _middle(at: np.ndarray, ages: np.ndarray, since: float, until: float) -> float | None:
    within = ages[(at >= since) & (at < until)]
    return round(1e3 * float(np.median(within)), 1) if len(within) else None


def _rate(at: np.ndarray, since: float, until: float) -> float:
    return round(float(((at >= since) & (at < until)).sum()) / (until - since), 1)


def _pause(at: np.ndarray, since: float, until: float) -> float:
    return round(float(np.diff(np.concatenate([[since], at[(at > since) & (at < until)], [until]])).max()), 2)


def found(fault: Fault, run: dict[str, Any]) -> list[str]:
    """What is not as it has to be, in words."""
    wrong = list(run["ended"])
    outage = fault.conditions.loss == 1.0
    pause = run["back_after_s"] if outage else run["longest_pause_s"]
    if pause is None or pause > BACK:
        wrong.append(f"{pause} s without a picture")
    before, last = run["age_before_ms"], run["age_at_last_ms"]
    if before is None or last is None or last > 1.5 * before + 1e3 * RECOVERED:
        wrong.append(f"{last} ms old at last, {before} before")
    if fault.conditions.bits < 1e9 and (run["age_meanwhile_ms"] or 1e9) > (before or 0) + 1e3 * QUEUED:
        wrong.append(f"{run['age_meanwhile_ms']} ms old over a bottleneck")
    if run["keyframes_per_second"] > KEYFRAMES:
        wrong.append(f"{run['keyframes_per_second']} keyframes a second")
    return wrong


async def measured(base: str, which: list[tuple[str, str]], rate: float, console: Console) -> list[dict[str, Any]]:
    """A run of each of `which` (fault, end), one after the other."""
    from pipeline.puppet import Puppet

    pictures = [_grained(frame.pixels, number) for number, frame in enumerate(islice(Puppet().frames(), PUPPET_FRAMES))]
    vpx.DEFAULT_BITRATE = vpx.MAX_BITRATE = CAMERA_BITS
    vpx.PACKET_MAX = CAMERA_CONTENT
    runs = []
    async with away(base) as distance:
        for number, (name, end) in enumerate(which):
            console.print(f"{number + 1} of {len(which)}: {name} at the {end}'s end", highlight=False)
            fault = FAULTS[name]
            try:
                run = await Call(base, distance, end, pictures, rate).run(fault)
                run |= {"wrong": found(fault, run)}
            except Exception as failure:
                run = {"wrong": [repr(failure)]}
            runs.append({"fault": name, "end": end, "conditions": asdict(fault.conditions)} | run)
            await asyncio.sleep(1)
    return runs


def _grained(pixels: np.ndarray, seed: int) -> np.ndarray:
    """A camera's picture of `pixels`."""
    noise = np.random.default_rng(seed).normal(0.0, GRAIN, pixels.shape[:2])
    return np.clip(pixels + noise[..., None], 0, 255).astype(np.uint8)


def main(
    only: Annotated[str, typer.Option(help="One fault alone: " + ", ".join(FAULTS) + ".")] = "",
    end: Annotated[str, typer.Option(help="At one end alone: viewer or caller.")] = "",
    rate: Annotated[float, typer.Option(help="The camera's frames a second.")] = 25.0,
    port: Annotated[int, typer.Option(help="Where the server listens meanwhile; 0: anywhere.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for the JSON.")] = RESULTS,
) -> None:
    """Make a live call over bad networks; show how its pictures go on, and whether as they have to."""
    if (only and only not in FAULTS) or (end and end not in ENDS):
        raise typer.BadParameter(f"faults are {', '.join(FAULTS)}; ends {', '.join(ENDS)}")
    console = Console()
    which = [(name, one) for name in FAULTS if only in ("", name) for one in ENDS if end in ("", one)]
    port = port or server_process.free_port()
    command = [sys.executable, "-m", "benchmarks.live.witnessed_server", f"--port={port}", "--links"]
    with server_process.running(command, port):
        runs = asyncio.run(measured(f"http://127.0.0.1:{port}", which, rate, console))
    headings = ("fault", *COLUMNS.values(), "as it has to be")
    rows = [
        (f"{run['fault']}, {run['end']}", *(run.get(name, "-") for name in COLUMNS), "; ".join(run["wrong"]) or "yes")
        for run in runs
    ]
    show("a call over bad networks", headings, rows, "ages are medians; meanwhile: the second half of the fault")
    console.print(write("networks", {"camera_fps": rate, "runs": runs}, out))
    if any(run["wrong"] for run in runs):
        raise SystemExit(
            "; ".join(f"{run['fault']}, {run['end']}: {', '.join(run['wrong'])}" for run in runs if run["wrong"])
        )


if __name__ == "__main__":
    typer.run(main)
