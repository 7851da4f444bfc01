"""Stage times: a stored clip, or the puppet, through the whole pipeline of one caller; what each stage takes.

    python -m benchmarks.stage_times                              the puppet drives the sample avatar
    python -m benchmarks.stage_times --clip my.mp4 --portrait me.jpg

Three runs over the same frames, side by side: *quilt* (as fast as it goes, up to the finished I420 quilt), *encoded*
(as fast as it goes, H.264 included) and *live* (frames come at the camera's rate and the newest wins).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.harness import RESULTS, write
from display.screen import PRODUCT, Screen, screen
from engines import catalogue
from engines.contract import AnyEngine
from pipeline.executors.threads import Threads
from pipeline.frame import Frame
from pipeline.placement import preset
from pipeline.preprocess.observer import Observer, observe_portrait
from pipeline.session import Session, SessionReport
from pipeline.stages import Picture

CAMERA_RATE = 25.0
WARM_UP = 50
"Frames that are run and not measured: kernels compile, caches fill, the neutral face settles."
COLOURS = {"preprocess": "#4c78a8", "drive": "#72b7b2", "render": "#f58518", "compose": "#eeca3b", "encode": "#b279a2"}


@dataclass(frozen=True)
class Setting:
    engine: AnyEngine
    avatar: Any
    target: Screen
    placement: str
    frames: list[Frame]


def main(
    clip: Annotated[Path | None, typer.Option(help="The driving video; the puppet if none is given.")] = None,
    portrait: Annotated[Path | None, typer.Option(help="The photo; the built-in sample if none is given.")] = None,
    engine: Annotated[str, typer.Option(help="Which engine.")] = catalogue.DEFAULT,
    screen_name: Annotated[str, typer.Option("--screen", help="Whose quilt.")] = PRODUCT,
    placement: Annotated[str, typer.Option(help="Which stage runs on which device.")] = "cpu",
    count: Annotated[int, typer.Option("--frames", min=10, help="Frames measured in each run.")] = 250,
    repeats: Annotated[int, typer.Option(min=1, help="How often the three runs are repeated, in turns.")] = 3,
    out: Annotated[Path, typer.Option(help="Folder for the JSON and the picture.")] = RESULTS,
) -> None:
    """Measure each stage of one caller's pipeline; print a table, write JSON and a picture."""
    console = Console()
    with console.status("warming up"):
        setting = _prepare(clip, portrait, engine, screen_name, placement, count)
        _run(setting, "encoded", setting.frames[:WARM_UP])
    runs: dict[str, list[dict[str, Any]]] = {"quilt": [], "encoded": [], "live": []}
    order = [name for _ in range(repeats) for name in runs]
    for name in track(order, description="measuring", console=console):
        runs[name].append(_run(setting, name, setting.frames))
    summary = {name: _median(repeated) for name, repeated in runs.items()}
    title = f"{engine}, {setting.target.views} views of {setting.target.tile_width}x{setting.target.tile_height}"
    console.print(_table(title, summary))
    name = f"stage_times_{engine}_{setting.target.name}_{placement}"
    facts = {
        "what": title,
        "frames": len(setting.frames),
        "repeats": repeats,
        "source": clip.name if clip else "puppet",
    }
    path = write(name, facts | {"median": summary, "runs": runs}, out)
    _picture(title, summary, path.with_suffix(".png"))
    console.print(f"{path}\n{path.with_suffix('.png')}")


