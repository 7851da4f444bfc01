"""Watch: the thread that looks, several times a second, for devices that do not answer."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

_log = logging.getLogger(__name__)

LOOK_EVERY = 0.1
"Seconds between two looks."
CLOSING_PATIENCE = 30.0
"Seconds that closing waits after the last frame that ended; a thread that hangs would make it wait for ever."
LEAVING_PATIENCE = 2.0
"Seconds that closing waits for a thread when no frame is under way any more."


class Watch:
    def __init__(self, *looks: Callable[[], None]) -> None:
        self._looks = looks
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._look, name="stage-watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look no more. Waits for a look that is under way, unless it is from within that."""
        self._closing.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _look(self) -> None:
        while not self._closing.wait(LOOK_EVERY):
            for look in self._looks:
                try:
                    look()
                except Exception:  # who is told that a frame is lost may raise: the others are looked after too
                    _log.exception("looking for devices that do not answer failed; it goes on")
