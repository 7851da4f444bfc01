"""What a table of many members costs, and how old its pictures are: real sessions, one table, its encoder and what fans out.

    python -m benchmarks.tables --members 2 3 8

Cameras are pictures that come by themselves, at 25 a second and each at its own moment; no face is looked for, and rendering is a
stand-in's (1 ms a picture) unless --engine names another: what is measured is all that comes after.
"""

from __future__ import annotations

import asyncio
import resource
import statistics
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from benchmarks.lib import harness
from benchmarks.lib.stand_in import StandIn, seen
from display.seating import MOST, largest
from engines import catalogue
from engines.contract import AnyEngine, FaceObservation
from pipeline import puppet
from pipeline.clock import percentiles
from pipeline.devices.placement import preset
from pipeline.executors.deployments import started
from pipeline.frame import Frame
from pipeline.preprocess.observer import observe_portrait
from pipeline.session import Session
from pipeline.table import Table
from server import workers
from server.channels.forms import sent_as
from server.media.encode import best_codec, layout_for
from server.media.present import Presenter
from server.media.viewer_track import ViewerTrack

RATE = 25
SETTLING = 2.0
"Seconds at the beginning that do not count."
LOOK_EVERY = 0.01


class Acting:
    """Sees a face that follows the puppet's script; what looking for one takes is not part of this."""

    def __init__(self, engine: AnyEngine) -> None:
        self._portrait = None if isinstance(engine, StandIn) else observe_portrait(puppet.puppet_portrait())

    def observe(self, frame: Frame) -> FaceObservation:
        if self._portrait is None:
            return seen(frame.sequence)
        now = puppet.gesture(frame.sequence / RATE)
        return puppet.scripted(self._portrait, now.yaw, now.pitch, now.roll, now.mouth, now.blink, now.smile)

    def close(self) -> None:
        pass


async def measure(members: int, engine: AnyEngine, seconds: float) -> dict[str, Any]:
    """One table of so many."""
    codec = best_codec()
    executor, placement = started(preset("cpu")), preset("cpu")
    presenter = Presenter(lambda screen: sent_as(screen, RATE), codec)
    whole, viewer = largest(members), ViewerTrack()
    table = Table(whole, presenter.present, layout_for(codec))
    portrait = observe_portrait(puppet.puppet_portrait())
    avatar, sessions = engine.enrol(portrait), []
    seating = table.seat(range(1, members + 1))
    for place in seating.places:
        offer = partial(table.offer, place.seat)
        sessions.append(Session(engine, avatar, Acting(engine), placement, executor, offer, layout=layout_for(codec)))
        sessions[-1].watch(seating.seat(place))
    presenter.join(viewer, whole)
    table.watch(whole)
    running = [asyncio.create_task(_film(session, n / members / RATE, seconds)) for n, session in enumerate(sessions)]
    reading, lags = asyncio.create_task(_read(viewer)), asyncio.create_task(_lags(seconds))
    await asyncio.sleep(SETTLING)
    before, made, begun = _spent(), table.report().frames, time.monotonic()
    await asyncio.gather(*running)
    spent, frames, lasted = _spent() - before, table.report().frames - made, time.monotonic() - begun
    ages = [age for per_seat in table.ages().values() for age in [per_seat]]
    reading.cancel()
    lag = percentiles(await lags)
    for session in sessions:
        await workers.slow(session.close)
    table.close()
    executor.close()
    screen = seating.screen()
    return {
        "members": members,
        "engine": engine.name,
        "picture": f"{screen.quilt_width}x{screen.quilt_height}",
        "fps": round(frames / lasted, 2),
        "age_ms": {"p50": statistics.median(age.p50 for age in ages), "p95": max(age.p95 for age in ages)},
        "event_loop_lag_ms": {"p50": lag.p50, "p95": lag.p95, "p99": lag.p99},
        "processor_ms_per_picture": round(1e3 * spent / max(frames, 1), 2),
        "cores": round(spent / lasted, 3),
        "megabit_per_second": round(presenter.reports()[0].bitrate / 1e6, 2),
        "lost": table.report().drops,
        "stages_ms": {stage: times.p50 for stage, times in table.report().stages.items()},
    }


async def _film(session: Session, later: float, seconds: float) -> None:
    """A camera."""
    begun = time.monotonic() + later
    pixels = np.zeros((1, 1, 3), np.uint8)
    for number in range(round(seconds * RATE)):
        await asyncio.sleep(max(0.0, begun + number / RATE - time.monotonic()))
        session.offer(Frame(pixels, captured=time.monotonic(), sequence=number))


async def _read(viewer: ViewerTrack) -> None:
    while True:
        await viewer.recv()


async def _lags(seconds: float) -> list[float]:
    """By how much the event loop is late."""
    found, ends = [], time.monotonic() + seconds
    while time.monotonic() < ends:
        due = time.monotonic() + LOOK_EVERY
        await asyncio.sleep(LOOK_EVERY)
        found.append(max(0.0, time.monotonic() - due))
    return found


def _spent() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main(arguments: Sequence[str] | None = None) -> None:
    parser = harness.parser(__doc__)
    parser.add_argument("--members", type=int, nargs="+", default=[2, 3, 8], choices=range(1, MOST + 1), metavar="N")
    parser.add_argument("--engine", default="stand-in", help="stand-in, or one of the catalogue")
    parser.add_argument("--seconds", type=float, default=12.0, help="of each table")
    parser.add_argument("--name", default="tables", help="of the result")
    asked = parser.parse_args(arguments)
    engine: AnyEngine = StandIn() if asked.engine == "stand-in" else catalogue.load(asked.engine)
    engine.warm_up()
    rows = [asyncio.run(measure(members, engine, asked.seconds)) for members in asked.members]
    path = harness.write(asked.name, {"tables": rows})
    shown = [
        (row["members"], row["picture"], row["fps"], row["age_ms"]["p50"], row["age_ms"]["p95"],
         row["event_loop_lag_ms"]["p99"], row["processor_ms_per_picture"], row["cores"])
        for row in rows
    ]  # fmt: skip
    headings = ("members", "picture", "fps", "age p50", "p95", "loop p99", "CPU a picture", "cores")
    harness.show("Tables", headings, shown, f"milliseconds; written to {path}")


if __name__ == "__main__":
    main()
