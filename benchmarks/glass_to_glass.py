"""Glass to glass: how old a picture is when a viewer has decoded it, counted from the caller's camera.

    python -m benchmarks.glass_to_glass

    python -m benchmarks.glass_to_glass --peers chromium

The server runs in one process; a caller (WHIP) and a viewer (WHEP), both aiortc, run in this one, or both in a headless
Chromium. Every camera picture carries its number, the server draws that number into the quilt made from it
(benchmarks/live/witnessed_server.py), and the viewer reads it from the decoded quilt. All of it shares this machine's cores,
so caller and viewer cost frames too.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import av
import cv2
import httpx
import numpy as np
import psutil
import typer
from aiortc import MediaStreamTrack, RTCPeerConnection
from rich.console import Console
from rich.table import Table

from benchmarks.lib.harness import RESULTS, write
from benchmarks.live import barcode, browsers, server_process
from display.screen import PRODUCT
from pipeline.clock import percentiles
from server.webrtc.client import PictureTrack, playing, publishing

WARM_UP = 5.0
"Seconds that are run and not measured: ICE, the first keyframe, bandwidth estimation."
PUPPET_FRAMES = 200


class Peers(StrEnum):
    AIORTC = "aiortc"
    CHROMIUM = "chromium"


class Camera:
    """Numbers its pictures; `captured[number]` is when it took each, monotonic seconds."""

    def __init__(self, pictures: list[np.ndarray]) -> None:
        self.captured: dict[int, float] = {}
        self._pictures = pictures

    def take(self, number: int) -> np.ndarray:
        self.captured[number] = time.monotonic()
        pixels = self._pictures[number % len(self._pictures)].copy()
        barcode.draw(pixels, number)
        return pixels


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
def witnessed_server(
    port: int, placement: str, screen: str, adapt: bool = False, more: Sequence[str] = ()
) -> Iterator[psutil.Process]:
    """The server in its own process, ready to take a caller. All detail is made, so that runs can be compared, unless it may `adapt`."""
    command = [sys.executable, "-m", "benchmarks.live.witnessed_server", f"--port={port}", f"--placement={placement}"]
    command += [f"--screen={screen}", "--adapt" if adapt else "--no-adapt", *more]
    with server_process.running(command, port) as process:
        yield process


async def undisturbed(connection: RTCPeerConnection) -> None:
    """Nothing happens."""


async def call(
    port: int,
    pictures: list[np.ndarray],
    rate: float,
    seconds: float,
    server: psutil.Process,
    meanwhile: Callable[[RTCPeerConnection], Awaitable[None]] = undisturbed,
) -> dict[str, Any]:
    """One call of `seconds` after the warm-up; what the viewer saw and what it cost. `meanwhile` begins with the
    measurement and is given the caller's connection."""
    camera, seen = Camera(pictures), Seen()
    base = f"http://127.0.0.1:{port}"
    async with (
        publishing(f"{base}/whip/benchmark?avatar=sample", PictureTrack(camera.take, rate)) as connection,
        playing(f"{base}/whep/benchmark?as=quilt") as tracks,
    ):
        watching = asyncio.create_task(_watch(tracks["video"], camera, seen))
        await asyncio.sleep(WARM_UP)
        seen.times.clear()
        seen.ages.clear()
        seen.unread, offered = 0, len(camera.captured)
        costs = (sum(server.cpu_times()[:2]), time.process_time())
        begun = time.monotonic()
        happening = asyncio.ensure_future(meanwhile(connection))
        await asyncio.sleep(seconds)
        took = time.monotonic() - begun
        costs = (sum(server.cpu_times()[:2]) - costs[0], time.process_time() - costs[1])
        report = httpx.get(f"{base}/api/channels/benchmark", timeout=5, trust_env=False).json()
        offered = len(camera.captured) - offered
        watching.cancel()
        happening.cancel()
        await asyncio.gather(happening, return_exceptions=True)
    return _facts(seen.times, seen.ages, took, costs, report) | {"camera_frames": offered, "unread": seen.unread}


