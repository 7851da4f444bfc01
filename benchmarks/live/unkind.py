"""Unkind: what strangers send a server that has done nothing to them, beside those who break off (broken_off.py)."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress

import httpx
import psutil
from aiortc import RTCConfiguration, RTCPeerConnection

SDP = {"Content-Type": "application/sdp"}
BINDING_REQUEST, COOKIE = 1, 0x2112A442


class Stranger:
    """One of them; what was answered is kept."""

    def __init__(self, http: httpx.AsyncClient, server: psutil.Process, luck: random.Random) -> None:
        self.http, self.server, self.luck = http, server, luck
        self.answers: list[httpx.Response] = []

    async def ask(self, method: str, path: str, **how: object) -> httpx.Response:
        answer = await self.http.request(method, path, **how)  # type: ignore[arg-type]
        self.answers.append(answer)
        return answer

    def media_ports(self) -> list[tuple[str, int]]:
        """Where the server takes media, of whomever."""
        udp = (one.laddr for one in self.server.net_connections("udp4") if one.laddr)
        return [("127.0.0.1" if at.ip == "0.0.0.0" else at.ip, at.port) for at in udp]


async def datagrams(one: Stranger) -> None:
    """Noise at every media port: STUN, DTLS, RTP and nothing, with random insides."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as anybody:
        for address in one.media_ports():
            for _ in range(100):
                first = one.luck.choice([0, 1, 20, 22, 23, 128, 144, 200, 255])
                data = bytes([first]) + one.luck.randbytes(one.luck.choice([0, 1, 11, 60, 1200, 1499, 3000]))
                with suppress(OSError):
                    anybody.sendto(data, address)
            await asyncio.sleep(0.01)


async def stun_flood(one: Stranger) -> None:
    """A thousand well-formed checks at one media port, signed by nobody."""
    ports = one.media_ports()
    if not ports:
        return
    address = one.luck.choice(ports)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as anybody:
        for number in range(1000):
            name = b"abcd:efgh"
            attribute = struct.pack("!HH", 6, len(name)) + name + bytes(-len(name) % 4)
            head = struct.pack("!HHI", BINDING_REQUEST, len(attribute), COOKIE) + one.luck.randbytes(12)
            with suppress(OSError):
                anybody.sendto(head + attribute, address)
            if number % 50 == 0:
                await asyncio.sleep(0.005)


async def offers(one: Stranger) -> None:
    """Offers with something wrong in them."""
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    connection.addTransceiver("video", "recvonly")
    await connection.setLocalDescription()
    lines = connection.localDescription.sdp.splitlines()
    await connection.close()
    for number in range(10):
        mutant = list(lines)
        for _ in range(one.luck.randint(1, 4)):
            at = one.luck.randrange(len(mutant))
            match one.luck.randrange(4):
                case 0:
                    del mutant[at]
                case 1:
                    mutant.insert(at, one.luck.choice(lines))
                case 2:
                    mutant[at] = mutant[at][: one.luck.randint(0, len(mutant[at]))]
                case 3:
                    mutant[at] += one.luck.choice(["\0", " 999999999", "=", "\u2603", "x" * 5000])
        where = one.luck.choice(["/whip/stranger", "/whep/ana", "/whep/nobody", "/whip/bad name"])
        answer = await one.ask(
            "POST", f"{where}{one.luck.choice(['', str(number)])}", content="\r\n".join(mutant), headers=SDP
        )
        if answer.status_code == 201:
            await one.ask("DELETE", answer.url.join(answer.headers["Location"]).path)


async def requests(one: Stranger) -> None:
    """Requests for what is not there, is not allowed, or is not meant so."""
    for _ in range(10):
        method = one.luck.choice(["GET", "POST", "PUT", "DELETE", "PATCH"])
        path = one.luck.choice(
            [
                "/api/avatars/nobody",
                "/api/channels/nobody/recording",
                "/api/channels/ana/handover",
                "/api/recordings/..%2f..%2fetc%2fpasswd",
                "/api/calls/nowhere/seats",
                "/api/verify",
                "/whip/ana?avatar=nobody",
                "/whep/ana?as=view&view=99",
                "/api/avatars",
                "/metrics",
            ]
        )
        body = one.luck.choice([b"", b"{", b"[]", b"\x00" * 2000, b'{"url": 5}', b"v=0\r\n" * 200])
        kind = one.luck.choice(
            ["application/json", "application/sdp", "multipart/form-data", "text/plain;charset=undefined"]
        )
        await one.ask(method, path, content=body, headers={"Content-Type": kind})


async def slow_requests(one: Stranger) -> None:
    """Fifty connections that send a byte now and then, and are gone."""
    url = one.http.base_url
    writers = []
    for _ in range(50):
        with suppress(OSError):
            writers.append((await asyncio.open_connection(url.host, url.port))[1])
    for letter in b"POST /":
        for writer in writers:
            writer.write(bytes([letter]))
        await asyncio.sleep(0.2)
    for writer in writers:
        writer.transport.abort()


async def films(one: Stranger) -> None:
    """Records whoever is live, asks for stills, and ends it."""
    await one.ask("POST", "/api/channels/ana/recording")
    await one.ask("POST", "/api/channels/ana/still")
    await asyncio.sleep(1)
    await one.ask("DELETE", "/api/channels/ana/recording")


KINDS: dict[str, Callable[[Stranger], Awaitable[None]]] = {
    one.__name__: one for one in (datagrams, stun_flood, offers, requests, slow_requests, films)
}
"By name; each says what it does."
