"""Connections that say nothing, or half of it, or do not listen: they shut nobody out, and none of them stays."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import pytest_asyncio

from server import connections
from server.connections import MOST_OF_ONE, MOST_WAITING_OF_ONE, Held, Table
from tests.live import PLENTY, running, serving, settings_for, until

pytestmark = pytest.mark.asyncio(loop_scope="module")
HALF = b"POST /whip/room HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/sdp\r\nContent-Length: 500\r\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def address(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[str, int]]:
    patched = pytest.MonkeyPatch()
    patched.setattr(connections, "HEADER_SECONDS", 1.0)
    patched.setattr(connections, "STALLED_SECONDS", 1.0)
    patched.setattr("server.routes.access.BODY_SECONDS", 1.0)
    async with serving(settings_for(tmp_path_factory.mktemp("data"))) as (base, _):
        yield "127.0.0.1", int(base.rpartition(":")[2])
    patched.undo()


@asynccontextmanager
async def opened(address: tuple[str, int], count: int, said: bytes = b"") -> AsyncIterator[list[asyncio.StreamReader]]:
    """`count` connections that have said that much and no more."""
    pairs = [await asyncio.open_connection(*address) for _ in range(count)]
    for _, writer in pairs:
        writer.write(said)
    try:
        yield [reader for reader, _ in pairs]
    finally:
        for _, writer in pairs:
            writer.transport.abort()


async def ended(reader: asyncio.StreamReader) -> bytes:
    """What came until the server closed the connection."""
    try:
        return await asyncio.wait_for(reader.read(), PLENTY)
    except ConnectionError:
        return b""


async def healthy(address: tuple[str, int]) -> None:
    async with httpx.AsyncClient(base_url=f"http://{address[0]}:{address[1]}", timeout=PLENTY) as http:
        assert (await http.get("/healthz")).status_code == 200


FEW_FILES = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
import uvicorn
from server import connections

connections.HEADER_SECONDS = 1.0

async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})

class Telling(uvicorn.Server):
    async def startup(self, sockets=None):
        connections.tell_once_where_files_run_out()
        await super().startup(sockets)
        print(self.servers[0].sockets[0].getsockname()[1], flush=True)

config = connections.config(app, "127.0.0.1", 0)
config.lifespan = "off"
Telling(config).run()
"""
"A server of one line behind our connections, which tells its port."


SILENCES = {
    "nothing": b"",
    "half a line": b"GET /heal",
    "half a request": HALF,
    "half a second one": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /he",
}


@pytest.mark.parametrize("said", SILENCES.values(), ids=SILENCES)
async def test_silent_connections_shut_nobody_out_and_do_not_stay(address, said):
    async with opened(address, 300, said) as readers:
        await healthy(address)
        await asyncio.gather(*map(ended, readers))
        await healthy(address)


WRONG_BODIES = {
    "no chunks": b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a chunk that never ends": b"Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX",
    "a chunk without a length": b"Transfer-Encoding: chunked\r\n\r\n\r\n\r\n",
}


