"""Glass to glass: how old a picture is when a viewer has decoded it, counted from the caller's camera.

    python -m benchmarks.glass_to_glass

The server runs in one process; a caller (WHIP) and a viewer (WHEP), both aiortc, run in this one. Every camera picture
carries its number, the server draws that number into the quilt made from it (benchmarks/witnessed_server.py), and the
viewer reads it from the decoded quilt. All of it shares this machine's cores, so caller and viewer cost frames too.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from itertools import cycle, islice
from pathlib import Path
from typing import Annotated, Any

import av
import httpx
import numpy as np
import psutil
import typer
from aiortc import MediaStreamTrack
from aiortc.mediastreams import VideoStreamTrack
from rich.console import Console
from rich.table import Table

from benchmarks import barcode
from benchmarks.harness import RESULTS, write
from display.screen import PRODUCT
from pipeline.clock import percentiles
from server.client import playing, publishing

WARM_UP = 5.0
"Seconds that are run and not measured: ICE, the first keyframe, bandwidth estimation."
PUPPET_FRAMES = 200


class Camera(VideoStreamTrack):
    """A webcam that numbers its pictures; `captured[number]` is when it took each."""

    def __init__(self, pictures: list[np.ndarray], rate: float) -> None:
        super().__init__()
        self.captured: dict[int, float] = {}
        self._pictures, self._rate = cycle(pictures), rate
        self._number, self._begun = 0, time.monotonic()

    async def recv(self) -> av.VideoFrame:
        due = self._begun + self._number / self._rate
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        pixels = next(self._pictures).copy()
        barcode.draw(pixels, self._number)
        self.captured[self._number] = max(due, time.monotonic() - 1 / self._rate)
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        frame.pts, frame.time_base = round(self._number * 90_000 / self._rate), Fraction(1, 90_000)
        self._number += 1
        return frame


@dataclass
class Seen:
    """What a viewer saw."""

    times: list[float] = field(default_factory=list)
    "When each new picture was decoded, monotonic seconds."
    ages: list[float] = field(default_factory=list)
    "How old it was then, seconds."
    unread: int = 0
    "Decoded pictures whose number could not be read."


async def _watch(track: MediaStreamTrack, camera: Camera, seen: Seen) -> None:
    newest = -1
    while True:
        frame = await track.recv()
        assert isinstance(frame, av.VideoFrame)
        now = time.monotonic()
        luma = np.frombuffer(memoryview(frame.planes[0]), np.uint8).reshape(-1, frame.planes[0].line_size)
        number = barcode.read(luma[: barcode.HEIGHT, : barcode.WIDTH])
        if number is None or number not in camera.captured:
            seen.unread += 1
        elif number > newest:
            newest = number
            seen.times.append(now)
            seen.ages.append(now - camera.captured[number])


@contextmanager
def witnessed_server(port: int, placement: str, screen: str) -> Iterator[psutil.Process]:
    """The server in its own process, ready to take a caller."""
    command = [sys.executable, "-m", "benchmarks.witnessed_server", f"--port={port}", f"--placement={placement}"]
    process = subprocess.Popen([*command, f"--screen={screen}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while not _is_ready(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server did not become ready; try: {' '.join(command)}")
            time.sleep(0.2)
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(20)


def _is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=2, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


async def _call(
    port: int, pictures: list[np.ndarray], rate: float, seconds: float, server: psutil.Process
) -> dict[str, Any]:
    """One call of `seconds` after the warm-up; what the viewer saw and what it cost."""
    camera, seen = Camera(pictures, rate), Seen()
    base = f"http://127.0.0.1:{port}"
    async with (
        publishing(f"{base}/whip/benchmark?avatar=sample", camera),
        playing(f"{base}/whep/benchmark?as=quilt") as tracks,
    ):
        watching = asyncio.create_task(_watch(tracks["video"], camera, seen))
        await asyncio.sleep(WARM_UP)
        seen.times.clear(), seen.ages.clear()
        seen.unread, offered = 0, camera._number
        costs = (sum(server.cpu_times()[:2]), time.process_time())
        begun = time.monotonic()
        await asyncio.sleep(seconds)
        took = time.monotonic() - begun
        costs = (sum(server.cpu_times()[:2]) - costs[0], time.process_time() - costs[1])
        report = httpx.get(f"{base}/api/channels/benchmark", timeout=5, trust_env=False).json()
        offered = len(camera.captured) - offered
        watching.cancel()
    gaps = np.diff(seen.times)
    return {
        "fps": round(len(seen.times) / took, 2),
        "age_ms": percentiles(seen.ages),
        "gap_ms": percentiles(gaps.tolist()),
        "camera_frames": offered,
        "shown": len(seen.times),
        "unread": seen.unread,
        "server_cpu_share_of_a_core": round(costs[0] / took, 2),
        "peers_cpu_share_of_a_core": round(costs[1] / took, 2),
        "server_report": report,
        "ages_ms": [round(1e3 * age, 1) for age in seen.ages],
    }


def main(
    seconds: Annotated[float, typer.Option(min=2, help="Measured length of each run.")] = 20.0,
    repeats: Annotated[int, typer.Option(min=1, help="Runs, each with a new call.")] = 3,
    rate: Annotated[float, typer.Option(help="The camera's frames a second.")] = 25.0,
    placement: Annotated[str, typer.Option(help="Which stage runs on which device.")] = "cpu",
    screen: Annotated[str, typer.Option(help="Whose quilt.")] = PRODUCT,
    port: Annotated[int, typer.Option(help="Where the server listens meanwhile.")] = 8765,
    out: Annotated[Path, typer.Option(help="Folder for the JSON and the picture.")] = RESULTS,
) -> None:
    """Measure the age of the picture and the frame rate of a live call on this machine."""
    from pipeline.puppet import Puppet

    console = Console()
    with console.status("drawing what the camera sees"):
        pictures = [frame.pixels for frame in islice(Puppet().frames(), PUPPET_FRAMES)]
    runs = []
    with console.status("starting the server") as status, witnessed_server(port, placement, screen) as server:
        for number in range(repeats):
            status.update(f"measuring, call {number + 1} of {repeats}")
            runs.append(asyncio.run(_call(port, pictures, rate, seconds, server)))
    middle = sorted(runs, key=lambda run: run["fps"])[len(runs) // 2]
    console.print(_table(runs, middle))
    name = f"glass_to_glass_{screen}_{placement}"
    path = write(
        name, {"camera_fps": rate, "seconds": seconds, "median": middle | {"ages_ms": None}, "runs": runs}, out
    )
    _picture(runs, path.with_suffix(".png"))
    console.print(f"{path}\n{path.with_suffix('.png')}")


def _table(runs: list[dict[str, Any]], middle: dict[str, Any]) -> Table:
    table = Table(title="camera to decoded quilt, caller and viewer (aiortc) on the same machine")
    for heading in ("call", "fps", "age p50", "age p95", "age p99", "server cores", "peers' cores", "unread"):
        table.add_column(heading, justify="right")
    for number, run in enumerate(runs, 1):
        cells = [run["fps"], *asdict(run["age_ms"]).values(), run["server_cpu_share_of_a_core"]]
        cells += [run["peers_cpu_share_of_a_core"], run["unread"]]
        table.add_row(f"{number}{' (median)' if run is middle else ''}", *map(str, cells))
    return table


def _picture(runs: list[dict[str, Any]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (trace, share) = pyplot.subplots(1, 2, figsize=(11, 3.6), layout="constrained", width_ratios=(2, 1))
    for number, run in enumerate(runs, 1):
        trace.plot(run["ages_ms"], lw=0.8, label=f"call {number}: {run['fps']:.1f} fps")
        ordered = np.sort(run["ages_ms"])
        share.plot(ordered, np.linspace(0, 100, len(ordered)))
    trace.set(xlabel="picture", ylabel="age when decoded, ms", ylim=(0, None), title="age of picture over the call")
    trace.legend(frameon=False)
    share.set(xlabel="age, ms", ylabel="% of pictures at most this old", xlim=(0, None))
    share.axhline(95, color="0.7", lw=0.8)
    for axis in (trace, share):
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


if __name__ == "__main__":
    typer.run(main)
