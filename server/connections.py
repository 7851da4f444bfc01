"""Connections: how many HTTP connections there may be, of one client too, and how long one may say nothing.

uvicorn has limits for requests under way and for connections kept alive, but none for those that have not asked for anything,
so this is its protocol with a table around it. The table decides, told the time; the protocol reports and closes.
"""

from __future__ import annotations

import asyncio
import logging
import resource
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import structlog
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from server.settings import PROXIES, is_loopback, is_within
from server.tally import Tally

log = structlog.get_logger(__name__)

MOST = 512
"Connections at once. Each client has one or two, and most are closed after five idle seconds."
MOST_WAITING_OF_ONE = 64
"Of one address, without a whole request. A proxy in front keeps few of those, and those idle ones are no loss."
MOST_OF_ONE = 128
"Of one address that is no proxy, which speaks for many."
HEADER_SECONDS = 10.0
"From a connection's first moment, or the end of its last request, until its next request's headers are whole."
STALLED_SECONDS = 30.0
"How long a client may leave unread what we send."
BACKLOG = 128
"What may wait for accept(). asyncio takes so many in a row before any comes into the table."
TOO_MANY, NO_REQUEST, NO_FILES = (
    "connections are turned away: there are too many",
    "what came was no HTTP request",
    "connections cannot be accepted: files have run out (ulimit -n)",
)
TOLD_EVERY = 1.0
"Seconds between two lines about the same thing."
NO_ROOM = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
PING_SECONDS, PONG_SECONDS = 5.0, 7.0
"Each WebSocket is asked so often whether it is there, and is gone where it has not answered for so long."
MOST_OF_A_MESSAGE = 64 * 1024
"Bytes. What is told who sends too much is decided by who reads it (server/calls/talk.py)."
IDLE_SECONDS = 8
"""Between requests of one connection. httpx lets go of one after 5: with as many here, a request meets the end of it now and then."""
LAST_SECONDS = 5
"How long downloads that are under way may still take when the server is asked to end."


@dataclass(eq=False)
class Held:
    """One connection in the table."""

    address: str
    close: Callable[[], None]
    waiting: bool = True
    "It has not asked for anything, or not yet whole."


@dataclass
class Table:
    """Who is connected. Where it is full, whoever has waited longest for nothing makes room: silence shuts nobody out."""

    most: int
    _all: dict[Held, None] = field(default_factory=dict)
    "In the order in which they came, or last began to wait."
    proxies: tuple[str, ...] = PROXIES
    refused: int = 0
    "Connections closed for lack of room, the new one or an older."

    def enter(self, held: Held) -> bool:
        """Take `held` in, if need be in the place of a waiting one, which is closed. False where there is no room."""
        mine = [one for one in self._all if one.address == held.address]
        silent = [one for one in mine if one.waiting]
        if len(silent) >= MOST_WAITING_OF_ONE:
            self._make_room(silent[0])
        elif len(mine) >= MOST_OF_ONE and not self._for_many(held.address):
            self.refused += 1
            return False
        elif len(self._all) >= self.most:
            longest = self._longest_waiting()
            if longest is None:
                self.refused += 1
                return False
            self._make_room(longest)
        self._all[held] = None
        return True

    def waits(self, held: Held, waiting: bool) -> None:
        if held.waiting != waiting and held in self._all:
            held.waiting = waiting
            self._all[held] = self._all.pop(held)

    def leave(self, held: Held) -> None:
        self._all.pop(held, None)

    def __len__(self) -> int:
        return len(self._all)

    def _for_many(self, address: str) -> bool:
        return is_loopback(address) or is_within(address, self.proxies)

    def _longest_waiting(self) -> Held | None:
        """Of the address that has most connections waiting."""
        waiting = [one for one in self._all if one.waiting]
        if not waiting:
            return None
        ((busiest, _),) = Counter(one.address for one in waiting).most_common(1)
        return next(one for one in waiting if one.address == busiest)

    def _make_room(self, held: Held) -> None:
        self.refused += 1
        self.leave(held)
        held.close()


