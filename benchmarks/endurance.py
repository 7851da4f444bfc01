"""Endurance: one long live call. The age of the picture and the server's memory must stay flat.

    python -m benchmarks.endurance --minutes 10

Fails where memory, threads or handles have grown; how old pictures are depends on the machine and is shown.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import psutil
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.glass_to_glass import PUPPET_FRAMES, call, witnessed_server
from benchmarks.lib.harness import RESULTS, write
from display.screen import PRODUCT

SAMPLE_EVERY = 2.0
"Seconds between looks at the server's memory, threads and file handles."

ROOM: dict[str, tuple[float, float]] = {"rss_mib": (1.1, 0), "threads": (1, 2), "handles": (1, 2)}
"By which factor, and by how many, the last minute may exceed the second: in the first, all is loaded."


class Vitals:
    """Looks at a process now and then, in a thread of its own."""

    def __init__(self, process: psutil.Process, told: Callable[[str], None] = lambda seen: None) -> None:
        """`told` hears what was seen, and when, for people."""
        self.samples: list[dict[str, float]] = []
        self._process, self._told, self._ended = process, told, threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True)

    def __enter__(self) -> Vitals:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _loop(self) -> None:
        begun = time.monotonic()
        while not self._ended.wait(SAMPLE_EVERY):
            with self._process.oneshot():
                self.samples.append(
                    {
                        "at_s": round(time.monotonic() - begun, 1),
                        "rss_mib": round(self._process.memory_info().rss / 2**20, 1),
                        "threads": self._process.num_threads(),
                        "handles": self._process.num_fds(),
                    }
                )
            at, *held = self.samples[-1].values()
            self._told("{:.1f} min: {:.0f} MiB, {} threads, {} handles".format(at / 60, *held))


def by_minute(run: dict[str, Any], samples: list[dict[str, float]]) -> list[dict[str, float]]:
    """Medians of each whole minute."""
    at, ages = np.array(run["at_s"]), np.array(run["ages_ms"])
    looked = np.array([sample["at_s"] for sample in samples])
    rows = []
    for minute in range(int(at[-1] // 60) if len(at) else 0):
        within = (at >= 60 * minute) & (at < 60 * minute + 60)
        seen = [samples[i] for i in np.flatnonzero((looked >= 60 * minute) & (looked < 60 * minute + 60))]
        rows.append(
            {
                "minute": minute + 1,
                "fps": round(float(within.sum()) / 60, 2),
                "age_p50_ms": round(float(np.percentile(ages[within], 50)), 1),
                "age_p95_ms": round(float(np.percentile(ages[within], 95)), 1),
                **{
                    name: float(np.median([sample[name] for sample in seen]))
                    for name in ("rss_mib", "threads", "handles")
                },
            }
        )
    return rows


def grown(rows: list[dict[str, float]]) -> list[str]:
    """What the last minute has more of than ROOM allows, in words."""
    early, last = rows[min(1, len(rows) - 1)], rows[-1]
    return [
        f"{name} grew from {early[name]:g} in minute {early['minute']:g} to {last[name]:g} in minute {last['minute']:g}"
        for name, (factor, more) in ROOM.items()
        if last[name] > factor * early[name] + more
    ]


def main(
    minutes: Annotated[float, typer.Option(min=1.1, help="Length of the call.")] = 10.0,
    rate: Annotated[float, typer.Option(help="The camera's frames a second.")] = 25.0,
    port: Annotated[int, typer.Option(help="Where the server listens meanwhile.")] = 8766,
    out: Annotated[Path, typer.Option(help="Folder for the JSON.")] = RESULTS,
) -> None:
    """Hold one live call for minutes; show age, memory, threads and handles minute by minute."""
    from pipeline.puppet import Puppet

    console = Console()
    with console.status("drawing what the camera sees"):
        pictures = [frame.pixels for frame in islice(Puppet().frames(), PUPPET_FRAMES)]
    with (
        console.status(f"a call of {minutes:g} minutes") as status,
        witnessed_server(port, "cpu", PRODUCT) as server,
        Vitals(server, lambda seen: status.update(f"a call of {minutes:g} minutes, {seen}")) as vitals,
    ):
        run = asyncio.run(call(port, pictures, rate, 60 * minutes + 2, server))
    rows = by_minute(run, vitals.samples)
    table = Table(title="one call, minute by minute (medians)")
    for heading in rows[0]:
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(*(f"{value:g}" for value in row.values()))
    console.print(table)
    result = {"minutes": minutes, "camera_fps": rate, "by_minute": rows, "server_report": run["server_report"]}
    console.print(write("endurance", result | {"fps": run["fps"], "age_ms": run["age_ms"]}, out))
    if leaks := grown(rows):
        raise SystemExit("; ".join(leaks))


if __name__ == "__main__":
    typer.run(main)
