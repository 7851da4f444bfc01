"""Uploads: portraits that people bring, the avatars made from them, avatars that were made elsewhere, and forgetting all of it."""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import ExitStack, aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from fastapi import APIRouter, Request, Response
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartParser
from starlette.requests import ClientDisconnect

from engines.catalogue import TAKEN
from engines.contract import EXPRESSION_KEPT
from pipeline.avatar_files import AvatarRecord, Consent
from pipeline.avatars import SAMPLE, UnknownAvatar
from server import workers
from server.channels.services import Services
from server.media import portraits
from server.problems import Problem, busy
from server.provenance.consents import FORGOTTEN, GIVEN
from server.recordings.archive import mark_of
from server.routes.locations import location
from server.routes.signalling import lobby_of
from server.settings import Settings
from server.words import one_line

log = structlog.get_logger(__name__)

STATED = (Consent.ME, Consent.CONSENTING, Consent.SYNTHETIC)
WAITING = 4
"Portraits that may wait while one is being prepared."
ARRIVING = 8
"Portraits of the largest size whose bytes there is memory for while they come in."
NAME_LENGTH = 80
MOST_ALSO = 2
"Further photos of the same person: from the left and from the right."


def router(settings: Settings) -> APIRouter:
    routes = APIRouter(prefix="/api/avatars")
    queue, room = _Queue(settings), _Room(ARRIVING * settings.max_portrait_bytes)

    @routes.post("", status_code=201)
    async def enrol(request: Request, response: Response) -> dict[str, Any]:
        services = _services(request)

        def prepare(photos: list[portraits.Decoding], form: _Form) -> AvatarRecord:
            pixels = [photo.result() for photo in photos]
            with _written(settings):
                return services.enrol(pixels, form.consent, form.sha256, form.name, settings.engine, form.expression)

        def bring(form: _Form) -> AvatarRecord:
            with _written(settings):
                return services.bring(form.portrait, form.consent, form.sha256, form.name)

        form = await _read(request, settings, room)
        async with queue.place():  # only once the photo is here: whoever dribbles would keep the others out
            if form.portrait.startswith(TAKEN):
                record = await queue.run(lambda: bring(form), services.avatars.forget)
            else:
                with ExitStack() as opened:
                    photos = [
                        opened.enter_context(portraits.Decoding(data, settings.max_portrait_pixels))
                        for data in (form.portrait, *form.also)
                    ]
                    record = await queue.run(lambda: prepare(photos, form), services.avatars.forget)
        if await _hung_up(request):  # nobody would be told the id, so nobody could ever forget it
            await workers.slow(services.avatars.forget, record.id)
            return {}
        log.info("avatar kept", consent=record.consent.value)
        await workers.slow(
            request.app.state.consents.add, GIVEN, avatar=mark_of(record.id), consent=record.consent.value
        )
        response.headers["Location"] = location(request, f"/api/avatars/{record.id}")
        return _shown(record)

    @routes.get("")
    async def listing(request: Request) -> list[dict[str, Any]]:
        """All of them where only this machine's user can ask. Elsewhere the built-in one alone: an avatar belongs to
        whoever holds its id, and a list would hand every holder of the server's token everybody's face."""
        records = await workers.slow(_services(request).avatars.records)
        return [_shown(record) for record in records if settings.private or record.id == SAMPLE]

    @routes.get("/{avatar}")
    async def one(request: Request, avatar: str) -> dict[str, Any]:
        return _shown(await workers.slow(_services(request).avatars.get, avatar))

    @routes.get("/{avatar}/picture")
    async def picture(request: Request, avatar: str) -> Response:
        png = await workers.slow(_services(request).avatars.picture, avatar)
        return Response(png, media_type="image/png", headers={"Cache-Control": "private, no-store"})

    @routes.delete("/{avatar}", status_code=204)
    async def forget(request: Request, avatar: str) -> Response:
        services = _services(request)
        if avatar == SAMPLE:
            raise Problem(403, "built-in", "the built-in sample stays: it is part of the program")
        if not await workers.slow(services.avatars.keeps, avatar):
            raise UnknownAvatar(f"no avatar {avatar!r} is kept here")
        async with lobby_of(request).forgetting(avatar):
            # recordings first: where this fails, all can be tried again
            recordings = await workers.slow(request.app.state.archive.forget, avatar)
            await workers.slow(services.avatars.forget, avatar)
        log.info("avatar forgotten")
        await workers.slow(request.app.state.consents.add, FORGOTTEN, avatar=mark_of(avatar), recordings=recordings)
        return Response(status_code=204)

    return routes


@contextmanager
def _written(settings: Settings) -> Iterator[None]:
    """Raises Problem 507 where what is done within cannot be written."""
    try:
        yield
    except OSError as failure:
        log.error("an avatar cannot be written", folder=str(settings.data_dir), cause=str(failure))
        raise Problem(
            507, "cannot-write", f"avatars cannot be written here: {failure.strerror}; the operator can mend it"
        ) from failure


