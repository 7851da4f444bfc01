"""Station: what one machine of a cluster runs: the app, its door, and its part in the directory, in a thread of their own."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import threading
from collections.abc import Callable
from typing import Any

import structlog
import uvicorn
from fastapi import FastAPI

from pipeline.avatars import SAMPLE
from server import connections
from server.app import create_app
from server.calls.tokens import Tokens
from server.channels.lobby import Lobby
from server.channels.services import Services, open_services
from server.cluster import routes
from server.cluster.avatars import Exchange
from server.cluster.door import Door
from server.cluster.forward import Forward
from server.cluster.members import Report
from server.cluster.membership import EVERY, Membership
from server.cluster.registry import DoesNotFit, Registry, mark_of, pass_of
from server.problems import Problem
from server.settings import Settings

log = structlog.get_logger(__name__)


def name_of(settings: Settings) -> str:
    """This machine's name, the same after a restart: the host's, and which of its data folders."""
    folder = hashlib.sha256(str(settings.data_dir.resolve()).encode()).hexdigest()[:6]
    return f"{socket.gethostname().split('.')[0]}-{folder}"


class Station:
    """`run()` in a thread; the rest from any."""

    def __init__(
        self,
        settings: Settings,
        registry: Callable[[], Registry],
        address: str,
        services: Callable[[Settings], Services] = open_services,
    ) -> None:
        """`registry`: made on the event loop. `address`: by which other machines reach this one."""
        self._settings, self._make_registry, self._address, self._services = settings, registry, address, services
        self.name, self.data_dir = name_of(settings), settings.data_dir
        self.port = 0
        self.failure = ""
        "Why it cannot run."
        self.ended = threading.Event()
        self._drains: Callable[[], bool] = lambda: False
        self._server: uvicorn.Server | None = None
        self._app: FastAPI | None = None

    def run(self) -> None:
        """Until stop(), or until it has been drained and is empty."""
        try:
            asyncio.run(self._run())
        except Exception as failure:
            self.failure = str(failure) or repr(failure)
            log.exception("this machine's part of the cluster ended")
        finally:
            self.ended.set()

    def stop(self) -> None:
        if self._server is not None:
            self._server.should_exit = True

    @property
    def state(self) -> dict[str, Any]:
        """For whoever started it, perhaps in another process."""
        app = self._app
        failure = self.failure or (app.state.failure if app is not None else None) or ""
        ready = bool(self.port) and app is not None and app.state.lobby is not None
        facts = {"port": self.port, "address": self._address, "name": self.name}
        return facts | {"ready": ready, "failure": failure, "ended": self.ended.is_set()}

    async def _run(self) -> None:
        registry, settings = self._make_registry(), self._settings
        tokens = await _admitted(registry, settings)
        app = self._app = create_app(settings, self._services)
        forward = Forward(pass_of(tokens.key()), settings.token.get_secret_value() if settings.token else "")
        exchange = Exchange(app, self.name, forward, settings.data_dir)
        membership = Membership(registry, self._report, lambda: tuple(exchange.forgotten), exchange.learn)
        exchange.heard, self._drains = lambda: membership.nodes, lambda: membership.draining
        exchange.blind, exchange.hear = membership.blind, membership.tell
        app.include_router(routes.router(settings, membership, exchange))
        door = Door(app, settings, membership, forward, exchange, tokens)
        self._server = uvicorn.Server(connections.config(door, settings.host, settings.port, settings.trusted_proxies))
        try:
            await self._serve(membership)
        finally:
            await forward.close()

    async def _serve(self, membership: Membership) -> None:
        server = self._server
        assert server is not None
        connections.tell_once_where_files_run_out()
        serving = asyncio.create_task(server.serve())
        while not server.started and not serving.done():
            await asyncio.sleep(0.02)
        if serving.done():
            raise OSError(f"cannot listen on {self._settings.host}:{self._settings.port}; choose another with --port")
        self.port = server.servers[0].sockets[0].getsockname()[1]
        await membership.begin()
        try:
            while not serving.done():
                await asyncio.wait([serving], timeout=EVERY)
                if membership.draining and self._empty():
                    log.info("drained and empty", node=self.name)
                    server.should_exit = True
        finally:
            await membership.end()
            server.should_exit = True
            await serving

    def _report(self) -> Report:
        """Everything that the directory is told of this machine."""
        app, door = self._app, f"http://{self._address}:{self.port}"
        if app is None or app.state.lobby is None:
            return Report(self.name, door, draining=self._drains())
        lobby, calls = app.state.lobby, app.state.calls
        channels = [one for one in lobby.channels.values() if one.name.partition(".")[0] not in calls.conferences]
        return Report(
            self.name,
            door,
            names=(*(one.name for one in channels), *calls.conferences),
            avatars=tuple({one.avatar for one in lobby.channels.values() if one.avatar} - {SAMPLE}),
            load=max(0.0, *lobby.utilisation.values(), len(lobby.channels) / self._settings.max_channels),
            welcome=_welcome(lobby, self._settings.engine),
            draining=self._drains(),
            calls={name: one.remembered() for name, one in calls.conferences.items()},
        )

    def _empty(self) -> bool:
        report = self._report()
        return not report.names


async def _admitted(registry: Registry, settings: Settings) -> Tokens:
    """This machine's tokens, signed as everybody's. Raises DoesNotFit, ConnectionError."""
    own = settings.call_key.get_secret_value() if settings.call_key is not None else None
    tokens, token = (
        Tokens(settings.data_dir, own),
        settings.token.get_secret_value() if settings.token is not None else "",
    )
    key = await registry.admit(tokens.key(), mark_of(token))
    if own is not None and key != tokens.key():
        raise DoesNotFit(
            "this machine's TELEQUILT_CALL_KEY is not the one that the others have: give all nodes the same"
        )
    tokens.adopt(key)
    return tokens


def _welcome(lobby: Lobby, engine: str) -> bool:
    try:
        lobby.check_room(engine)
    except Problem:
        return False
    return True
