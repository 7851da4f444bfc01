"""Flow: which frame is worked on next. One waiting place a caller, the newest wins, every loss is counted with its reason.

Decides without a thread and without a clock: no torch, asyncio, threading or time here.
"""

from __future__ import annotations

from collections import Counter

from pipeline.clock import StageClock
from pipeline.frame import Frame
from pipeline.job import FrameJob

REPLACED = "replaced by a newer frame"
LEFT = "the caller left"
STALE = "waited too long"
SPARED = "left out to save work"
ANYWAY = 1.0
"""Seconds of frames that all waited too long after which the next one is worked on all the same: on a machine where all is late, late
pictures are the only ones."""


class Flow:
    """The frames of one caller.

    `depth` frames may be under way at once, so that stages on different devices overlap; frames beyond that wait in
    the one place, where a newer one replaces them.
    """

    def __init__(self, depth: int = 2, stale_after: float = 0.5) -> None:
        assert depth > 0, depth
        self.dropped: Counter[str] = Counter()
        self.kept = 1.0
        "Share of the frames that are worked on: the others are left out evenly."
        self._due = 0.0
        self._late_since: float | None = None
        "Since when every frame has waited too long; None while one has not."
        self._depth = depth
        self._stale_after = stale_after
        self._waiting: FrameJob | None = None
        self._under_way: list[FrameJob] = []
        self._closed = False

    def offer(self, clock: StageClock, frame: Frame) -> None:
        """A newer frame takes the place of one still waiting."""
        if self._closed:
            self.dropped[LEFT] += 1
            return
        self._due += self.kept
        if self._due < 1:
            self.dropped[SPARED] += 1
            return
        self._due -= 1
        if self._waiting is not None:
            self.dropped[REPLACED] += 1
        self._waiting = FrameJob(frame, clock)

    def ready(self, now: float) -> list[FrameJob]:
        """What is to be started now, at most one. A frame that waited longer than `stale_after` is not worth showing, where there are
        others."""
        job = self._waiting
        if job is None or len(self._under_way) >= self._depth:
            return []
        self._waiting = None
        if now - job.clock.captured > self._stale_after:
            self._late_since = now if self._late_since is None else self._late_since
            if now - self._late_since < ANYWAY:
                self.dropped[STALE] += 1
                return []
        self._late_since = None
        self._under_way.append(job)
        return [job]

    def settle(self, job: FrameJob, failed_in: str | None = None) -> None:
        """`job` is finished, or a stage failed on it."""
        self._under_way.remove(job)
        if failed_in is not None:
            self.dropped[f"failed in {failed_in}"] += 1

    def close(self) -> None:
        """Take no more frames; what waits is dropped."""
        self._closed = True
        if self._waiting is not None:
            self.dropped[LEFT] += 1
            self._waiting = None

    @property
    def idle(self) -> bool:
        return not self._under_way
