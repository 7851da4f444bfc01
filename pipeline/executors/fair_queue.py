"""Fair queue: whose views a free renderer takes next. Callers take fair turns, and their frames come out in order.

Decides without a thread and without a clock: no torch, asyncio, threading or time here.

What is in this line was driven for it, and is rendered. Frames that come too fast wait before that, in the one place where a
newer one replaces them (pipeline/flow.py), and few of a caller's are under way: so the line is short.

Fairness is self-clocked fair queueing (S. J. Golestani, INFOCOM 1994): a frame's place in the line is where its caller's last
frame ended plus its own number of views, so that equal callers take turns by the frame and one who shows more views gets
as many views as the others, not as many frames.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

MOST_AT_ONCE = 32
"Views that a renderer takes of one frame at once: a caller with few views does not wait for all of another's hundred."


@dataclass(eq=False)  # two frames are never one
class Wanted:
    """A render job: the views of one frame that a caller wants rendered."""

    caller: Hashable
    kind: Hashable
    "Views of one kind may share a batch: the engine that renders them."
    views: int
    item: Any = None
    "Whatever stands behind it; never looked at here."
    share: int = 0
    "The most views that one renderer takes of it at once."
    start: float = 0.0
    arrival: int = 0
    "Who came first goes first where places are the same: as they are for equal callers, again and again."
    waiting: list[range] = field(default_factory=list)
    "Views that no renderer has taken, or whose renderer failed."
    out: int = 0
    "Views that renderers are busy with."
    alone: bool = False
    "A batch that held it failed: until it is known who is to blame it shares none."
    raised_on: set[str] = field(default_factory=set)
    "Renderers that failed on it, be it in a batch with others."

    @property
    def place(self) -> tuple[float, int]:
        return self.end, self.arrival

    @property
    def end(self) -> float:
        return self.start + self.views

    @property
    def complete(self) -> bool:
        return not self.waiting and not self.out


@dataclass(frozen=True, eq=False)
class Part:
    """Neighbouring views of one frame, in one batch."""

    wanted: Wanted
    views: range


@dataclass(frozen=True, eq=False)
class Batch:
    """What one renderer does at once."""

    kind: Hashable
    parts: tuple[Part, ...]

    @property
    def sizes(self) -> list[int]:
        return [len(part.views) for part in self.parts]

    def __len__(self) -> int:
        return sum(self.sizes)


def share_of(views: int, renderers: int) -> int:
    """The most views of a frame that one of `renderers` takes at once: even, and never more than MOST_AT_ONCE.

    24 views over 5 renderers are 5, 5, 5, 5 and 4. Where an engine has batches of a fixed size, say 8, shares are whole ones,
    8, 8 and 8: a batch of 5 would take as long, and meanwhile two renderers are free for the next frame.
    """
    turns = -(-views // (max(renderers, 1) * MOST_AT_ONCE))
    return -(-views // (max(renderers, 1) * turns))


class Sharing:
    """The fair queue: the frames of all callers that wait for renderers or are being rendered."""

    def __init__(self) -> None:
        self._callers: dict[Hashable, list[Wanted]] = {}
        "Frames of each caller, oldest first, until they are complete and every older one has gone."
        self._arrivals = count()
        self._now = 0.0
        "The place in the line that is being served."
        self._ahead: dict[Hashable, float] = {}
        "Where a caller's last frame ended, if it was served before its turn to fill up a batch."

    def offer(self, wanted: Wanted, renderers: int) -> None:
        """Put `wanted` in the line, for that many renderers."""
        wanted.waiting, wanted.share = [range(wanted.views)], share_of(wanted.views, renderers)
        wanted.arrival = next(self._arrivals)
        wanted.start = max(self._now, self._ahead.get(wanted.caller, 0.0))
        self._callers.setdefault(wanted.caller, []).append(wanted)
        self._ahead[wanted.caller] = wanted.end

    def take(self, at_once: Callable[[Hashable], int | None]) -> Batch | None:
        """What a free renderer does next: its share of the frame whose turn it is, in full batches.

        `at_once`: views of a full batch by their kind, which other frames fill up; None where nothing is to be filled up.
        """
        line = sorted(self.waiting, key=lambda wanted: wanted.place)
        if not line:
            return None
        first = line[0]
        full = at_once(first.kind)
        room, parts = _whole(first.share, full or 1), []
        for wanted in line:
            fits = not parts or (full and wanted.kind == first.kind and not (wanted.alone or first.alone))
            if room and fits:
                parts.append(Part(wanted, _taken(wanted, min(room, _whole(wanted.share, full or 1)))))
                room -= len(parts[-1].views)
        self._now = max(self._now, first.end)  # not of those who fill up the batch: they were not at the front
        self._ahead = {caller: end for caller, end in self._ahead.items() if end > self._now}
        return Batch(first.kind, tuple(parts))

    def finished(self, batch: Batch) -> list[Wanted]:
        """All views of `batch` are there. The frames that are complete by it, each caller's in order."""
        for part in batch.parts:
            part.wanted.out -= len(part.views)
        return [w for part in batch.parts for w in self._released(part.wanted.caller)]

    def returned(self, batch: Batch) -> None:
        """The renderer of `batch` failed or does not answer: its views wait again, in their old place."""
        for part in batch.parts:
            part.wanted.out -= len(part.views)
            part.wanted.waiting.insert(0, part.views)
            part.wanted.alone = True

    def lost(self, wanted: Wanted) -> list[Wanted]:
        """Give `wanted` up. The frames that had only waited for it come back."""
        self._callers[wanted.caller].remove(wanted)
        return self._released(wanted.caller)

    def all_lost(self) -> list[Wanted]:
        """Give everything up; what it was comes back."""
        gone = [wanted for frames in self._callers.values() for wanted in frames]
        self._callers.clear()
        return gone

    def holds(self, wanted: Wanted) -> bool:
        return wanted in self._callers.get(wanted.caller, ())

    @property
    def waiting(self) -> list[Wanted]:
        """The frames of which there are views to be taken."""
        return [wanted for frames in self._callers.values() for wanted in frames if wanted.waiting]

    @property
    def shares_waiting(self) -> int:
        """How many renderers could take something now."""
        return sum(-(-sum(map(len, wanted.waiting)) // wanted.share) for wanted in self.waiting)

    def _released(self, caller: Hashable) -> list[Wanted]:
        frames, released = self._callers.get(caller, []), []
        while frames and frames[0].complete:
            released.append(frames.pop(0))
        if not frames:
            self._callers.pop(caller, None)
        return released


def _whole(views: int, full: int) -> int:
    """`views`, rounded up to full batches."""
    return -(-views // full) * full


def _taken(wanted: Wanted, most: int) -> range:
    """Up to `most` neighbouring views out of those that wait."""
    run = wanted.waiting.pop(0)
    if len(run) > most:
        wanted.waiting.insert(0, run[most:])
        run = run[:most]
    wanted.out += len(run)
    return run
