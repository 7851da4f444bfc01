"""Pressure: what a live call comes to while other programs keep the processor busy, with all detail always and with as much as fits.

    python -m benchmarks.pressure --programs 3

The call is glass_to_glass's: server in one process, caller and viewer (aiortc) in this one, all on this machine's cores. Calls with
and without the ladder take turns, A B B A, so that both meet the same hours of a shared machine. Ages are from the camera to the
decoded picture. How much of the work would fit beside the programs is what comes through with all detail: of the camera's pictures, the
share that is shown. Where a third fits or more, the ladder has to hold 20 pictures a second and 95 % of the ages within 150 ms.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice, pairwise
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import httpx
import numpy as np
import psutil
import typer
from aiortc import RTCPeerConnection
from rich.console import Console
from rich.table import Table

from benchmarks.glass_to_glass import call, witnessed_server
from benchmarks.lib.harness import RESULTS, write
from display.screen import PRODUCT
from pipeline.clock import percentiles
from server.channels.ladder import LOWEST_FPS

RATE = 25.0
CALM = 4.0
"Seconds of each call before the programs begin."
SETTLES = 8.0
"Seconds of the load that are left out: the ladder has to see it and to step down."
A_THIRD, OLDEST_MS = 1 / 3, 150.0
"Of the work: the least that has to fit for the bars to be asked for; and the bar of the age's 95th percentile."
ALL, FITTING = "all detail", "as much as fits"
BURN = "while True: pass"


@contextmanager
def burning(programs: int) -> Iterator[list[psutil.Process]]:
    """Other programs at work, each on a core of its own if there is one."""
    burners = [subprocess.Popen([sys.executable, "-c", BURN]) for _ in range(programs)]
    try:
        yield [psutil.Process(burner.pid) for burner in burners]
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


@dataclass(frozen=True)
class Spent:
    """Processor seconds so far."""

    at: float
    server: float
    peers: float
    programs: float
    machine: float
    "By everybody, and by whom this machine shares its processor with (stolen)."

    def since(self, begun: Spent) -> dict[str, float]:
        """Cores, by whom they were kept busy."""
        lasted = self.at - begun.at
        mine = {name: getattr(self, name) - getattr(begun, name) for name in ("server", "peers", "programs")}
        others = self.machine - begun.machine - sum(mine.values())
        return {name: round(seconds / lasted, 2) for name, seconds in (mine | {"others": max(others, 0.0)}).items()}


def spent(server: psutil.Process, programs: list[psutil.Process]) -> Spent:
    """What everybody has used of the processor until now."""
    machine = psutil.cpu_times()
    idle = machine.idle + machine.iowait
    everything = sum(machine) - machine.guest - machine.guest_nice
    theirs = sum(sum(one.cpu_times()[:2]) for one in programs)
    return Spent(time.monotonic(), sum(server.cpu_times()[:2]), time.process_time(), theirs, everything - idle)


class Load:
    """Begins after a while of calm and lasts to the end of a measurement; notes the rungs, and who used the processor."""

    def __init__(self, port: int, server: psutil.Process, seconds: float, programs: int) -> None:
        self.rungs: list[tuple[float, int]] = []
        "Seconds from the beginning, and the rung then: whenever it changes."
        self.cores: dict[str, float] = {}
        "By whom they were kept busy, once the load had settled."
        self._port, self._server, self._seconds, self._programs = port, server, seconds, programs

    async def __call__(self, connection: RTCPeerConnection) -> None:
        noting = asyncio.create_task(self._note(time.monotonic()))
        try:
            await asyncio.sleep(CALM)
            with burning(self._programs) as burners:
                await asyncio.sleep(SETTLES)
                begun = spent(self._server, burners)
                await asyncio.sleep(self._seconds - SETTLES - 0.5)
                self.cores = spent(self._server, burners).since(begun)
                await asyncio.sleep(0.5)
        finally:
            noting.cancel()

    async def _note(self, begun: float) -> None:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self._port}", timeout=10, trust_env=False) as http:
            while True:
                rung = (await http.get("/api/channels/benchmark")).json().get("detail", {}).get("rung", 0)
                if not self.rungs or self.rungs[-1][1] != rung:
                    self.rungs.append((round(time.monotonic() - begun, 1), rung))
                await asyncio.sleep(0.5)


def phase(found: dict[str, Any], begin: float, end: float) -> dict[str, Any]:
    """Rate and age of what was shown between two moments of a call."""
    at, ages = np.array(found["at_s"]), np.array(found["ages_ms"]) / 1e3
    there = (at >= begin) & (at < end)
    gaps = [later - earlier for earlier, later in pairwise(at[there].tolist())]
    return {
        "fps": round(int(there.sum()) / (end - begin), 2),
        "age_ms": asdict(percentiles(ages[there].tolist())),
        "longest_gap_ms": round(1e3 * max(gaps, default=end - begin)),
    }


def measured(
    port: int, server: psutil.Process, pictures: list[np.ndarray], seconds: float, programs: int
) -> dict[str, Any]:
    """One call: calm, then `seconds` of load."""
    load = Load(port, server, seconds, programs)
    found = asyncio.run(call(port, pictures, RATE, CALM + seconds, server, load))
    report = found["server_report"]
    return {
        "calm": phase(found, 0.0, CALM),
        "under load": phase(found, CALM + SETTLES, CALM + seconds),
        "server_age_ms": report["streams"][0]["age"] if report["streams"] else None,
        "cores": load.cores,
        "rungs": load.rungs,
        "unread": found["unread"],
    }


def verdict(runs: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Of each turn: what share of the work would fit, and whether the bars were held where that is a third."""
    told = []
    for alone, fitted in zip(runs[ALL], runs[FITTING], strict=True):
        fits, shown = alone["under load"]["fps"] / RATE, fitted["under load"]
        held = shown["fps"] >= LOWEST_FPS and shown["age_ms"]["p95"] <= OLDEST_MS
        asked = fits >= A_THIRD
        told.append({"fits": round(fits, 2), "asked_for": asked, "held": held})
    return told


