"""Datagrams: floods from strangers, and packets of callers and viewers who are let in and then send what they like."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from aiortc import RTCPeerConnection
from aiortc.sdp import SessionDescription

VIDEO = 96
STUN, COOKIE = 0x0001, 0x2112A442
ATTRIBUTES = (0x0006, 0x0008, 0x0024, 0x0025, 0x8029, 0x802A, 0x8028, 0x0020, 0x000A, 0x7FFF)
"USERNAME, MESSAGE-INTEGRITY, PRIORITY, USE-CANDIDATE, ICE-CONTROLLED, ICE-CONTROLLING, FINGERPRINT, XOR-MAPPED-ADDRESS, UNKNOWN, none."


def stun(luck: random.Random, username: str) -> bytes:
    """A message whose attributes nobody has signed."""
    body = b""
    for kind in luck.choices(ATTRIBUTES, k=luck.choice((0, 1, 3, 40))):
        data = (
            username.encode()
            if kind == ATTRIBUTES[0] and luck.random() < 0.7
            else luck.randbytes(luck.choice((0, 4, 8, 20, 200)))
        )
        length = luck.choice((len(data), len(data), 0xFFFF, 0))
        body += struct.pack(">HH", kind, length) + data + bytes(-len(data) % 4)
    told = luck.choice((len(body), len(body), len(body), 0, 0xFFFC, 3))
    kind = luck.choice((STUN, STUN, 0x0101, 0x0111, 0x0011, 0x0003, 0x3FFF))
    return struct.pack(">HHI", kind, told, COOKIE if luck.random() < 0.9 else 0) + luck.randbytes(12) + body


def rtcp(luck: random.Random, sender: int, media: int) -> bytes:
    """Feedback that asks for everything at once, estimates nobody can mean, and what is no RTCP."""
    match luck.randrange(11):
        case 0 | 1 | 2:  # generic NACK (RFC 4585, section 6.2.1): which packets, sixteen more with each
            lost = b"".join(
                struct.pack(">HH", luck.randrange(1 << 16), 0xFFFF) for _ in range(luck.choice((1, 20, 250)))
            )
            return _feedback(205, 1, sender, media, lost)
        case 3:
            return _feedback(206, 1, sender, media, b"")  # PLI
        case 4:
            return _feedback(
                206, 4, sender, 0, struct.pack(">IBxxx", media, luck.randrange(256)) * luck.choice((1, 100))
            )  # FIR
        case 5:  # REMB: nothing, everything, and an exponent past all bounds
            bits = luck.choice((0, 1 << 18, 63 << 18 | 0x3FFFF, 5 << 18 | 1))
            return _feedback(
                206, 15, sender, 0, b"REMB" + bytes([1]) + bits.to_bytes(3, "big") + struct.pack(">I", media)
            )
        case 6:
            return _feedback(
                205, 15, sender, media, luck.randbytes(luck.choice((8, 100, 900)))
            )  # transport-wide feedback
        case 7:  # receiver report with a loss, a jitter and a delay of its own making
            block = struct.pack(
                ">IIIIII",
                media,
                0xFF000000 | luck.randrange(1 << 24),
                luck.getrandbits(32),
                2**32 - 1,
                luck.getrandbits(32),
                2**32 - 1,
            )
            return struct.pack(">BBHI", 0x81, 201, 7, sender) + block
        case 8:
            return struct.pack(">BBHI", 0x81, 203, 1, luck.choice((sender, media)))  # BYE, of somebody else too
        case 9:
            return struct.pack(
                ">BBH",
                0x80 | luck.randrange(32),
                luck.choice((200, 201, 202, 203, 204, 205, 206, 207)),
                luck.choice((0, 1, 400)),
            ) + luck.randbytes(luck.choice((0, 4, 60)))
    return struct.pack(">BBHI", 0x81, 202, 0x10, sender) + bytes([1, 255]) + luck.randbytes(62)


def _feedback(kind: int, form: int, sender: int, media: int, data: bytes) -> bytes:
    return struct.pack(">BBHII", 0x80 | form, kind, 2 + len(data) // 4, sender, media) + data


def rtp(luck: random.Random, source: int) -> bytes:
    """A packet of a codec's that no encoder writes."""
    head = (
        luck.choice((0x80, 0x80, 0x90, 0xA0, 0x8F, 0xBF)),
        luck.choice((VIDEO, VIDEO, 0x80 | VIDEO, 97, 98, 100, 102, 111, 0, 127)),
        luck.randrange(1 << 16),
        luck.getrandbits(32),
        luck.choice((source, source, source, luck.getrandbits(32))),
    )
    payload = luck.choice(
        (
            b"",
            b"\x90\x80",
            b"\x10\x00\x00\x9d\x01\x2a" + b"\xff" * 4,
            b"\x78\xff\xff",
            b"\x7c\x85",
            b"\x18\x00\x00",
            b"\xff" * 40,
        )
    )
    return struct.pack(">BBHII", *head) + payload + luck.randbytes(luck.choice((0, 0, 5, 100, 1100)))


async def flood(connection: RTCPeerConnection, luck: random.Random, count: int, strangers: int = 20) -> int:
    """`count` STUN messages to a caller's port, from `strangers` ports that nobody knows. Returns how many were sent."""
    media = SessionDescription.parse(connection.remoteDescription.sdp).media[0]
    own = SessionDescription.parse(connection.localDescription.sdp).media[0]
    assert media.ice
    assert own.ice
    username = f"{media.ice.usernameFragment}:{own.ice.usernameFragment}"
    (port, *_) = [one.port for one in media.ice_candidates if ":" not in one.ip]
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(strangers)]
    try:
        for number in range(count):
            sockets[number % strangers].sendto(stun(luck, username), ("127.0.0.1", port))
            if number % 50 == 0:
                await asyncio.sleep(0.005)
    finally:
        for one in sockets:
            one.close()
    return count


async def storm(connection: RTCPeerConnection, packets: Iterator[bytes], count: int) -> int:
    """`count` packets by the connection's own keys, so that they are believed. Returns how many were sent."""
    transport: Any = connection.getTransceivers()[0].sender.transport
    for number in range(count):
        with suppress(Exception):  # our own end has closed: so has the server's
            await transport._send_rtp(next(packets))
        if number % 20 == 0:
            await asyncio.sleep(0.004)
    return count


def feedback(luck: random.Random, sender: int, media: int) -> Iterator[bytes]:
    while True:
        yield rtcp(luck, sender, media)


def media(luck: random.Random, source: int) -> Iterator[bytes]:
    while True:
        yield rtp(luck, source)
