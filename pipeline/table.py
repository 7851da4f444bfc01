"""Table: one picture of all who sit at it, for whoever watches: made by a thread of its own as often as the fastest of them sends."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from display.colour import Layout
from display.detail import Detail
from display.screen import Screen
from display.seating import Seating, seated
from pipeline.clock import UNKNOWN, Cost, Percentiles, StageClock, StageTimes, percentiles
from pipeline.mosaic import Mosaic, form_of
from pipeline.session import Lately, SessionReport
from pipeline.stages import Picture

_log = logging.getLogger(__name__)

COMPOSE, ENCODE = "compose", "encode"
AGES = 250
"Newest pictures of which it is known how old each seat was in them."


class Table:
    """Watched like a session, but made of what sessions show. Any method from any thread; none waits for a picture."""

    def __init__(
        self,
        screen: Screen,
        present: Callable[[Picture], None],
        layout: Layout,
        wanted: Callable[[bool], None] = lambda watched: None,
        sent: Callable[[dict[int, float]], object] = lambda ages: None,
        rate: float = 25.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`screen`: what whoever watches all of it names; its pictures are as large as those who sit at it
        need. `wanted` hears when somebody begins to watch it, and when nobody does any more; `sent`, in the
        table's thread, how old each seat is in a picture that leaves, seconds."""
        self._screen, self._present, self._wanted, self._sent, self._now = screen, present, wanted, sent, now
        self._mosaic = Mosaic(rate, layout)
        self._lock = threading.Condition()
        self._watched: Counter[Screen] = Counter()
        self._open, self._again = True, False
        self._made, self._last = 0, float("-inf")
        self._times = StageTimes()
        self._ages: dict[int, deque[float]] = {}
        self._thread = threading.Thread(target=self._work, name="table", daemon=True)
        self._thread.start()

    def seat(self, seats: Sequence[int]) -> Seating:
        """Let these sit there, in this order. Where each does, from now on."""
        seating = seated(seats)
        with self._lock:
            self._mosaic.seat(seating, self._now())
            self._ages = {seat: self._ages.get(seat, deque(maxlen=AGES)) for seat in seats}
            self._lock.notify()
        return seating

    def offer(self, seat: int, picture: Picture) -> None:
        """What a seat shows now."""
        with self._lock:
            self._mosaic.offer(seat, picture, self._now())
            self._lock.notify()

    def repeat(self, after: float) -> None:
        """Make one more of what is there, unless one was made within the last `after` seconds."""
        with self._lock:
            if self._now() - self._last >= after:
                self._again = True
                self._lock.notify()

    def watch(self, screen: Screen) -> None:
        """Make `screen`, the whole table or a form of it, until every watcher has left it."""
        with self._lock:
            first = not self._watched
            self._watched[screen] += 1
            self._again = True
            self._lock.notify()
        if first:
            self._wanted(True)

    def unwatch(self, screen: Screen) -> None:
        with self._lock:
            self._watched -= Counter({screen: 1})
            last = not self._watched
        if last:
            self._wanted(False)

    def make(self, detail: Detail, frames: float = 1.0) -> None:
        """Its detail is that of those who sit there."""

    @property
    def watched(self) -> tuple[Screen, ...]:
        with self._lock:
            return tuple(self._watched)

    def report(self) -> SessionReport:
        with self._lock:
            return SessionReport(
                fps=round(self._times.rate(self._now()), 2),
                stages=self._times.stages,
                age=self._times.age,
                drops=dict(self._mosaic.lost),
                frames=self._made,
                presence=1.0,
                face=None,
                busy={},
            )

    def ages(self) -> dict[int, Percentiles]:
        """Seat -> milliseconds from its capture to the table's sending it, lately (table_age_ms)."""
        with self._lock:
            return {seat: percentiles(ages) for seat, ages in self._ages.items()}

    def cost(self) -> Cost:
        """Nothing that another caller would cost."""
        return UNKNOWN

    def fps(self) -> float:
        with self._lock:
            return self._times.rate(self._now())

    @property
    def presence(self) -> float:
        return 1.0

    @property
    def face(self) -> None:
        """Of nobody in particular."""

    @property
    def failing(self) -> str:
        """Its seats' sessions say for themselves."""
        return ""

    def lately(self, over: float) -> Lately:
        with self._lock:
            return Lately(self._made, self._times.age_lately(self._now(), over), bool(self._watched))

    def close(self) -> None:
        with self._lock:
            self._open = False
            self._lock.notify()
        self._thread.join(timeout=5.0)

    def _work(self) -> None:
        while (made := self._next()) is not None:
            picture, captured, forms, begun = made
            clock = StageClock(picture.captured)
            clock.mark(COMPOSE, begun, self._now())
            begun = self._now()
            for form in forms:
                try:
                    self._present(self._as(form, picture))
                except Exception:
                    with self._lock:
                        self._count(ENCODE)
            clock.mark(ENCODE, begun, self._now())
            self._settle(clock, captured)

    def _next(self) -> tuple[Picture, dict[int, float], list[Screen], float] | None:
        """The next picture, once it is due and somebody watches. None at the end."""
        with self._lock:
            while self._open:
                now = self._now()
                due = self._due(now)
                if due is not None and due <= now:
                    self._last, self._again = now, False
                    if (made := self._composed(now)) is not None:
                        return made
                else:
                    self._lock.wait(None if due is None else due - now)
        return None

    def _composed(self, now: float) -> tuple[Picture, dict[int, float], list[Screen], float] | None:
        """None where it fails: what was new is lost, and the table goes on; under the lock."""
        try:
            picture, captured = self._mosaic.compose(now)
        except Exception:
            self._count(COMPOSE)
            return None
        self._made += 1
        return picture, captured, [form for form in self._watched if self._made % form.every == 0], now

    def _count(self, stage: str) -> None:
        """A failure, from within its handler; said once, since a broken stage fails 25 times a second."""
        reason = f"failed in {stage}"
        if not self._mosaic.lost[reason]:
            _log.exception("a table's %s fails; further failures are only counted", stage)
        self._mosaic.lost[reason] += 1

    def _due(self, now: float) -> float | None:
        if not self._watched or self._mosaic.seating is None:
            return None
        return now if self._again else self._mosaic.due(now)

    def _as(self, form: Screen, picture: Picture) -> Picture:
        return replace(picture, screen=form) if form == self._screen else form_of(picture, form, self._screen)

    def _settle(self, clock: StageClock, captured: dict[int, float]) -> None:
        with self._lock:
            now = self._now()
            self._times.add(clock, None)
            ages = {seat: now - at for seat, at in captured.items() if seat in self._ages}
            for seat, age in ages.items():
                self._ages[seat].append(age)
        self._sent(ages)
