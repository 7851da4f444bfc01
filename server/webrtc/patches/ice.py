"""ICE: how aioice connects: who is listened to, which addresses and ports are used, who begins, how long servers may take.

All connections of the process, but for consent, which is one connection's.
"""

from __future__ import annotations

import asyncio
import errno
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial, wraps
from typing import Any

import aioice.ice
import aioice.mdns
import aioice.stun
import aioice.turn

from server.webrtc.gathering import Gathering
from server.webrtc.patches.dropped import BAD_LENGTH, STRANGER, UNFIT, UNREAD, dropped

SOCKET_BUFFER = 4 * 1024 * 1024
"aioice gives its sockets 256 KiB, which a quilt's keyframe overflows (RcvbufErrors, then a storm of PLIs)."
LONGEST_DATAGRAM = 1500
"Bytes. libsrtp takes no longer ones, and no network brings any."
MOST_UNREAD = 4096
"Datagrams that may wait for the transport to be ready: two seconds of the largest stream."
HEAD_START = 0.5
"Seconds for the first check of a peer that made the offer; from then on we check too, since it may be ICE-lite, which never does."
NO_PORT = "no UDP port of TELEQUILT_UDP_PORTS is free: whoever comes now cannot connect"
_OPENED = "_opened_for_telequilt"
"Transports of an ICE connection's sockets."
gathering = Gathering()
"Asks STUN and TURN servers, for all peers."


def tune() -> None:
    """For all connections that are made from now on. By tune_libraries alone."""
    aioice.turn.UDP_SOCKET_BUFFER_SIZE = SOCKET_BUFFER
    _offer_loopback()
    _drop_strange_datagrams()
    _bound_gathering()
    _let_who_offers_begin()
    _close_what_is_being_gathered()


def _offer_loopback() -> None:
    """aioice leaves out loopback, so a laptop without any network could not even talk to itself."""
    of_interfaces = aioice.ice.get_host_addresses

    def addresses(use_ipv4: bool, use_ipv6: bool) -> list[str]:
        return of_interfaces(use_ipv4, use_ipv6) or ["127.0.0.1"]

    aioice.ice.get_host_addresses = addresses


def _drop_strange_datagrams() -> None:
    """All kinds of aioice's sockets hand on whatever reaches them, from whomever; what is behind them dies of some of it."""
    of_neighbours = aioice.mdns.MDnsProtocol.datagram_received
    of_peers, of_turn = aioice.ice.StunProtocol.datagram_received, aioice.turn.TurnClientMixin.datagram_received

    def from_peer(self: Any, data: bytes, address: tuple[Any, ...]) -> None:
        reason = refused(self.receiver, data, (address[0], address[1]))
        if reason is None:
            _guarded(of_peers, self, data, address)
        else:
            dropped.count(reason)

    def from_neighbour(self: Any, data: bytes, address: tuple[Any, ...]) -> None:
        _guarded(of_neighbours, self, data, address)

    def from_turn(self: Any, data: bytes, address: tuple[Any, ...]) -> None:
        _guarded(of_turn, self, data, address)

    aioice.ice.StunProtocol.datagram_received = from_peer  # type: ignore[method-assign]
    aioice.mdns.MDnsProtocol.datagram_received = from_neighbour  # type: ignore[method-assign]
    aioice.turn.TurnClientMixin.datagram_received = from_turn  # type: ignore[method-assign]


def refused(connection: Any, data: bytes, address: tuple[str, int]) -> str | None:
    """Why `data` from `address` goes no further than an ICE `connection`'s socket, if it does not.

    Connectivity checks (first byte 0..3, RFC 7983) come from anywhere and carry their own proof; all else is taken from
    the peer's candidates alone, the ones learned from its checks among them.
    """
    if not 0 < len(data) <= LONGEST_DATAGRAM:
        return BAD_LENGTH
    if data[0] <= 3:
        return None if _is_stun(data) else UNFIT
    known = any((one._network_host, one.port) == address for one in connection._remote_candidates)
    if not known and not any(check[1] == address for check in connection._early_checks):
        return STRANGER
    return UNREAD if connection._queue.qsize() >= MOST_UNREAD else None


def _is_stun(data: bytes) -> bool:
    try:
        aioice.stun.parse_message(data)
    except Exception:  # ValueError, which aioice takes for "this is media", and whatever its parser lets out
        return False
    return True


