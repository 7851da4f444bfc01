"""Conversation: what comes by a call's socket, told to the call; and when the socket is closed, and how."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any, Literal

import structlog
from fastapi import WebSocket
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from starlette.websockets import WebSocketDisconnect

from server.calls import events as of
from server.calls.conference import Conference
from server.calls.events import Shared
from server.calls.refusals import LOST, not_permitted
from server.calls.rules import GRANT, MALFORMED, OVER, TOKEN, TOO_FAST
from server.calls.talk import Ending, Talk
from server.calls.tokens import Claims
from server.problems import Problem
from server.routes.authority import calls_of, known
from server.routes.quotas import client_of
from server.words import one_line

log = structlog.get_logger(__name__)

HELLO_SECONDS, GOODBYE_SECONDS = 5.0, 5.0
NO_CALL = 4404
"Close code: no such call, or a token of another."
CODES = {401: TOKEN, 404: NO_CALL, 409: OVER, 429: TOO_FAST, 503: 1013}
"Of problems before the conversation has begun: HTTP's -> the socket's."
NAME_LENGTH, TITLE_LENGTH = 40, 80


def plain_text(text: str) -> str:
    """One line that says something."""
    if not (text := one_line(text)):
        raise ValueError("is empty")
    return text


Name = Annotated[str, AfterValidator(plain_text), Field(max_length=NAME_LENGTH)]
Title = Annotated[str, AfterValidator(one_line), Field(max_length=TITLE_LENGTH)]


class _Message(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class Hello(_Message):
    t: Literal["hello"]
    token: str = Field(max_length=4096)
    resume: bool = False


class Change(_Message):
    t: Literal["set"]
    name: Name | None = None
    muted: bool | None = None
    camera: bool | None = None


class Watching(_Message):
    t: Literal["watching"]
    visible: bool = True


class Approve(_Message):
    t: Literal["approve"]
    seat: int
    yes: bool


class Agree(_Message):
    t: Literal["agree"]
    recording: bool | None = None
    handover: bool | None = None

    @model_validator(mode="after")
    def _to_something(self) -> Agree:
        if self.recording is None and self.handover is None:
            raise ValueError("says to what")
        return self


class Stats(_Message):
    t: Literal["stats"]
    look_age_ms: float | None = Field(default=None, ge=0, le=60_000)


class Word(_Message):
    t: Literal["leave", "ping"]


SAID: TypeAdapter[Change | Watching | Approve | Agree | Stats | Word] = TypeAdapter(
    Annotated[Change | Watching | Approve | Agree | Stats | Word, Field(discriminator="t")]
)
KNOWN = {"set", "watching", "approve", "agree", "leave", "ping", "stats"}


async def hold(socket: WebSocket, call: str) -> None:
    """From the socket's hello until it is gone."""
    await socket.accept()
    talk = Talk(socket)
    speaking, hearing = asyncio.create_task(talk.speak()), asyncio.create_task(_heard(socket, talk, call))
    try:
        await asyncio.wait([speaking, hearing], return_when=asyncio.FIRST_COMPLETED)
        if talk.ending:  # whoever does not take a goodbye goes without
            await asyncio.wait([speaking], timeout=GOODBYE_SECONDS)
    finally:
        for task in (speaking, hearing):
            task.cancel()
        for failure in await asyncio.gather(speaking, hearing, return_exceptions=True):
            if isinstance(failure, Exception):
                log.error("a call's socket failed", exc_info=failure)


async def _heard(socket: WebSocket, talk: Talk, call: str) -> None:
    """What is said there, until nobody is there any more or the conversation ends."""
    try:
        conference, claims, hello = await _welcomed(socket, talk, call)
        await _converse(conference, claims, hello, talk)
    except Ending as ending:
        talk.end(ending.code, ending.bye)
    except WebSocketDisconnect:
        pass


async def _welcomed(socket: WebSocket, talk: Talk, call: str) -> tuple[Conference, Claims, Hello]:
    """Who says hello. Nothing is told before. Raises Ending, WebSocketDisconnect."""
    try:
        said = await talk.hear(HELLO_SECONDS)
    except TimeoutError:
        raise Ending(TOKEN) from None
    try:
        hello = Hello.model_validate(said)
    except ValidationError:
        raise Ending(MALFORMED) from None
    try:
        who = known(calls_of(socket), socket.app.state.quotas, hello.token, call, client_of(socket))
    except Problem as problem:
        raise Ending(CODES.get(problem.status, MALFORMED), _goodbye(problem)) from None
    assert who.claims is not None
    if not who.claims.seat:
        raise Ending(GRANT)
    if who.claims.seat not in who.conference.rules.seats:
        raise Ending(OVER)
    return who.conference, who.claims, hello


def _goodbye(problem: Problem) -> dict[str, Any] | None:
    """What is said before the close code, where that does not tell all."""
    return {"t": "bye", "why": LOST, "again": "never"} if problem.kind == LOST else None


async def _converse(conference: Conference, claims: Claims, hello: Hello, talk: Talk) -> None:
    """Raises Ending, WebSocketDisconnect."""
    seat = claims.seat
    conference.connect(seat, talk, claims.epoch, hello.resume)
    try:
        while True:
            said = await talk.hear()
            if said["t"] not in KNOWN:
                continue
            try:
                message = SAID.validate_python(said)
            except ValidationError:
                raise Ending(MALFORMED) from None
            _told(conference, seat, claims, talk, message)
            if talk.ending:
                return
    finally:
        conference.disconnect(seat, talk)


def _told(conference: Conference, seat: int, claims: Claims, talk: Talk, message: Any) -> None:
    try:
        match message:
            case Change():
                conference.happen(of.Set(seat, message.name, message.muted, message.camera))
            case Watching():
                conference.happen(of.Watching(seat, message.visible))
            case Approve() if claims.grants.host:
                conference.happen(of.Approved(message.seat) if message.yes else of.Denied(message.seat))
            case Approve():
                talk.put({"t": "problem", **not_permitted("host").body()})
            case Agree():
                for what in Shared:
                    if (yes := getattr(message, what)) is not None:
                        conference.happen(of.Agreed(seat, what, yes))
            case Stats(look_age_ms=float(age)):
                conference.look_ages.append(age / 1e3)
            case Word(t="leave"):
                conference.happen(of.Left(seat))
            case Word(t="ping"):
                talk.put({"t": "pong", "at": round(time.monotonic(), 4)})
    except Problem as problem:
        talk.put({"t": "problem", **problem.body()})
