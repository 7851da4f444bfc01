"""Bridge's events: displays that come and go, what is playing, how far. Heard in a thread, for as long as one wants."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from display.bridge import LONGEST_PAUSE, Bridge, pause
from display.bridge_wire import BridgeFailure, read_answer, value_of

EVENTS = "ws://localhost:9724/event_source"
LISTENING, LOST = "Telequilt Listening", "Telequilt Lost"
"""Two events of our own. After the first, ask again for what matters: what happened before went unheard. The second says why,
and that we try again by ourselves."""
LARGEST_EVENT = 1 << 20
LOOK_EVERY = 0.2
"Seconds until close() is noticed."


@dataclass(frozen=True)
class Event:
    """Something that Bridge told of."""

    name: str
    "Bridge's own, e.g. `Monitor Connect`, `New Item Playing`, `Progress Update`."
    message: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)
    "Whatever else came with it, e.g. head_index, playlist_name, tag, progress."


class Listener:
    """Calls `heard` with each event, in its own thread, until closed. Reconnects by itself, in growing intervals."""

    def __init__(self, bridge: Bridge, heard: Callable[[Event], None], address: str = EVENTS) -> None:
        """Raises BridgeFailure where the package for websockets is not installed."""
        try:
            import websockets.sync.client  # noqa: F401
        except ImportError:
            raise BridgeFailure(
                "Bridge's events need the package websockets: pip install 'telequilt[display]'"
            ) from None
        self.garbled = 0
        "Messages that made no sense, and were left out."
        self._bridge, self._heard, self._address = bridge, heard, address
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="Bridge's events", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening; returns when its thread has ended, within LOOK_EVERY or a connection attempt."""
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        from websockets.exceptions import WebSocketException

        tries = 0
        while not self._closing.is_set():
            since = time.monotonic()
            try:
                self._listen()
            except (BridgeFailure, WebSocketException, OSError) as failure:
                # One who lets us in and throws us out at once is asked as rarely as one who is not there.
                tries = 0 if time.monotonic() - since > LONGEST_PAUSE else tries + 1
                self._heard(Event(LOST, str(failure) or type(failure).__name__))
                self._closing.wait(pause(tries - 1))

    def _listen(self) -> None:
        """Subscribe and listen until closed. Raises whatever ends it."""
        from websockets.sync.client import connect

        # No pings: on one PC a dead Bridge is noticed without, and not every Bridge need answer them. No proxy on one PC.
        with connect(
            self._address, open_timeout=5, close_timeout=1, max_size=LARGEST_EVENT, ping_interval=None, proxy=None
        ) as socket:
            socket.send(json.dumps({"subscribe_orchestration_events": self._bridge.enter()}))
            self._heard(Event(LISTENING))
            while not self._closing.is_set():
                try:
                    message = socket.recv(timeout=LOOK_EVERY)
                except TimeoutError:
                    continue
                self._take(message)

    def _take(self, message: str | bytes) -> None:
        try:
            fields = {name: value_of(value) for name, value in read_answer("an event", message).map().items()}
        except BridgeFailure:
            self.garbled += 1
            return
        name, words = fields.pop("event", None), fields.pop("message", "")
        if isinstance(name, str) and isinstance(words, str):
            self._heard(Event(name, words, fields))
        else:
            self.garbled += 1
