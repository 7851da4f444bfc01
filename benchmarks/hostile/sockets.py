"""Sockets: a call's WebSocket, spoken to by hand: frames (RFC 6455) that are none, and messages that nobody expects."""

from __future__ import annotations

import asyncio
import json
import random
import struct
from contextlib import suppress

from benchmarks.hostile.chance import changed, document, value
from benchmarks.hostile.target import CLOSED, PATIENCE, SILENT, Target, Tried

TEXT, BINARY, CLOSE, PING = 1, 2, 8, 9
WORDS = ("hello", "set", "watching", "approve", "agree", "stats", "leave", "ping", "x", "", None, 1, [])
FIELDS = (
    "token",
    "resume",
    "name",
    "muted",
    "camera",
    "visible",
    "seat",
    "yes",
    "recording",
    "handover",
    "look_age_ms",
)
LINGERS = 0.5
"Seconds after which an open socket is closed by us: nothing that was said was wrong enough for the server to do it."


def frame(
    kind: int, data: bytes, *, final: bool = True, reserved: int = 0, masked: bool = True, length: int | None = None
) -> bytes:
    said = len(data) if length is None else length
    first = (0x80 if final else 0) | reserved << 4 | kind
    mask = 0x80 if masked else 0
    if said < 126:
        head = struct.pack(">BB", first, mask | said)
    elif said < 1 << 16:
        head = struct.pack(">BBH", first, mask | 126, said)
    else:
        head = struct.pack(">BBQ", first, mask | 127, said & (1 << 64) - 1)
    return head + (bytes(4) if masked else b"") + data  # masked with zeros


def frames(luck: random.Random, token: str) -> bytes:
    """What one socket says: mostly a hello first that is let in, then anything."""
    said = []
    if luck.random() < 0.8:
        said.append(frame(TEXT, json.dumps({"t": "hello", "token": token, "resume": luck.random() < 0.5}).encode()))
    said += [_frame(luck) for _ in range(luck.choice((1, 2, 5, 60)))]
    whole = b"".join(said)
    return changed(luck, whole) if luck.random() < 0.2 else whole


def _frame(luck: random.Random) -> bytes:
    message = {"t": luck.choice(WORDS)} | {name: value(luck) for name in FIELDS if luck.random() < 0.3}
    text = json.dumps(message).encode()
    match luck.randrange(14):
        case 0:
            return frame(TEXT, text, masked=False)
        case 1:
            return frame(TEXT, text, reserved=luck.randrange(8))
        case 2:
            return frame(luck.randrange(16), text)
        case 3:
            return frame(TEXT, text, final=False)
        case 4:
            return frame(0, text)
        case 5:
            return frame(TEXT, text, length=luck.choice((2**16, 2**31, 2**63, 2**64 - 1)))
        case 6:
            return frame(luck.choice((PING, CLOSE)), luck.randbytes(luck.choice((0, 1, 125, 126, 5000))))
        case 7:
            return frame(TEXT, luck.randbytes(50))
        case 8:
            return frame(TEXT, b"a" * luck.choice((16_000, 17_000, 70_000)))
        case 9:
            return frame(BINARY, text)
        case 10:
            return frame(TEXT, document(luck, FIELDS))
    return frame(TEXT, text)


async def talk(target: Target, luck: random.Random, call: str, token: str, tried: Tried) -> None:
    """One socket."""
    reader, writer = await asyncio.open_connection(target.host, target.port)
    upgrade = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    upgrade["X-Forwarded-For"] = f"198.51.{luck.randrange(256)}.{luck.randrange(256)}"
    said = frames(luck, token)
    try:
        async with asyncio.timeout(PATIENCE):
            writer.write(target.head("GET", f"/api/calls/{call}/events", upgrade) + b"\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            if b" 101 " not in head.splitlines()[0]:
                tried.add("refused", said)
                return
            with suppress(ConnectionError):
                writer.write(said)
                await writer.drain()
            tried.add(await _end(reader), said)
    except TimeoutError:
        tried.add(SILENT, said)
    except (ConnectionError, asyncio.IncompleteReadError):
        tried.add(CLOSED, said)
    finally:
        writer.transport.abort()


async def _end(reader: asyncio.StreamReader) -> str:
    """How the server closes it; "open" where it goes on."""
    told = b""
    try:
        async with asyncio.timeout(LINGERS):
            while piece := await reader.read(1 << 16):
                told += piece
    except TimeoutError:
        return "open"
    closing = told.rfind(b"\x88")
    if closing >= 0 and len(told) >= closing + 4:
        return f"code {int.from_bytes(told[closing + 2 : closing + 4], 'big')}"
    return CLOSED