def _guarded(take: Callable[..., None], protocol: Any, data: bytes, address: tuple[Any, ...]) -> None:
    """aioice's parser lets struct.error, KeyError and AssertionError out; asyncio would log a traceback for each datagram."""
    try:
        take(protocol, data, address)
    except Exception as error:
        dropped.count(UNFIT, error=repr(error))


def _bound_gathering() -> None:
    """aioice waits five seconds for the slowest of its servers, before every answer to a client."""
    of_stun, of_turn = aioice.ice.server_reflexive_candidate, aioice.ice.relayed_candidate
    aioice.ice.server_reflexive_candidate = partial(gathering.reflexive, of_stun)
    aioice.ice.relayed_candidate = partial(gathering.relayed, of_turn)


def bind_within(ports: range) -> None:
    """Let the running loop's datagram sockets that may have any port have one of `ports`: aioice has no such parameter."""
    loop = asyncio.get_running_loop()
    create = loop.create_datagram_endpoint

    async def within(factory: Any, local_addr: Any = None, **how: Any) -> Any:
        if local_addr is None or local_addr[1] != 0:
            return await create(factory, local_addr=local_addr, **how)
        first = random.randrange(len(ports))
        for number in range(len(ports)):
            port = ports[(first + number) % len(ports)]
            try:
                return await create(factory, local_addr=(local_addr[0], port), **how)
            except OSError as failure:
                if failure.errno != errno.EADDRINUSE:
                    raise
        gathering.told.count(NO_PORT, ports=f"{ports[0]}-{ports[-1]}")
        raise OSError(errno.EADDRINUSE, NO_PORT)

    loop.create_datagram_endpoint = within  # type: ignore[method-assign]


def _let_who_offers_begin() -> None:
    """Our checks reach whoever offered before our answer does. libdatachannel then has ICE and DTLS going while it has yet to take the
    answer in, knows no fingerprint, and refuses our certificate ("unknown ca"): one caller in four. What checks, has the answer."""
    connect = aioice.ice.Connection.connect

    @wraps(connect)
    async def invited(self: Any) -> None:
        until = time.monotonic() + HEAD_START
        while not (self.ice_controlling or self._early_checks or self._closing) and time.monotonic() < until:
            await asyncio.sleep(0.01)
        if self._closing:
            raise ConnectionError("it was closed meanwhile")
        await connect(self)

    aioice.ice.Connection.connect = invited  # type: ignore[method-assign]


def _close_what_is_being_gathered() -> None:
    """aioice's close() knows the sockets of gatherings that are over. Whoever hangs up before our answer left two and a peer each time."""
    made, close = aioice.ice.StunProtocol.connection_made, aioice.ice.Connection.close

    def opened(self: Any, transport: Any) -> None:
        made(self, transport)
        if self.receiver._closing:
            transport.abort()
        else:
            self.receiver.__dict__.setdefault(_OPENED, []).append(transport)

    @wraps(close)
    async def closed(self: Any) -> None:
        await close(self)
        for transport in self.__dict__.pop(_OPENED, ()):
            transport.close()

    aioice.ice.StunProtocol.connection_made = opened  # type: ignore[method-assign]
    aioice.ice.Connection.close = closed  # type: ignore[method-assign]


def ice_of(transceiver: Any) -> aioice.ice.Connection:
    """The ICE connection below a transceiver."""
    return transceiver.receiver.transport.transport._connection


def ice_under(sctp: Any) -> aioice.ice.Connection:
    """The ICE connection below data channels."""
    return sctp.transport.transport._connection


def watch_consent(ice: aioice.ice.Connection, watch: Callable[[], Awaitable[None]]) -> None:
    """Run `watch` in place of aioice's consent checks, which it begins once connected: its own take half a minute."""
    ice.query_consent = watch  # type: ignore[method-assign,assignment]


async def ask_consent(ice: aioice.ice.Connection, given: Callable[[], None]) -> None:
    """One consent check (RFC 7675); `given` is called for each answer."""
    assert ice.remote_password is not None
    for pair in list(ice._nominated.values()):
        request = ice.build_request(pair, nominate=False)
        key = ice.remote_password.encode()
        with suppress(Exception):  # a socket that cannot send any more has no answer either
            await pair.protocol.request(request, pair.remote_addr, integrity_key=key, retransmissions=0)
            given()
