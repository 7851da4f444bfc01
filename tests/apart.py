"""Apart: two network namespaces that meet at a TURN server alone, and threads that live in them. Wants root, `ip` and coturn.

    a 10.77.1.2 --- 10.77.1.1 t 10.77.2.1 --- 10.77.2.2 b

The middle one forwards nothing: HTTP goes from b to a by a forwarder of TCP in it, media by coturn or not at all.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
import uvicorn
from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from server import connections
from server.app import create_app
from server.settings import Settings
from tests.live import Client, painted_services, until

T = TypeVar("T")
SECRET, TOKEN = "a-secret-of-both", "apart"
SERVER, MIDDLE_OF_A, MIDDLE_OF_B = "10.77.1.2", "10.77.1.1", "10.77.2.1"
CLONE_NEWNET = 0x40000000
"Of <sched.h>: the calling thread alone moves."
_libc = ctypes.CDLL(None, use_errno=True)


def skip_where_impossible() -> None:
    """In one line."""
    reason = ""
    if os.geteuid() != 0:
        reason = "network namespaces want root"
    elif not shutil.which("turnserver"):
        reason = "no coturn: apt-get install coturn"
    elif not shutil.which("ip"):
        reason = "no ip: apt-get install iproute2"
    elif subprocess.run(["ip", "netns", "add", name := f"probe{os.getpid()}"], capture_output=True).returncode:
        reason = "network namespaces are not to be had here"
    else:
        _ip("netns", "delete", name)
    if reason:
        pytest.skip(reason)


class Apart:
    """The three namespaces, by the names above."""

    def __init__(self) -> None:
        self.names = {one: f"tq{one}{os.getpid() % 100_000}" for one in "atb"}
        self.certificate = Path()
        "Of the relay that stands between them."

    def command(self, where: str, *words: str) -> list[str]:
        return ["ip", "netns", "exec", self.names[where], *words]

    def begin(self, where: str, work: Callable[[], Coroutine[Any, Any, T]]) -> Future[T]:
        """Run `work` in a loop and a thread of its own that lives there."""
        done: Future[T] = Future()

        def live() -> None:
            try:
                with open(f"/run/netns/{self.names[where]}") as namespace:
                    assert _libc.setns(namespace.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
                done.set_result(asyncio.run(work()))
            except BaseException as failure:
                done.set_exception(failure)

        threading.Thread(target=live, name=f"in {where}", daemon=True).start()
        return done

    def run(self, where: str, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return self.begin(where, work).result(180)


@contextmanager
def namespaces() -> Iterator[Apart]:
    """Three of them, which are gone afterwards."""
    apart = Apart()
    a, t, b = apart.names.values()
    try:
        for name in (a, t, b):
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
        for side, net in ((a, 1), (b, 2)):
            _ip("-n", t, "link", "add", f"eth{net}", "type", "veth", "peer", "name", "eth0", "netns", side)
            _ip("-n", t, "address", "add", f"10.77.{net}.1/24", "dev", f"eth{net}")
            _ip("-n", side, "address", "add", f"10.77.{net}.2/24", "dev", "eth0")
            _ip("-n", t, "link", "set", f"eth{net}", "up")
            _ip("-n", side, "link", "set", "eth0", "up")
            _ip("-n", side, "route", "add", "default", "via", f"10.77.{net}.1")
        subprocess.run(apart.command("t", "sysctl", "-qw", "net.ipv4.ip_forward=0"), check=True)
        yield apart
    finally:
        for name in (a, t, b):
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def certified(folder: Path) -> Path:
    """A certificate for coturn's addresses, signed by itself; its key lies beside it (.key)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "relay")])
    names = [x509.IPAddress(ip_address(one)) for one in (MIDDLE_OF_A, MIDDLE_OF_B)]
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "relay.pem"
    path.write_bytes(made.public_bytes(Encoding.PEM))
    path.with_suffix(".key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path


@contextmanager
def coturn(apart: Apart, folder: Path) -> Iterator[Path]:
    """The certificate that it has for TLS."""
    certificate = certified(folder)
    words = ["turnserver", "-n", "--no-cli", "--no-dtls", "--realm=x", "--use-auth-secret"]
    words += [f"--cert={certificate}", f"--pkey={certificate.with_suffix('.key')}"]
    words += [f"--static-auth-secret={SECRET}", "--min-port=50000", "--max-port=50100", "--log-file=stdout"]
    words += [f"--pidfile={folder / 'turn.pid'}", f"--userdb={folder / 'turn.db'}"]
    for address in (MIDDLE_OF_A, MIDDLE_OF_B):
        words += [f"--listening-ip={address}", f"--relay-ip={address}"]
    with (folder / "coturn.log").open("wb") as log:
        process = subprocess.Popen(apart.command("t", *words), stdout=log, stderr=log)
    try:
        yield certificate
    finally:
        process.terminate()
        process.wait()


@contextmanager
def turned(apart: Apart, settings: Settings) -> Iterator[str]:
    """The server in a, with somebody live in "room", and its HTTP in b, whose address comes."""
    asked, over = threading.Event(), threading.Event()

    async def serve() -> None:
        app = create_app(settings, painted_services)
        server = uvicorn.Server(connections.config(app, SERVER, settings.port))
        task = asyncio.create_task(server.serve())
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with httpx.AsyncClient(base_url=f"http://{SERVER}:{settings.port}", headers=headers, timeout=60) as http:
            await until(lambda: server.started and app.state.lobby is not None, 180)
            async with Client(http) as caller:
                assert (await caller.publish()).status_code == 201
                asked.set()
                await until(over.is_set, 180)
        server.should_exit = True
        await task

    async def forward() -> None:
        async with await asyncio.start_server(_forwarding(settings.port), MIDDLE_OF_B, settings.port):
            await until(over.is_set, 180)

    ways = apart.begin("a", serve), apart.begin("t", forward)
    try:
        while not asked.wait(0.1):
            assert not ways[0].done(), ways[0].result()
        yield f"http://{MIDDLE_OF_B}:{settings.port}"
    finally:
        over.set()
        for way in ways:
            way.result(60)


def _forwarding(port: int) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]:
    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def come(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, here = await asyncio.open_connection(SERVER, port)
        await asyncio.gather(carry(reader, here), carry(there, writer))

    return come


@asynccontextmanager
async def watching(server: str, relay: str) -> AsyncIterator[tuple[Client, httpx.AsyncClient]]:
    """A viewer of "room", who has no way but by `relay`, with the credential that the server tells it beforehand."""
    async with httpx.AsyncClient(base_url=server, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60) as http:
        (link,) = (await http.options("/whep/room")).headers.get_list("Link", split_commas=True)
        told = dict(part.split("=", 1) for part in link.replace('"', "").split("; ")[1:])
        async with Client(http) as viewer:
            given = RTCIceServer(relay, told["username"], told["credential"])
            viewer.connection = RTCPeerConnection(RTCConfiguration([given]))
            viewer.connection.on("track", viewer._read)
            assert (await viewer.view()).status_code == 201
            yield viewer, http


def candidates(viewer: Client) -> set[str]:
    """Of which kinds it has some: host, relay."""
    return {line.split()[7] for line in viewer.connection.localDescription.sdp.split("a=candidate:")[1:]}
