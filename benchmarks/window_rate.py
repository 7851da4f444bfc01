"""Window rate: quilts onto a monitor: what taking one in and drawing it takes, and what happens to 25 a second.

    python -m benchmarks.window_rate                                            on the first monitor of this desktop
    Xvfb :9 -screen 0 1536x2048x24 & DISPLAY=:9 python -m benchmarks.window_rate    without any monitor, drawn by the CPU

The panel is as large as the monitor, so any monitor of a Looking Glass's resolution will do; its optics are a Portrait's,
scaled, which cost the same as any. Two runs: *fast* gives the next quilt when the one before is on the monitor, *live* offers
them at the camera's rate from another thread, and the newest wins.
"""

from __future__ import annotations

import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

from benchmarks.lib.harness import RESULTS, show, write
from display.calibration import Calibration
from display.desktop import Desktop
from display.lenticular import Tiling
from display.monitors import Monitor, called
from display.screen import PRODUCT, screen
from display.window import Hologram, Window
from pipeline.clock import Percentiles, percentiles

CAMERA_RATE = 25.0
WARM_UP = 2.0
"Seconds that are not measured: the driver compiles, memory is laid out."
DIFFERENT = 8
"Quilts that take turns."


class Meter:
    """Times what a window does with quilts. The graphics card is waited for inside of what is timed."""

    def __init__(self, window: Window) -> None:
        self._window, self._finish = window, window._gl.finish
        self._write, window._texture.write = window._texture.write, self._timed_write
        self._offered: dict[int, tuple[torch.Tensor, float]] = {}
        self.forget()

    def forget(self) -> None:
        self.upload: list[float] = []
        "Seconds into the texture."
        self.whole: list[float] = []
        "Seconds from the beginning of that to the picture on the monitor, a wait for its refresh included."
        self.age: list[float] = []
        "Seconds from show() to there."
        self._lost = self._window.report().lost

    def offer(self, quilt: torch.Tensor, tiling: Tiling) -> None:
        one = quilt[:]  # the same memory, told apart by being another object
        self._offered[id(one)] = (one, time.perf_counter())
        self._window.show(one, tiling)

    def step(self) -> None:
        before = len(self.upload)
        self._window.step(0.02)
        self._finish()
        if len(self.upload) > before:
            ended = time.perf_counter()
            self.whole.append(ended - self._begun)
            self.age.append(ended - self._offered_at)

    def _timed_write(self, pixels: Any, written: Any) -> None:
        self._begun, self._offered_at = time.perf_counter(), self._offered[id(pixels)][1]
        self._write(pixels, written)
        self._finish()
        self.upload.append(time.perf_counter() - self._begun)

    def facts(self, seconds: float) -> dict[str, Any]:
        self._offered.clear()
        return {
            "fps": round(len(self.whole) / seconds, 2),
            "upload_ms": percentiles(self.upload),
            "whole_ms": percentiles(self.whole),
            "age_ms": percentiles(self.age),
            "shown": len(self.whole),
            "lost": self._window.report().lost - self._lost,
        }


def main(
    monitor: Annotated[str | None, typer.Option(help="Its name; the first if none is given.")] = None,
    screen_name: Annotated[str, typer.Option("--screen", help="Whose quilt.")] = PRODUCT,
    seconds: Annotated[float, typer.Option(min=1, help="How long each run takes.")] = 10.0,
    repeats: Annotated[int, typer.Option(min=1, help="How often the runs are repeated, in turns.")] = 3,
    cuda: Annotated[
        bool, typer.Option("--cuda", help="Quilts lie on the GPU, as an engine there leaves them.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder for the JSON.")] = RESULTS,
) -> None:
    """Measure how quilts come onto a monitor; print a table and write JSON."""
    tiling = Tiling.of(screen(screen_name))
    quilts = [_quilt(tiling, number, cuda) for number in range(DIFFERENT)]
    with Desktop() as desktop:
        monitors = desktop.monitors()
        chosen = called(monitors, monitor) if monitor else monitors[0]
        with desktop.hologram(chosen, Hologram(_panel(chosen))) as window:
            meter = Meter(window)
            _fast(meter, quilts, tiling, WARM_UP)
            runs: dict[str, list[dict[str, Any]]] = {"fast": [], "live": []}
            for name, each in list(runs.items()) * repeats:
                meter.forget()
                (_fast if name == "fast" else _live)(meter, quilts, tiling, seconds)
                each.append(meter.facts(seconds))
            renderer, way = window._gl.info["GL_RENDERER"], window.report().way
    median = {name: sorted(each, key=lambda run: run["fps"])[repeats // 2] for name, each in runs.items()}
    what = (
        f"quilts of {tiling.width}x{tiling.height} on {chosen.width}x{chosen.height} pixels, {renderer}, by the {way}"
    )
    show(
        what,
        ("run", "fps", "into the texture", "in all", "age", "lost"),
        _rows(median),
        "milliseconds: p50 / p95 / p99",
    )
    facts = {"what": what, "monitor": asdict(chosen), "opengl": renderer, "way": way, "seconds": seconds}
    name = f"window_rate_{tiling.width}x{tiling.height}_on_{chosen.width}x{chosen.height}_{way}"
    print(write(name, facts | {"median": median, "runs": runs}, out))


def _quilt(tiling: Tiling, number: int, cuda: bool) -> torch.Tensor:
    """[H, W, 4] uint8, as engines compose them."""
    noise = np.random.default_rng(number).integers(0, 255, (tiling.height // 4, tiling.width // 4, 4), np.uint8)
    pixels = np.zeros((tiling.height, tiling.width, 4), np.uint8)
    blown = noise.repeat(4, 0).repeat(4, 1)
    pixels[: blown.shape[0], : blown.shape[1]] = blown
    return torch.from_numpy(pixels).cuda() if cuda else torch.from_numpy(pixels)


def _panel(monitor: Monitor) -> Calibration:
    """As many lenses to the pixel as a Portrait has, on the whole monitor."""
    return Calibration(pitch=52.6, slope=-7.2, center=0.2, dpi=324, width=monitor.width, height=monitor.height)


def _fast(meter: Meter, quilts: list[torch.Tensor], tiling: Tiling, seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        meter.offer(quilts[len(meter.whole) % DIFFERENT], tiling)
        meter.step()


def _live(meter: Meter, quilts: list[torch.Tensor], tiling: Tiling, seconds: float) -> None:
    def feed() -> None:
        begun = time.perf_counter()
        for number in range(round(seconds * CAMERA_RATE)):
            time.sleep(max(0.0, begun + number / CAMERA_RATE - time.perf_counter()))
            meter.offer(quilts[number % DIFFERENT], tiling)

    camera = threading.Thread(target=feed, name="camera")
    camera.start()
    while camera.is_alive():
        meter.step()
    meter.step()


def _rows(median: dict[str, dict[str, Any]]) -> list[list[object]]:
    times = ("upload_ms", "whole_ms", "age_ms")
    return [[name, run["fps"], *(_cell(run[time]) for time in times), run["lost"]] for name, run in median.items()]


def _cell(value: Percentiles) -> str:
    return f"{value.p50:.1f} / {value.p95:.1f} / {value.p99:.1f}"


if __name__ == "__main__":
    typer.run(main)