def main(
    seconds: Annotated[float, typer.Option(min=12, help="Length of the load in each call.")] = 16.0,
    programs: Annotated[int, typer.Option(min=0, help="Other programs that burn a core each.")] = 1,
    turns: Annotated[int, typer.Option(min=1, help="Calls with and calls without the ladder.")] = 2,
    port: Annotated[int, typer.Option(help="Where the servers listen meanwhile: this port and the next.")] = 8769,
    out: Annotated[Path, typer.Option(help="Folder for the JSON.")] = RESULTS,
) -> None:
    """Measure calls beside programs that burn, with all detail always and with as much as fits, in turns."""
    from pipeline.puppet import Puppet

    console = Console()
    pictures = [frame.pixels for frame in islice(Puppet().frames(), 200)]
    runs: dict[str, list[dict[str, Any]]] = {ALL: [], FITTING: []}
    with (
        console.status("starting two servers") as status,
        witnessed_server(port, "cpu", PRODUCT, adapt=False) as all_detail,
        witnessed_server(port + 1, "cpu", PRODUCT, adapt=True) as fitting,
    ):
        both = [(ALL, port, all_detail), (FITTING, port + 1, fitting)]
        for turn in range(turns):
            for name, at, server in both if turn % 2 == 0 else both[::-1]:
                status.update(f"turn {turn + 1} of {turns}, with {name}")
                runs[name].append(measured(at, server, pictures, seconds, programs))
    told = verdict(runs)
    console.print(_table(runs, told))
    facts = {"camera_fps": RATE, "seconds": seconds, "programs": programs, "turns": told, "runs": runs}
    facts["median"] = {name: {key: _median(runs[name], key) for key in ("calm", "under load")} for name in runs}
    console.print(str(write(f"pressure_{programs}", facts, out)))


def _median(runs: list[dict[str, Any]], key: str) -> dict[str, float]:
    ages = [run[key]["age_ms"] for run in runs]
    return {"fps": median(run[key]["fps"] for run in runs)} | {f"age_{p}": median(a[p] for a in ages) for p in ages[0]}


def _table(runs: dict[str, list[dict[str, Any]]], told: list[dict[str, Any]]) -> Table:
    table = Table(title=f"a call of {RATE:g} fps and both its ends on the same cores, beside programs that burn")
    for heading in ("turn", "detail", "fps", "age p50", "p95", "server's", "gap", "cores", "rungs", "fits", "bars"):
        table.add_column(heading, justify="right")
    for turn, (one, *pair) in enumerate(zip(told, runs[ALL], runs[FITTING], strict=True), 1):
        for name, run in zip(("all", "fitting"), pair, strict=True):
            table.add_row(str(turn), name, *_cells(run), *(_told(one) if run is pair[1] else ()))
    table.caption = "cores: of the server, its peers, the programs, others; server's: its part of the age's p95"
    return table


def _cells(run: dict[str, Any]) -> list[str]:
    shown, age = run["under load"], run["under load"]["age_ms"]
    cores = " ".join(f"{share:.2f}" for share in run["cores"].values())
    rungs = " ".join(f"{at:.0f}s:{rung}" for at, rung in run["rungs"])
    ages = [f"{one:.0f}" for one in (age["p50"], age["p95"], (run["server_age_ms"] or age)["p95"])]
    return [f"{shown['fps']:.1f}", *ages, str(shown["longest_gap_ms"]), cores, rungs]


def _told(one: dict[str, Any]) -> list[str]:
    return [f"{one['fits']:.0%}", "held" if one["held"] else "missed" if one["asked_for"] else "not asked for"]


if __name__ == "__main__":
    typer.run(main)