@pytest.mark.parametrize("body", WRONG_BODIES.values(), ids=WRONG_BODIES)
@pytest.mark.parametrize(
    "asked", ["GET /api/screens", "GET /pages/viewer/viewer.js", "POST /whip/x", "POST /api/verify"]
)
async def test_a_body_that_goes_wrong_is_answered_once_and_is_no_error_of_ours(address, caplog, asked, body):
    """Two answers were tried for one request: the library's to its body, and the route's."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(f"{asked} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/sdp\r\n".encode() + body)
    answer = await ended(reader)
    assert answer.count(b"HTTP/1.1 ") <= 1, answer[:2000]
    writer.transport.abort()
    await healthy(address)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_headers_that_dribble_are_given_up(address):
    reader, writer = await asyncio.open_connection(*address)
    dribbling = asyncio.create_task(ended(reader))
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n")
    for number in range(200):
        writer.write(b"X-%d: 1\r\n" % number)
        await asyncio.sleep(0.05)
        if dribbling.done():
            break
    assert dribbling.done()
    assert await dribbling == b""
    writer.transport.abort()


async def test_a_body_that_does_not_come_is_answered(address):
    reader, writer = await asyncio.open_connection(*address)
    writer.write(HALF + b"\r\nv=0\r\n")
    answer = await ended(reader)
    assert b" 408 " in answer
    assert b"body-too-slow" in answer
    writer.transport.abort()


async def test_five_uploads_that_dribble_lock_nobody_out(address):
    head = b"POST /api/avatars HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90000\r\n"
    head += b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x"
    async with (
        opened(address, 8, head),
        httpx.AsyncClient(base_url=f"http://{address[0]}:{address[1]}", timeout=PLENTY) as http,
    ):
        await asyncio.sleep(0.2)
        answer = await http.post("/api/avatars", files={"portrait": ("a", b"no photo")}, data={"consent": "me"})
        assert answer.status_code == 422, answer.text


@pytest.mark.parametrize(
    "kind", ["multipart/form-data; boundary=x; charset=undefined", "multipart/form-data; boundary=\xff"]
)
async def test_a_form_in_words_that_nobody_knows_is_malformed(address, kind):
    async with httpx.AsyncClient(base_url=f"http://{address[0]}:{address[1]}", timeout=PLENTY) as http:
        body = b'--x\r\nContent-Disposition: form-data; name="consent"\r\n\r\nme\r\n--x--\r\n'
        answer = await http.post("/api/avatars", content=body, headers=[("Content-Type", kind.encode("latin-1"))])  # type: ignore[list-item]
        assert answer.status_code == 400, answer.text


async def test_who_does_not_read_is_given_up(address):
    """A page, asked for again and again by one who takes nothing."""
    asking = socket.create_connection(address)
    asking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    asking.setblocking(False)
    request = b"GET /pages/viewer/viewer.js HTTP/1.1\r\nHost: localhost\r\n\r\n"
    await asyncio.get_running_loop().sock_sendall(asking, request * 400)
    await asyncio.sleep(0.5)

    def gone() -> bool:
        try:
            asking.send(b"\r\n")
        except BlockingIOError:
            return False
        except OSError:
            return True
        return False

    await until(gone)
    asking.close()


async def test_a_web_socket_is_not_opened(address):
    reader, writer = await asyncio.open_connection(*address)
    writer.write(
        b"GET /api/channels HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    answer = await ended(reader)
    assert b"101" not in answer.splitlines()[0], answer
    writer.transport.abort()


BODIES = {
    "a body": b"Content-Length: 5\r\n\r\nhello",
    "a body that does not come": b"Content-Length: 99999999\r\n\r\n",
    "chunks": b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
async def test_a_handshake_that_announces_a_body_does_not_stay(address, body):
    """Its socket waited for ever, behind every deadline of requests."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(
        b"GET /api/calls/tea/events HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n" + body
    )
    await ended(reader)
    writer.transport.abort()


async def test_where_files_run_out_the_server_goes_on_and_says_little():
    """A process that may open 64, to which 100 come, twice."""
    how: Any = {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.PIPE}
    async with running(sys.executable, "-c", FEW_FILES, **how) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        port = int(await asyncio.wait_for(process.stdout.readline(), 2 * PLENTY))
        for _ in range(2):
            async with opened(("127.0.0.1", port), 100):
                await healthy(("127.0.0.1", port))
        process.terminate()
        out, err = await asyncio.wait_for(process.communicate(), 30)
        assert len(out) + len(err) < 8000, err[-2000:]


# --- the table, which is told everything


class Crowd:
    """A table, and who was closed."""

    def __init__(self, most: int) -> None:
        self.table, self.closed = Table(most), []

    def come(self, address: str, waiting: bool = True) -> Held | None:
        held = Held(address, lambda: self.closed.append(held))
        if not self.table.enter(held):
            return None
        self.table.waits(held, waiting)
        return held


async def test_one_address_takes_its_own_oldest_silent_ones_places():
    crowd = Crowd(most=1000)
    first = crowd.come("a")
    busy = crowd.come("a", waiting=False)
    for _ in range(MOST_WAITING_OF_ONE):
        assert crowd.come("a")
    assert crowd.closed == [first]
    assert busy not in crowd.closed


async def test_of_a_full_table_the_one_gives_way_that_waits_longest_at_the_busiest_address():
    crowd = Crowd(most=6)
    one, *many = crowd.come("a"), *(crowd.come("b") for _ in range(5))
    assert crowd.come("c")
    assert crowd.closed == [many[0]]
    assert one is not None
    for held in filter(None, many[1:]):
        crowd.table.waits(held, False)
    assert crowd.come("d")
    assert len(crowd.closed) == 2
    assert len(crowd.table) == 6


async def test_a_table_full_of_work_takes_nobody():
    crowd = Crowd(most=3)
    first, *_ = [crowd.come("a", waiting=False) for _ in range(3)]
    assert first is not None
    assert crowd.come("b") is None
    assert crowd.closed == []
    crowd.table.leave(first)
    assert crowd.come("b")


@pytest.mark.parametrize(("address", "room"), [("192.0.2.1", False), ("127.0.0.1", True)])
async def test_one_address_has_a_share_unless_a_proxy_here_may_speak_for_many(address, room):
    crowd = Crowd(most=1000)
    for _ in range(MOST_OF_ONE):
        assert crowd.come(address, waiting=False)
    assert (crowd.come(address) is not None) == room
    assert crowd.come("192.0.2.2")