class Protocol(H11Protocol):
    """uvicorn's protocol for one connection, which is in the table as long as it stands."""

    table: Table
    _told = Tally(log, TOLD_EVERY)

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.logger = logging.getLogger("uvicorn.error.connection")  # which would tell of each bad request
        self.logger.setLevel(logging.ERROR)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._upgraded = False
        self._deadline: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        address = self.client[0] if self.client else ""
        self._held = Held(address, transport.abort)
        before = self.table.refused
        if not self.table.enter(self._held):
            transport.write(NO_ROOM)
            transport.close()
        if self.table.refused > before:
            self._told.count(TOO_MANY, connections=len(self.table), address=address)
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        self.table.leave(self._held)
        for timer in (self._deadline, self._stalled):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._look()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled = self.loop.call_later(STALLED_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()

    def send_400_response(self, msg: str) -> None:
        self._told.count(NO_REQUEST, address=self._held.address)
        asked = self.cycle if self.cycle is not None and not self.cycle.response_complete else None
        if asked is not None:  # its body went wrong while it was being answered: that answer has no place any more
            asked.disconnected = True
            asked.message_event.set()
        if asked is not None and asked.response_started:
            self.transport.abort()
        else:
            super().send_400_response(msg)

    def handle_websocket_upgrade(self, event: Any) -> None:
        """From here on it is a socket: it keeps its place in the table, and has no request to be waited for."""
        self._upgraded = True
        super().handle_websocket_upgrade(event)
        socket = self.transport.get_protocol()
        assert isinstance(socket, Socket)
        socket.let_go = lambda: self.table.leave(self._held)

    def _look(self) -> None:
        """Begin or end the time within which a request has to come."""
        waiting = not self._upgraded and (self.cycle is None or self.cycle.response_complete)
        self.table.waits(self._held, waiting)
        if waiting and self._deadline is None:
            self._deadline = self.loop.call_later(HEADER_SECONDS, self.transport.abort)
        elif not waiting and self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _unsupported_upgrade_warning(self) -> None:
        """Anybody may ask for a WebSocket; there are none, and nothing to tell."""


class Socket(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket, which gives its place in the table free when it is gone, and is gone where its handshake does not come:
    one that announces a body is read as if that had to follow first."""

    let_go: Callable[[], None] = staticmethod(lambda: None)

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.logger = logging.getLogger("uvicorn.error.socket")
        self.logger.addFilter(_of_ours)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._deadline = self.loop.call_later(HEADER_SECONDS, self._unless_greeted)

    def _unless_greeted(self) -> None:
        if not self.handshake_initiated:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.let_go()
        self._deadline.cancel()
        super().connection_lost(exc)


def _of_ours(record: logging.LogRecord) -> bool:
    """Not what a client has said: uvicorn closes a socket whose text is no UTF-8 (1007), and tells of each with a traceback."""
    return not isinstance(record.exc_info and record.exc_info[1], UnicodeDecodeError)


def config(app: Any, host: str, port: int, proxies: tuple[str, ...] = PROXIES) -> uvicorn.Config:
    """How uvicorn serves `app`. `proxies`: whose X-Forwarded-For and X-Forwarded-Proto are believed."""
    files = _files()
    _keep_secrets()
    return uvicorn.Config(
        app,
        host,
        port,
        http=type("Bounded", (Protocol,), {"table": Table(min(MOST, files // 3), proxies=proxies)}),
        proxy_headers=True,
        forwarded_allow_ips=list(proxies),
        ws=Socket,
        ws_max_size=MOST_OF_A_MESSAGE,
        ws_ping_interval=PING_SECONDS,
        ws_ping_timeout=PONG_SECONDS,
        ws_per_message_deflate=False,  # messages of a hundred bytes: the window would cost more than it saves
        backlog=min(BACKLOG, files // 8),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=LAST_SECONDS,
    )


def _keep_secrets() -> None:
    """At debug level these write down what clients send, with the tokens in it."""
    for logger in map(logging.getLogger, ("uvicorn.error", "websockets")):
        if logger.getEffectiveLevel() < logging.INFO:
            logger.setLevel(logging.INFO)


def _files() -> int:
    """How many files this process may open, after asking for as many as the system allows: the usual 1024 are a choice of
    select(), which is not used here. A third is for connections; the rest is for media, and for what accept() takes at once."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return 1 << 20 if hard == resource.RLIM_INFINITY else hard


def tell_once_where_files_run_out() -> None:
    """asyncio tells of each accept() that found no file left, a hundred and more at once: one line a second is enough."""
    loop, told = asyncio.get_running_loop(), Tally(log, TOLD_EVERY)

    def tell(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        message = str(context.get("message", ""))
        if message.startswith("socket.accept()"):
            told.count(NO_FILES)
        elif "_start_serving" not in message:  # a try that comes when the server has ended
            loop.default_exception_handler(context)

    loop.set_exception_handler(tell)
