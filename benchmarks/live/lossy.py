"""Lossy: a link in user space, on loopback, that loses and delays datagrams on their way to one end, or becomes narrow; kernels of
CI have no netem."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from benchmarks.live.network import leading_to, met_at

APPLICATION_DATA = 23
"The type of a DTLS record (RFC 8446, section 5.1)."
QUEUE = 0.1
"Seconds of what comes that a narrow link holds before it drops."


@dataclass(frozen=True)
class Narrow:
    """What a link carries from a moment on."""

    after: float
    "Seconds since its first packet of media."
    bits: float
    "A second."


class Link(asyncio.DatagramProtocol):
    """Between a server at `far` and whoever sends here first."""

    def __init__(
        self, far: tuple[str, int], loss: float, jitter: float, from_server: bool, narrow: Narrow | None = None
    ) -> None:
        """`loss`: share of datagrams; `jitter`: seconds, evenly spread. `from_server`: which way they are lost."""
        self._far, self._loss, self._jitter, self._from_server = far, loss, jitter, from_server
        self._narrow, self._begun, self._free = narrow, 0.0, 0.0
        self.narrowed = 0.0
        "When it became narrow, seconds since 1970."
        self.came: list[tuple[float, int]] = []
        "Of what was carried since: when, seconds since 1970, and how many bytes."
        self._near: Any = None
        self._chance = random.Random(1)
        self.carried = self.lost = 0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        back = addr == self._far
        self._near = self._near if back else addr
        to = self._near if back else self._far
        media = 127 < data[0] < 192 and not 191 < data[1] < 224  # RTP (RFC 7983), and not RTCP (RFC 5761)
        media |= data[0] == APPLICATION_DATA  # what data channels carry
        if to is None:
            return
        if back != self._from_server or not media:
            self._transport.sendto(data, to)
        elif self._chance.random() < self._loss:
            self.lost += 1
        else:
            self._carry(data, to)

    def _carry(self, data: bytes, to: Any) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._begun = self._begun or now
        if self._narrow is not None and now - self._begun >= self._narrow.after:
            self.narrowed = self.narrowed or time.time()
            if self._free - now > QUEUE:
                self.lost += 1
                return
            self._free = max(self._free, now) + 8 * len(data) / self._narrow.bits
            self.came.append((time.time(), len(data)))
        self.carried += 1
        loop.call_at(max(now, self._free) + self._chance.uniform(0, self._jitter), self._send, data, to)

    def _send(self, data: bytes, to: Any) -> None:
        if not self._transport.is_closing():
            self._transport.sendto(data, to)


class Links:
    """Links in a thread of their own, beside whatever the benchmark waits for."""

    def __init__(self, loss: float, jitter: float, from_server: bool, narrow: Narrow | None = None) -> None:
        self._how = (loss, jitter, from_server, narrow)
        self._loop = asyncio.new_event_loop()
        self.links: list[Link] = []
        self._thread = threading.Thread(target=self._loop.run_forever, name="lossy links", daemon=True)
        self._thread.start()

    def through(self, answer: str) -> str:
        """A server's answer whose candidates are a new link's end."""
        made: Future[tuple[str, int]] = asyncio.run_coroutine_threadsafe(self._open(met_at(answer)), self._loop)
        return leading_to(answer, *made.result(10))

    async def _open(self, far: tuple[str, int]) -> tuple[str, int]:
        link = Link(far, *self._how)
        transport, _ = await self._loop.create_datagram_endpoint(lambda: link, local_addr=(far[0], 0))
        self.links.append(link)
        return transport.get_extra_info("sockname")[:2]

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
