"""App: the server put together. Importing it loads no engine and touches no device."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, TypeVar

import structlog
from fastapi import FastAPI

from display.screen import screen
from server import problems, workers
from server.calls.conference import Conference
from server.calls.directory import Calls
from server.calls.looking import Looking
from server.calls.part import Part
from server.calls.sound import Sound
from server.calls.table import TablePart
from server.calls.tokens import Tokens
from server.channels.lobby import Lobby
from server.channels.services import Services, open_services
from server.displays.attached import Attached
from server.media.encode import best_codec
from server.provenance.consents import MARK_OFF, Consents
from server.provenance.credentials import Signer
from server.recordings.archive import Archive
from server.routes import (
    calls,
    filming,
    handover,
    health,
    pages,
    provenance,
    puppet,
    seats,
    signalling,
    uploads,
    verifying,
)
from server.routes.access import Access
from server.routes.quotas import Quotas
from server.settings import Settings
from server.webrtc import relays
from server.webrtc.patches.ice import bind_within
from server.webrtc.patches.tuning import tune_libraries

log = structlog.get_logger(__name__)
T = TypeVar("T")

PARTS: tuple[Callable[[Conference], Part], ...] = (Sound, TablePart, Looking)
"What each call has besides its seats (server/calls/part.py)."


def create_app(
    settings: Settings, services: Callable[[Settings], Services] = open_services, attached: Attached | None = None
) -> FastAPI:
    """The whole server. `services` makes what channels are made with, in a thread, once the server runs."""
    tune_libraries()

    @asynccontextmanager
    async def running(app: FastAPI) -> AsyncIterator[None]:
        if settings.media_ports is not None:
            bind_within(settings.media_ports)
        warming = app.state.warming = asyncio.create_task(_warm_up(app, settings, services, attached))
        try:
            yield
        finally:
            warming.cancel()
            await asyncio.gather(warming, return_exceptions=True)
            if app.state.calls is not None:
                await app.state.calls.close()
            try:
                if app.state.lobby is not None:
                    await app.state.lobby.close()
            finally:
                if app.state.services is not None:
                    await workers.slow(app.state.services.close)

    # FastAPI's own documentation pages load scripts from a CDN
    app = FastAPI(title="Telequilt", lifespan=running, docs_url=None, redoc_url=None, openapi_url="/api/openapi.json")
    app.state.services = app.state.lobby = app.state.calls = app.state.failure = None
    app.state.settings, app.state.quotas = settings, Quotas()
    app.state.consents = Consents(settings.provenance_dir)
    signer = app.state.signer = Signer(settings.keys, settings.timestamp_authority)
    app.state.archive = Archive(settings.recordings, ours=settings.recordings_dir is None, signer=signer)
    app.add_middleware(Access, settings=settings, quotas=app.state.quotas)
    problems.install(app, pages.refusal)
    for routes in (signalling, calls, seats, uploads, health, filming, handover, provenance, verifying):
        app.include_router(routes.router(settings))
    app.include_router(puppet.router())
    pages.add(app)
    return app


async def _warm_up(
    app: FastAPI, settings: Settings, make: Callable[[Settings], Services], attached: Attached | None
) -> None:
    """Make and warm everything, then open the lobby. What goes wrong is shown by /readyz and the log."""
    if not settings.mark:
        log.warning("the visible 'AI avatar' mark is switched off", setting="TELEQUILT_MARK")
        await workers.slow(app.state.consents.add, MARK_OFF, by="TELEQUILT_MARK")
    try:
        services = app.state.services = await _to_its_end(make, settings)
        codec = await _to_its_end(best_codec)
        await _to_its_end(services.warm_up, settings.engine)
        await _to_its_end(_keep)
        lobby = Lobby(settings, services, codec, app.state.archive, attached)
        lobby.form(screen(settings.screen))
        key = settings.call_key.get_secret_value() if settings.call_key is not None else None
        tokens = Tokens(settings.data_dir, key)
    except Exception as failure:  # the operator reads it at /readyz instead of meeting a dead process
        app.state.failure = f"{type(failure).__name__}: {failure}"
        if isinstance(failure, problems.EXPECTED):  # the operator's to mend: no traceback says more
            log.error("warming up failed", cause=app.state.failure)
        else:
            log.exception("warming up failed")
        return
    app.state.calls = calls = Calls(settings, lobby, tokens, _ice_servers(settings), PARTS)
    await calls.take_up_kept()
    app.state.lobby = lobby
    workers.later(app.state.archive.sign_late)
    log.info("ready", engine=settings.engine, screen=settings.screen, codec=codec)


def _ice_servers(settings: Settings) -> Callable[[str], list[dict[str, Any]]]:
    """For a seat, with credentials of its own; nothing in them tells which one."""
    return lambda seat: [one.told() for one in relays.ice_servers(settings, time.time())]


@cache
def _keep() -> None:
    """What is loaded by now stays: the garbage collector is not to look through it again. Once a process.

    With the relief engine that is 399 000 objects, which take 0.16 to 0.21 s of processor time whenever it comes to the oldest
    ones, and everything stands still meanwhile. What comes later is looked through: a call of caller and viewer brings 14 000 to
    19 000 objects, 4 to 8 ms (595e440, two cores); an engine that is loaded for a channel of its own, all of its modules.
    """
    gc.collect()
    gc.freeze()


async def _to_its_end(work: Callable[..., T], *given: Any) -> T:
    """`work` in a thread, which is waited for even by who is cancelled: what it works with is closed next."""
    working = asyncio.ensure_future(workers.slow(work, *given))
    try:
        return await asyncio.shield(working)
    finally:
        await asyncio.wait([working])