def _facts(
    times: list[float], ages: list[float], took: float, costs: tuple[float, float], report: dict[str, Any]
) -> dict[str, Any]:
    return {
        "fps": round(len(times) / took, 2),
        "age_ms": percentiles(ages),
        "gap_ms": percentiles(np.diff(times).tolist()),
        "shown": len(times),
        "server_cores": round(costs[0] / took, 2),
        "peers_cores": round(costs[1] / took, 2),
        "server_report": report,
        "ages_ms": [round(1e3 * age, 1) for age in ages],
        "at_s": [round(at - times[0], 2) for at in times],
    }


def call_in_chromium(chromium: Any, port: int, film: Path, seconds: float, server: psutil.Process) -> dict[str, Any]:
    """The same call with a real browser at both ends, Playwright's `chromium`, whose camera plays `film`."""
    wants = {"channel": "benchmark", "warmUp": WARM_UP, "seconds": seconds, "code": browsers.CODE}
    browser = chromium.launch(**browsers.flags(film))
    page = browser.new_page()
    page.goto(f"http://127.0.0.1:{port}/")
    before = (sum(server.cpu_times()[:2]), _others_cpu(server))
    begun = time.monotonic()
    saw = page.evaluate(browsers.script("browser_peers.js"), wants)
    whole = time.monotonic() - begun
    costs = (sum(server.cpu_times()[:2]) - before[0], _others_cpu(server) - before[1])
    browser.close()
    share = saw["took"] / whole  # processor time is of the whole call, warm-up included
    times, ages = [at / 1e3 for at in saw["times"]], [age / 1e3 for age in saw["ages"]]
    return _facts(times, ages, saw["took"], (costs[0] * share, costs[1] * share), saw["report"]) | {"unread": 0}


def _others_cpu(server: psutil.Process) -> float:
    """Processor seconds of our children except the server: the browser."""
    children = [child for child in psutil.Process().children(recursive=True) if child != server]
    return sum(sum(child.cpu_times()[:2]) for child in children)


def film(pictures: list[np.ndarray], rate: float, folder: Path) -> Path:
    """The numbered pictures as raw video, which a browser's fake camera plays again and again."""
    path = folder / "camera.y4m"
    height, width = pictures[0].shape[:2]
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F{round(rate)}:1 Ip A1:1 C420jpeg\n".encode())
        for number, picture in enumerate(pictures):
            numbered = picture.copy()
            barcode.draw(numbered, number)
            file.write(b"FRAME\n" + cv2.cvtColor(numbered, cv2.COLOR_RGB2YUV_I420).tobytes())
    return path


def main(
    seconds: Annotated[float, typer.Option(min=2, help="Measured length of each run.")] = 20.0,
    repeats: Annotated[int, typer.Option(min=1, help="Runs, each with a new call.")] = 3,
    peers: Annotated[Peers, typer.Option(help="Who calls and who views.")] = Peers.AIORTC,
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
            if peers is Peers.AIORTC:
                runs.append(asyncio.run(call(port, pictures, rate, seconds, server)))
            else:
                from playwright.sync_api import sync_playwright

                with TemporaryDirectory() as folder, sync_playwright() as playwright:
                    camera = film(pictures, rate, Path(folder))
                    runs.append(call_in_chromium(playwright.chromium, port, camera, seconds, server))
    middle = sorted(runs, key=lambda run: run["fps"])[len(runs) // 2]
    console.print(_table(runs, middle, peers))
    name = f"glass_to_glass_{screen}_{placement}_{peers}"
    path = write(
        name,
        {"camera_fps": rate, "seconds": seconds, "median": middle | {"ages_ms": None, "at_s": None}, "runs": runs},
        out,
    )
    _picture(runs, path.with_suffix(".png"))
    console.print(f"{path}\n{path.with_suffix('.png')}")


def _table(runs: list[dict[str, Any]], middle: dict[str, Any], peers: Peers) -> Table:
    table = Table(title=f"camera to decoded quilt; caller and viewer ({peers}) on the same machine")
    for heading in ("call", "fps", "age p50", "age p95", "age p99", "server cores", "peers' cores", "unread"):
        table.add_column(heading, justify="right")
    for number, run in enumerate(runs, 1):
        cells = [run["fps"], *asdict(run["age_ms"]).values(), run["server_cores"]]
        cells += [run["peers_cores"], run["unread"]]
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