def _prepare(
    clip: Path | None, portrait: Path | None, engine_name: str, screen_name: str, placement: str, count: int
) -> Setting:
    from pipeline.puppet import Puppet, puppet_portrait
    from server import clips, portraits

    engine = catalogue.load(engine_name)
    engine.warm_up()
    photo = portraits.from_file(portrait) if portrait else puppet_portrait()
    avatar = engine.enrol(observe_portrait(photo))
    source: Iterator[Frame] = clips.frames(clip) if clip else Puppet().frames()
    frames = list(islice(source, count))
    if len(frames) < count:  # a short clip is played forwards and backwards, so that no jump is in it
        frames = list(islice(chain.from_iterable([frames, frames[::-1]] * (count // len(frames) + 1)), count))
    frames = [replace(frame, captured=i / CAMERA_RATE, sequence=i) for i, frame in enumerate(frames)]
    return Setting(engine, avatar, screen(screen_name), placement, frames)


def _run(setting: Setting, name: str, frames: list[Frame]) -> dict[str, Any]:
    """One caller's session over `frames`; what it reports."""
    executor = Threads(preset(setting.placement))
    ended = threading.Semaphore(0)
    encode = _encoder(setting.target) if name != "quilt" else lambda picture: None

    def present(picture: Picture) -> None:
        encode(picture)
        ended.release()

    observer = Observer(setting.engine.wants)
    session = Session(setting.engine, setting.avatar, observer, preset(setting.placement), executor, present)
    session.watch(setting.target)
    cpu, begun = time.process_time(), time.monotonic()
    if name == "live":
        _at_the_cameras_rate(session, frames)
    else:
        _as_fast_as_it_goes(session, frames, ended)
    session.close()
    seconds, cpu = time.monotonic() - begun, time.process_time() - cpu
    executor.close()
    return _facts(session.report(), seconds, cpu, len(frames))


def _encoder(target: Screen) -> Callable[[Picture], None]:
    from server.encode import Encoder, best_codec, form_for

    width, height = target.quilt_width + target.quilt_width % 2, target.quilt_height + target.quilt_height % 2
    encoder = Encoder(form_for(width, height, round(CAMERA_RATE)), best_codec())

    def encode(picture: Picture) -> None:
        encoder.encode(picture.yuv, picture.captured)

    return encode


def _as_fast_as_it_goes(session: Session, frames: list[Frame], ended: threading.Semaphore) -> None:
    """Two frames are under way at any time, as in a live session; none waits, so none is dropped."""
    for number, frame in enumerate(frames):
        if number >= 2:
            ended.acquire()
        session.offer(replace(frame, captured=time.monotonic()))


def _at_the_cameras_rate(session: Session, frames: list[Frame]) -> None:
    begun = time.monotonic()
    for number, frame in enumerate(frames):
        due = begun + number / CAMERA_RATE
        time.sleep(max(0.0, due - time.monotonic()))
        session.offer(replace(frame, captured=due))


def _facts(report: SessionReport, seconds: float, cpu: float, offered: int) -> dict[str, Any]:
    return {
        "fps": round(report.frames / seconds, 2),
        "cpu_ms_per_frame": round(1e3 * cpu / max(report.frames, 1), 2),
        "stages_ms": report.stages,
        "age_ms": report.age,
        "offered": offered,
        "finished": report.frames,
        "drops": report.drops,
    }


def _median(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The run of median speed, with the spread of all."""
    ordered = sorted(runs, key=lambda run: run["fps"])
    return ordered[len(ordered) // 2] | {"fps_spread": [ordered[0]["fps"], ordered[-1]["fps"]]}


def _table(title: str, summary: dict[str, dict[str, Any]]) -> Table:
    table = Table(title=title, caption="milliseconds: p50 / p95 / p99 of the median run")
    table.add_column("stage")
    for name in summary:
        table.add_column(name, justify="right")
    stages = dict.fromkeys(stage for run in summary.values() for stage in run["stages_ms"])
    for stage in stages:
        table.add_row(stage, *(_cell(run["stages_ms"].get(stage)) for run in summary.values()))
    table.add_row("age of picture", *(_cell(run["age_ms"]) for run in summary.values()), end_section=True)
    table.add_row("frames a second", *(f"{run['fps']:.1f}" for run in summary.values()))
    table.add_row("CPU ms a frame", *(f"{run['cpu_ms_per_frame']:.1f}" for run in summary.values()))
    table.add_row("dropped", *(str(sum(run["drops"].values())) for run in summary.values()))
    return table


def _cell(value: Any) -> str:
    return f"{value.p50:.1f} / {value.p95:.1f} / {value.p99:.1f}" if value else "-"


def _picture(title: str, summary: dict[str, dict[str, Any]], path: Path) -> None:
    """A waterfall for each run: bars are medians one after another, whiskers reach to p95."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(len(summary), 1, figsize=(9, 2.1 * len(summary)), sharex=True, layout="constrained")
    for axis, (name, run) in zip(axes, summary.items(), strict=True):
        left = 0.0
        for stage, times in run["stages_ms"].items():
            axis.barh(stage, times.p50, left=left, color=COLOURS.get(stage, "#999999"))
            axis.plot([left + times.p50, left + times.p95], [stage, stage], color="0.35", lw=1.5, marker="|", ms=7)
            axis.text(left + times.p95 + 0.6, stage, f"{times.p50:.1f} ms", va="center", fontsize=8)
            left += times.p50
        axis.invert_yaxis()
        axis.set_title(f"{name}: {run['fps']:.1f} fps, age p95 {run['age_ms'].p95:.0f} ms", loc="left", fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
    axes[-1].set_xlabel("ms, medians one after another; whiskers to p95")
    figure.suptitle(title)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


if __name__ == "__main__":
    typer.run(main)
