"""Target: the server that is attacked: one request at a time by hand-made bytes, and what came of it."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

PATIENCE = 60.0
"Seconds until an answer that does not come is a fault: a decoder's own limits are within."
CLOSED, SILENT = "closed", "no answer"
EXPLAINED = (503, 507)
"What a server may say that is not the client's fault: come again, or no room; each with its reason."


@dataclass(frozen=True)
class Answer:
    status: int
    head: bytes
    body: bytes

    @property
    def kind(self) -> str:
        """Of a refusal."""
        found = re.search(rb"urn:telequilt:problem:([a-z-]+)", self.body)
        return found[1].decode() if found else ""

    @property
    def location(self) -> str:
        found = re.search(rb"(?im)^location: *(\S+)", self.head)
        return "/" + found[1].decode().replace("../", "") if found else ""


@dataclass
class Tried:
    """What a kind of attack came to."""

    outcomes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    "What must not be: a 500, no answer at all, each with what had been sent."

    packets: int = 0

    @property
    def cases(self) -> int:
        """Packets are no cases: they are made by thousands."""
        return sum(self.outcomes.values())

    def add(self, outcome: Answer | str, sent: bytes | str = b"") -> None:
        """What came of one case."""
        told = f"{outcome.status} {outcome.kind}".strip() if isinstance(outcome, Answer) else outcome
        self.outcomes[told] += 1
        bad = told == SILENT
        if isinstance(outcome, Answer):
            bad = outcome.status >= 500 and not (outcome.status in EXPLAINED and (outcome.kind or outcome.body == b""))
        if bad:
            self.faults.append(f"{told}: {sent[:600]!r}")


@dataclass(frozen=True)
class Target:
    host: str
    port: int
    token: str = ""

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def head(self, method: str, path: str, headers: Mapping[str, str] | None = None) -> bytes:
        """A request's head, with the token."""
        told = {"Host": f"localhost:{self.port}", **self.authority, **(headers or {})}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in told.items())]
        return "\r\n".join(lines).encode("utf-8", "surrogateescape")

    @property
    def authority(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    async def ask(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer | str:
        told = {"Content-Length": str(len(body)), "Connection": "close", **(headers or {})}
        return await self.send(self.head(method, path, told) + b"\r\n\r\n" + body)

    async def send(self, sent: bytes) -> Answer | str:
        """The first answer to these bytes, CLOSED where the connection ends without one, or SILENT."""
        reader, writer = await asyncio.open_connection(self.host, self.port, limit=1 << 20)
        try:
            async with asyncio.timeout(PATIENCE):
                with suppress(ConnectionError):
                    writer.write(sent)
                    await writer.drain()
                return await _answer(reader)
        except TimeoutError:
            return SILENT
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return CLOSED
        finally:
            writer.transport.abort()


async def _answer(reader: asyncio.StreamReader) -> Answer | str:
    head = await reader.readuntil(b"\r\n\r\n")
    status = re.match(rb"HTTP/1\.[01] (\d{3})", head)
    if status is None:
        return CLOSED
    length = re.search(rb"(?im)^content-length: *(\d+)", head)
    body = await reader.readexactly(min(int(length[1]), 1 << 16)) if length else b""
    return Answer(int(status[1]), head, body)
