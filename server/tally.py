"""Tally: what goes wrong again and again. Each time is counted; the log is told the first one, and then how many there were."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

TOLD_EVERY = 60.0
"Seconds between two lines about the same thing."


class Tally:
    """Counts by reason, from any thread. Reasons are words of ours, never a stranger's: each is kept for good."""

    def __init__(
        self, log: Any, every: float = TOLD_EVERY, now: Callable[[], float] = time.monotonic, **facts: Any
    ) -> None:
        """`log`: a structlog logger. `facts` go into each line."""
        self._log, self._every, self._now, self._facts = log, every, now, facts
        self._counts: Counter[str] = Counter()
        self._told: dict[str, tuple[float, int]] = {}
        "Reason -> when it was told last, and its count then."
        self._lock = threading.Lock()

    def count(self, reason: str, times: int = 1, **facts: Any) -> None:
        """One more of `reason`. `facts` go into the line, where one is due."""
        with self._lock:
            self._counts[reason] += times
            line = self._due(reason)
        if line is not None:
            self._log.warning(reason, **line, **self._facts, **facts)

    @property
    def counts(self) -> dict[str, int]:
        """Reason -> how often."""
        with self._lock:
            return dict(self._counts)

    def _due(self, reason: str) -> dict[str, Any] | None:
        now, count = self._now(), self._counts[reason]
        if reason not in self._told:
            self._told[reason] = now, count
            return {}
        told, before = self._told[reason]
        if now - told < self._every:
            return None
        self._told[reason] = now, count
        return {"times": count - before, "seconds": round(now - told), "in_all": count}
