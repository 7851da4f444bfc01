"""Network: what a bad one does to datagrams, in user space and by a seed, since not every kernel has netem. `Way` decides, told the time;
`Relay` carries, between a server and one peer that meet nowhere else."""

from __future__ import annotations

import asyncio
import random
import re
import socket
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

LOST, FULL, TOO_LARGE = "lost", "queue full", "too large"
HEADERS = 40 + 8
"Bytes of IPv6 and UDP: what an MTU has besides a datagram's content."
REMEMBERED = 60.0
"Seconds for which it is known what was carried."
BUFFER = 4 * 1024 * 1024
_CANDIDATE = r"(?m)^(a=candidate:\S+ 1 udp \d+ )(\d+\.\d+\.\d+\.\d+) (\d+)( typ host[^\r\n]*)"


@dataclass(frozen=True)
class Conditions:
    """Of one direction. As it stands: a network without any fault."""

    loss: float = 0.0
    "Share of datagrams, by chance."
    jitter: float = 0.0
    "Seconds that a datagram takes longer at most, evenly spread; none overtakes another for it."
    overtaken: float = 0.0
    "Share of datagrams that take `jitter`, or 20 ms, more, and are overtaken meanwhile."
    bits: float = float("inf")
    "A second, that it carries."
    queue: float = 0.1
    "Seconds of what it carries that it holds before it drops."
    mtu: int = 65_535
    "Of a datagram with its headers; a larger one is lost, as where fragments and ICMP are filtered."


class Way:
    """One direction. Its conditions may be replaced at any time."""

    def __init__(self, conditions: Conditions = Conditions(), seed: int = 1) -> None:
        self.conditions = conditions
        self._chance = random.Random(seed)
        self._free = self._last = float("-inf")
        self.lost: Counter[str] = Counter()
        self.carried: deque[tuple[float, int]] = deque()
        "When it came, and how many bytes, of the last minute."
        self.waited = 0.0
        "Seconds that the newest datagram waits for those before it."

    def arrival(self, size: int, now: float) -> float | None:
        """When a datagram of `size` bytes that comes `now` is there; None: never."""
        how, chance = self.conditions, self._chance
        if (reason := self._refused(how, size, now)) is not None:
            self.lost[reason] += 1
            return None
        self._free = max(self._free, now) + 8 * size / how.bits
        self.waited = self._free - now
        self.carried.append((now, size))
        while self.carried[0][0] < now - REMEMBERED:
            self.carried.popleft()
        at = self._free + chance.uniform(0, how.jitter)
        if how.overtaken and chance.random() < how.overtaken:
            return at + (how.jitter or 0.02)
        self._last = max(self._last, at)
        return self._last

    def bits(self, since: float, now: float) -> float:
        """A second, that were carried from `since` to `now`."""
        return 8 * sum(size for at, size in self.carried if since <= at <= now) / max(now - since, 1e-3)

    def _refused(self, how: Conditions, size: int, now: float) -> str | None:
        if size + HEADERS > how.mtu:
            return TOO_LARGE
        if how.loss and self._chance.random() < how.loss:
            return LOST
        return FULL if self._free - now > how.queue else None


class Relay(asyncio.DatagramProtocol):
    """Between a server at `far` and whoever sends here."""

    def __init__(self, far: tuple[str, int], up: Way, down: Way) -> None:
        """`up`: to the server."""
        self._far, self._up, self._down = far, up, down
        self._near: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        back = addr == self._far
        if not back:
            self._near = addr
        to = self._near if back else self._far
        loop = asyncio.get_running_loop()
        at = (self._down if back else self._up).arrival(len(data), loop.time())
        if to is None or at is None:
            return
        if at <= loop.time():
            self._send(data, to)
        else:
            loop.call_at(at, self._send, data, to)

    def _send(self, data: bytes, to: Any) -> None:
        if not self._transport.is_closing():
            self._transport.sendto(data, to)


def without_candidates(sdp: str) -> str:
    """An offer whose sender is to be met at a relay alone: nobody is at port 9."""
    return re.sub(r"(?mi)^(a=candidate:\S+ 1 udp \d+ )\S+ \d+ typ host", r"\g<1>127.0.0.1 9 typ host", sdp)


def met_at(answer: str) -> tuple[str, int]:
    """Where a server is, by its answer."""
    return next((host, int(port)) for _, host, port, _ in re.findall(_CANDIDATE, answer))


def leading_to(answer: str, host: str, port: int) -> str:
    """A server's answer as if it were at `host` and `port`, and nowhere else."""
    through = re.sub(_CANDIDATE, rf"\g<1>{host} {port}\g<4>", answer)
    return re.sub(rf"(?m)^a=candidate:(?!\S+ 1 udp \d+ {re.escape(host)} {port} )[^\r\n]*\r?\n", "", through)


@asynccontextmanager
async def relayed(answer: str, up: Way, down: Way) -> AsyncIterator[str]:
    """A server's answer that leads to a relay, which is there for as long as the context lasts."""
    far = met_at(answer)
    relay = Relay(far, up, down)
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: relay, local_addr=(far[0], 0))
    transport.get_extra_info("socket").setsockopt(
        socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER
    )  # what is lost, `Way` loses
    try:
        yield leading_to(answer, far[0], transport.get_extra_info("sockname")[1])
    finally:
        transport.close()