class _Queue:
    """One portrait at a time off the event loop; few may wait."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._turn = asyncio.Semaphore(1)
        self._inside = 0

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Raises Problem 503 where too many wait."""
        if self._inside > WAITING:
            raise busy("too-many-portraits", f"{WAITING} portraits are waiting already", 5, limit=WAITING)
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1

    async def run(self, work: Callable[[], AvatarRecord], forget: Callable[[str], None]) -> AvatarRecord:
        """`work()` in a thread. Raises Problem 503 where it takes too long; what it then still keeps is forgotten."""
        try:
            async with asyncio.timeout(self._settings.enrol_seconds):
                await self._turn.acquire()
                working = asyncio.ensure_future(workers.slow(work))
                working.add_done_callback(lambda _: self._turn.release())  # a thread cannot be stopped: the turn is its
                try:
                    return await asyncio.shield(working)
                except asyncio.CancelledError:
                    working.add_done_callback(lambda late: _forget_late(late, forget))
                    raise
        except TimeoutError:
            limit = self._settings.enrol_seconds
            raise busy(
                "portrait-took-too-long", f"{limit:g} s is the limit for preparing a portrait", 10, limit=limit
            ) from None


class _Room:
    """Memory for the bodies that are coming in."""

    def __init__(self, most: int) -> None:
        self._most, self._taken = most, 0

    async def within(self, coming: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        """`coming`, counted until it is read to its end or given up. Raises Problem 503 where too much comes at once."""
        mine = 0
        try:
            async for chunk in coming:
                mine, self._taken = mine + len(chunk), self._taken + len(chunk)
                if self._taken > self._most:
                    raise busy("too-many-portraits", "too many portraits are coming in at once", 5, limit=self._most)
                yield chunk
        finally:
            self._taken -= mine


async def _hung_up(request: Request) -> bool:
    """uvicorn stops reading behind a large body until it is asked again, and only then learns that the client has gone."""
    await request.is_disconnected()
    await asyncio.sleep(0.05)
    return await request.is_disconnected()


def _forget_late(late: asyncio.Future[AvatarRecord], forget: Callable[[str], None]) -> None:
    """An avatar whose id nobody was told must not stay: nobody could ever forget it."""
    if not late.cancelled() and late.exception() is None:
        workers.later(forget, late.result().id)


class _InMemory(MultiPartParser):
    """Keeps the photo in memory: Starlette's own parser writes files above 1 MB to disk."""

    spool_max_size = 1 << 31


@dataclass(frozen=True)
class _Form:
    portrait: bytes
    consent: Consent
    name: str
    expression: float
    "0..1: the share of the photo's own expression that the avatar keeps."
    also: tuple[bytes, ...] = ()
    "Further photos of the same person."

    @property
    def sha256(self) -> str:
        """Of the file; of several, of their hashes in a row."""
        each = [hashlib.sha256(data).hexdigest() for data in (self.portrait, *self.also)]
        return each[0] if len(each) == 1 else hashlib.sha256("".join(each).encode()).hexdigest()


async def _read(request: Request, settings: Settings, room: _Room) -> _Form:
    """What was sent, checked. Raises Problem."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise Problem(415, "wrong-content-type", "send multipart/form-data", accepted=["multipart/form-data"])
    try:
        async with aclosing(request.stream()) as stream, aclosing(room.within(stream)) as counted:
            form = await _InMemory(request.headers, counted, max_files=1 + MOST_ALSO, max_fields=8).parse()
    except (Problem, ClientDisconnect):
        raise
    except Exception as error:  # Starlette's parser meets garbage with whatever it runs into
        detail = (
            getattr(error, "message", None) or f"its boundary or charset is missing or wrong ({type(error).__name__})"
        )
        raise Problem(400, "malformed-form", f"the form cannot be read: {detail}") from None
    try:
        consent, name, portrait = form.get("consent"), form.get("name"), form.get("portrait")
        if not isinstance(portrait, UploadFile):
            raise Problem(400, "portrait-missing", "the form needs a file field called 'portrait'")
        if consent not in [one.value for one in STATED]:
            choices = [one.value for one in STATED]
            raise Problem(
                400,
                "consent-missing",
                f"say whose face it is: consent is one of {', '.join(choices)}",
                accepted=choices,
            )
        expression = _share(form.get("expression", str(EXPRESSION_KEPT)))
        data = await portrait.read()
        also = [await one.read() for one in form.getlist("also") if isinstance(one, UploadFile)]
    finally:
        await form.close()
    if not data:
        raise Problem(400, "portrait-missing", "the file 'portrait' is empty")
    if max(map(len, (data, *also))) > settings.max_portrait_bytes:
        limit = settings.max_portrait_bytes
        raise Problem(413, "body-too-large", f"{limit} bytes is the limit for a portrait", limit=limit)
    if also and data.startswith(TAKEN):
        raise Problem(
            400, "bad-parameter", "an avatar that was made elsewhere takes no further photos: leave 'also' out"
        )
    called = one_line(name)[:NAME_LENGTH] if isinstance(name, str) else ""
    return _Form(data, Consent(consent), called, expression, tuple(one for one in also if one))


def _share(said: object) -> float:
    """0..1. Raises Problem."""
    try:
        share = float(said) if isinstance(said, str) else math.nan
    except ValueError:
        share = math.nan
    if not 0 <= share <= 1:
        raise Problem(400, "bad-parameter", "expression is a number from 0 (neutral) to 1 (as in the photo)")
    return share


def _services(request: Request) -> Services:
    services: Services | None = request.app.state.services
    if services is None:
        raise Problem(503, "warming-up", "the server is still warming up; ask again", {"Retry-After": "2"})
    return services


def _shown(record: AvatarRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "name": record.name,
        "consent": record.consent.value,
        "created": record.created,
        "portrait_sha256": record.portrait_sha256,
        "engine": record.engine,
        "licence": record.licence,
        "built_in": record.id == SAMPLE,
    }
