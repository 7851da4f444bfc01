"""Talk: one socket's conversation: JSON both ways, numbered ours, bounded, and the newest look or speaker instead of all of them."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import OrderedDict
from contextlib import suppress
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from server.calls.rules import MALFORMED, TOO_FAST

MOST_BYTES = 16 * 1024
"Of one message that comes."
MESSAGES, MESSAGES_PER_SECOND = 40.0, 20.0
"That may come at once, and how fast more may."
WAITING = 128
"Messages that may wait for a slow reader. A call of eight has no more news than that in the twelve seconds until it is given up."
NEWEST = ("look", "speaking", "stats")
"Of which only the last one counts."


class Ending(Exception):
    """The conversation is to end. `code` as in rules.py; `bye` is said before."""

    def __init__(self, code: int, bye: dict[str, Any] | None = None) -> None:
        super().__init__(code)
        self.code, self.bye = code, bye


class Talk:
    """One accepted socket. Event loop only; put() never waits."""

    _numbers = itertools.count(1)

    def __init__(self, socket: WebSocket) -> None:
        self.id = next(self._numbers)
        self._socket = socket
        self._waiting: OrderedDict[object, dict[str, Any]] = OrderedDict()
        self._news = asyncio.Event()
        self._said = 0
        self._ending: Ending | None = None
        self._level, self._heard_at = 0.0, 0.0
        self.skipped = 0
        "Messages that a newer one took the place of."

    def put(self, message: dict[str, Any]) -> None:
        """Send it when its turn comes. Who does not read is let go."""
        if self._ending is not None:
            return
        kind = message["t"]
        key: object = kind if kind in NEWEST else object()
        self.skipped += key in self._waiting
        self._waiting.pop(key, None)
        if len(self._waiting) < WAITING:
            self._waiting[key] = message
            self._news.set()
        else:
            self._waiting.clear()
            self.end(TOO_FAST, {"t": "bye", "why": "this line is too slow", "again": "rejoin"})

    def end(self, code: int, bye: dict[str, Any] | None = None) -> None:
        """Say what waits, then `bye`, and close. Only the first end counts."""
        if self._ending is None:
            self._ending = Ending(code, bye)
            self._news.set()

    @property
    def ending(self) -> bool:
        return self._ending is not None

    async def hear(self, seconds: float | None = None) -> dict[str, Any]:
        """The next message. Raises Ending where it is none, too large or too soon, WebSocketDisconnect once nobody is there, and
        TimeoutError after `seconds`."""
        async with asyncio.timeout(seconds):
            received = await self._socket.receive()
        if received["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(received.get("code", 1005))
        text = received.get("text")
        self._too_fast(asyncio.get_running_loop().time())
        if text is None:
            raise Ending(MALFORMED)
        if len(text.encode("utf-8", "replace")) > MOST_BYTES:
            raise Ending(TOO_FAST)
        try:
            message = json.loads(text)
        except (ValueError, RecursionError):
            raise Ending(MALFORMED) from None
        if not isinstance(message, dict) or not isinstance(message.get("t"), str):
            raise Ending(MALFORMED)
        return message

    async def speak(self) -> None:
        """Send what is put, to the end of the conversation; returns once it is closed."""
        with suppress(
            WebSocketDisconnect, RuntimeError
        ):  # uvicorn's and starlette's words for: nobody is there any more
            while True:
                await self._news.wait()
                self._news.clear()
                while self._waiting:
                    await self._send(self._waiting.popitem(last=False)[1])
                if self._ending is not None:
                    return await self._close(self._ending)

    async def _send(self, message: dict[str, Any]) -> None:
        self._said += 1
        await self._socket.send_text(json.dumps({"t": message["t"], "n": self._said, **message}, separators=(",", ":")))

    async def _close(self, ending: Ending) -> None:
        if ending.bye is not None:
            await self._send(ending.bye)
        if self._socket.application_state is WebSocketState.CONNECTED:
            await self._socket.close(ending.code)

    def _too_fast(self, now: float) -> None:
        self._level = max(0.0, self._level - (now - self._heard_at) * MESSAGES_PER_SECOND) + 1
        self._heard_at = now
        if self._level > MESSAGES:
            raise Ending(TOO_FAST)
