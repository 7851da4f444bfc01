"""Overhead: what a frame costs beyond its stages: waiting places, hand-overs from thread to thread, and their books.

    python -m benchmarks.overhead                 one GPU, the paper's seven, and the processor; 1, 2 and 4 callers

Real sessions and the threads executor, on CPU devices in the shape of each placement, with stages that do nothing worth mentioning:
one face for every frame, views of 2x2 pixels. *age* is from the offer of a frame to the end of its last stage. *stages* is the part
of it in which a stage of this frame ran, *hand-over* the rest: queues, wake-ups, sharing views out, taking turns.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.lib.harness import RESULTS, parser, show, write
from benchmarks.lib.probes import Probe, drops_of, job_of
from benchmarks.simulation.simulation import Blank, blank_frame, tiny_screen
from display import planar
from pipeline.clock import Percentiles, percentiles
from pipeline.devices.placement import Placement, named
from pipeline.executors import Done, Executor, Failure, Step
from pipeline.executors.deployments import started
from pipeline.session import Session

VIEWS = 24
LIMIT_MS = 5.0
"What the age's p95 may be."


@dataclass(frozen=True)
class Overhead:
    """Of the frames of all callers together, in milliseconds."""

    placement: str
    devices: int
    callers: int
    age: Percentiles
    stages: Percentiles
    hand_over: Percentiles
    frames: int
    drops: dict[str, int]

    @property
    def lost(self) -> int:
        return sum(self.drops.values())


def main() -> None:
    options = parser(__doc__)
    add = options.add_argument
    add("--placements", nargs="+", default=["one-gpu", "paper", "cpu"], help="presets or files")
    add("--callers", type=int, nargs="+", default=[1, 2, 4], help="how many at once")
    add("--camera", type=float, default=30.0, help="frames a second of each caller")
    add("--frames", type=int, default=300, help="of each caller, measured")
    add("--warm-up", type=int, default=30, help="frames that are run first and not measured")
    add("--repeats", type=int, default=3, help="how often each run is repeated, in turns")
    add("--out", type=Path, default=RESULTS, help="folder for the JSON")
    wanted = options.parse_args()
    # in their shape on CPU devices: every GPU a thread of its own
    shapes = [named(choice).on_cpu() for choice in wanted.placements]
    loads = [(shape, callers) for shape in shapes for callers in wanted.callers]
    runs = [
        [measured(place, callers, wanted.camera, wanted.frames, wanted.warm_up) for place, callers in loads]
        for _ in range(wanted.repeats)
    ]
    middle = [median_run(repeated) for repeated in zip(*runs, strict=True)]
    headings = ["placement", "devices", "callers", "age p50 / p95 / p99 ms", "stages", "hand-over", "dropped"]
    rows = [
        [one.placement, one.devices, one.callers, *map(_three, (one.age, one.stages, one.hand_over)), one.lost]
        for one in middle
    ]
    title = f"a frame of {VIEWS} views through stages that do nothing, {wanted.camera:g} fps each"
    show(title, headings, rows, f"median of {wanted.repeats} runs by the age's p95, which may be {LIMIT_MS:g} ms")
    facts = {"what": title, "limit_ms": LIMIT_MS, "frames": wanted.frames, "warm_up": wanted.warm_up}
    print(write("overhead", facts | {"median": middle, "runs": runs}, wanted.out))


def median_run(repeated: Sequence[Overhead]) -> Overhead:
    return sorted(repeated, key=lambda run: run.age.p95)[len(repeated) // 2]


def measured(placement: Placement, callers: int, rate: float, frames: int, warm_up: int) -> Overhead:
    """Frames of `callers` come at `rate` each, evenly in turns; the first `warm_up` of each are not counted."""
    planar.warm_up()
    executor, engine = started(placement), Blank()
    probes = [_Probe(executor) for _ in range(callers)]
    sessions = [Session(engine, None, engine, placement, probe, lambda picture: None, marked=False) for probe in probes]
    try:
        for session in sessions:
            session.watch(tiny_screen(VIEWS))
        _offer(sessions, rate, frames + warm_up)
    finally:
        for session in sessions:
            session.close()
        executor.close()
    counted = [frame for probe in probes for frame in probe.ended[warm_up:]]
    return Overhead(
        placement=placement.name,
        devices=len(placement.devices),
        callers=callers,
        age=percentiles(frame.age for frame in counted),
        stages=percentiles(frame.in_stages for frame in counted),
        hand_over=percentiles(frame.age - frame.in_stages for frame in counted),
        frames=len(counted),
        drops=drops_of(session.report() for session in sessions),
    )


def _offer(sessions: Sequence[Session], rate: float, frames: int) -> None:
    begun = time.monotonic()
    for number in range(frames * len(sessions)):
        time.sleep(max(0.0, begun + number / (rate * len(sessions)) - time.monotonic()))
        sessions[number % len(sessions)].offer(blank_frame(time.monotonic()))


@dataclass(frozen=True)
class Ended:
    """One frame that went the whole way."""

    captured: float
    spans: list[tuple[float, float]]
    "When each of its tasks began and ended, in any order."

    @property
    def age(self) -> float:
        return max(ended for _, ended in self.spans) - self.captured

    @property
    def in_stages(self) -> float:
        """Seconds in which some task of it ran; where several did, once."""
        total, until = 0.0, 0.0
        for begun, ended in sorted(self.spans):
            total += max(0.0, ended - max(begun, until))
            until = max(until, ended)
        return total


class _Probe(Probe):
    """Keeps when each task of its caller's frames ran."""

    def __init__(self, executor: Executor) -> None:
        super().__init__(executor)
        self.ended: list[Ended] = []

    def submit(self, steps: Sequence[Step], done: Done) -> None:
        job = job_of(steps)

        def noted(failure: Failure | None) -> None:
            if failure is None:
                times = ((one.begun, one.ended) for one in job.spans)
                spans = [(a, b) for a, b in times if isinstance(a, float) and isinstance(b, float)]
                self.ended.append(Ended(job.frame.captured, spans))
            done(failure)

        super().submit(steps, noted)


def _three(found: Percentiles) -> str:
    return f"{found.p50:.2f} / {found.p95:.2f} / {found.p99:.2f}"


if __name__ == "__main__":
    main()
