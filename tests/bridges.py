"""Bridges to talk to: the fake Looking Glass Bridge in a thread of its own, and servers that misbehave."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tests.fake_bridge import FakeBridge, display
from tests.panels import CALIBRATIONS

PORTRAIT = (3360, 3360, 8, 6, 0.75)
"The quilt of a Portrait: width, height, columns, rows, aspect."
FILM = "http://services.example/films/me_qs6x4a1.mp4"

SHORT = 0.6
"Seconds that a call may take here."


class Running:
    """A fake Bridge in its own thread and loop, which can be ended and started again at the same address."""

    def __init__(self, displays: list[Any], **ports: int) -> None:
        self._displays = displays
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="the fake Bridge")
        self._thread.start()
        self.fake = FakeBridge(displays, **ports)
        self.do(self.fake.start())
        self.http, self.events = self.fake.address, self.fake.events_address

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def call(self, work: Callable[[], Any]) -> Any:
        """`work` in the fake's own thread."""

        async def now() -> Any:
            return work()

        return self.do(now())

    def stop(self) -> None:
        self.do(self.fake.stop())

    def start(self) -> None:
        """A new process, as it were: it knows nothing of before."""
        self.fake = FakeBridge(self._displays, *self.fake.ports)
        self.do(self.fake.start())

    def close(self) -> None:
        self.stop()
        self.do(_hang_up())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _hang_up() -> None:
    """End whoever still talks to a client that keeps its connection."""
    talking = asyncio.all_tasks() - {asyncio.current_task()}
    for task in talking:
        task.cancel()
    await asyncio.gather(*talking, return_exceptions=True)


@contextmanager
def running(*displays: Any, **ports: int) -> Iterator[Running]:
    bridge = Running(list(displays), **ports)
    try:
        yield bridge
    finally:
        bridge.close()


def portrait(**more: Any) -> Any:
    """A display of the fake Bridge; `more` takes the place of what it says of itself."""
    calibration = json.loads((CALIBRATIONS / "portrait.json").read_text())
    return display(calibration, PORTRAIT, "portrait", "LKG0005", 1920, 40) | more


def portrait_beside_a_monitor() -> Iterator[Running]:
    """For pytest.fixture: a Bridge with an ordinary monitor and a Portrait."""
    with running(display(), portrait()) as bridge:
        yield bridge


@contextmanager
def misbehaving(answer: Callable[[socket.socket], None], port: int = 0) -> Iterator[str]:
    """The address of a server that reads each request's head and then lets `answer` loose on the connection."""
    listening = socket.create_server(("127.0.0.1", port))
    threads: list[threading.Thread] = []
    peers: list[socket.socket] = []

    def serve() -> None:
        with suppress(OSError):  # closed: the test is over
            while True:
                peer, _ = listening.accept()
                peers.append(peer)
                threads.append(threading.Thread(target=talk, args=(peer,)))
                threads[-1].start()

    def talk(peer: socket.socket) -> None:
        with peer, suppress(OSError):  # the client has had enough
            head = b""
            while b"\r\n\r\n" not in head:
                piece = peer.recv(65536)
                if not piece:  # browsers open connections that they may not need
                    return
                head += piece
            answer(peer)
            peer.shutdown(socket.SHUT_WR)
            while peer.recv(65536):  # closing over unread bytes would tear up what was sent
                pass

    accepting = threading.Thread(target=serve)
    accepting.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        accepting.join()
        for peer in peers:
            with suppress(OSError):  # gone already
                peer.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()


def saying(body: bytes, head: str = "200 OK", length: int | None = None) -> Callable[[socket.socket], None]:
    """An answer for `misbehaving`."""

    def answer(peer: socket.socket) -> None:
        announced = len(body) if length is None else length
        peer.sendall(f"HTTP/1.1 {head}\r\nContent-Length: {announced}\r\n\r\n".encode() + body)

    return answer


def envelope(value: Any, status: Any = "Completion") -> bytes:
    """A body for `saying`: an answer of Bridge."""
    said = {
        "name": "value",
        "status": {"name": "status", "type": "WSTRING", "value": status},
        "payload": {"value": value},
    }
    return json.dumps(said).encode()
