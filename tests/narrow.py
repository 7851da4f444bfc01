"""Narrow: a link in user space that carries so many bits a second, loses and delays: kernels of CI have no netem."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from aiortc import RTCSessionDescription

from tests.live import SDP, Client, located

HELD = 0.1
"Seconds of what comes that the link holds back before it drops."


class Wire(asyncio.DatagramProtocol):
    """Between a server at `far` and whoever sends here. What goes to the latter is limited."""

    def __init__(self, far: tuple[str, int], bits: float, loss: float = 0.0, jitter: float = 0.0) -> None:
        self._far, self.bits, self._loss, self._jitter = far, bits, loss, jitter
        self._near: Any = None
        self._free = 0.0
        self._chance = random.Random(1)
        self.carried: list[tuple[float, int]] = []
        "When, and how many bytes."

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if addr != self._far:
            self._near = addr
            self._transport.sendto(data, self._far)
        elif self._near is not None and self._chance.random() >= self._loss:
            self._carry(data)

    def _carry(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self._free - now > HELD:
            return
        self._free = max(self._free, now) + 8 * len(data) / self.bits
        self.carried.append((now, len(data)))
        loop.call_at(self._free + self._chance.uniform(0, self._jitter), self._send, data)

    def _send(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.sendto(data, self._near)

    def rate(self, since: float) -> float:
        """Bits a second that were carried since then."""
        now = asyncio.get_running_loop().time()
        return 8 * sum(size for at, size in self.carried if at >= since) / max(now - since, 1e-3)


class Distant(Client):
    """A viewer at the end of such a link."""

    def __init__(self, http: httpx.AsyncClient, bits: float, **how: float) -> None:
        super().__init__(http)
        self._bits, self._how = bits, how
        self.wire: Wire | None = None

    async def exchange(self, path: str, query: dict[str, str], mangle: Any = str) -> httpx.Response:
        await self.connection.setLocalDescription()
        # nobody is at port 9, so that the server meets this viewer at the wire's end alone
        nowhere = r"\g<1>127.0.0.1 9 typ host"
        offer = re.sub(
            r"(a=candidate:\S+ 1 udp \d+ )\S+ \d+ typ host", nowhere, mangle(self.connection.localDescription.sdp)
        )
        answer = await self.http.post(path, params=query, content=offer, headers=SDP)
        assert answer.status_code == 201, answer.text
        self.session, self.etag = located(answer), answer.headers["ETag"]
        self.answer = await self._through_the_wire(answer.text)
        await self.connection.setRemoteDescription(RTCSessionDescription(self.answer, "answer"))
        return answer

    async def _through_the_wire(self, answer: str) -> str:
        host, port = re.findall(r"a=candidate:\S+ 1 udp \d+ (\d+\.\d+\.\d+\.\d+) (\d+) typ host", answer)[0]
        loop = asyncio.get_running_loop()
        wire = Wire((host, int(port)), self._bits, **self._how)
        transport, self.wire = await loop.create_datagram_endpoint(lambda: wire, local_addr=(host, 0))
        self._wire_transport = transport
        ours = transport.get_extra_info("sockname")[1]
        return re.sub(r"(a=candidate:\S+ 1 udp \d+ )\S+ \d+ (typ host)", rf"\g<1>{host} {ours} \2", answer)

    async def close(self) -> None:
        await super().close()
        if self.wire is not None:
            self._wire_transport.close()


@asynccontextmanager
async def distant(http: httpx.AsyncClient, bits: float, **how: float) -> AsyncIterator[Distant]:
    client = Distant(http, bits, **how)
    try:
        yield client
    finally:
        await client.close()
