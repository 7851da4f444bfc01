"""Problems: every refusal as problem+json (RFC 9457), from one table. Each kind has its own type URI and its own words."""

from __future__ import annotations

import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from display.screen import UnknownScreen
from engines.contract import AvatarRefused, PortraitRejected, UnknownEngine, WeightsMissing
from pipeline.avatars import AvatarDamaged, NoRoomForAvatars, UnknownAvatar, WrongEngine
from pipeline.devices.planner import PlacementImpossible
from server.media.portraits import PortraitUnreadable
from server.recordings.archive import StillRecording, UnknownRecording

MEDIA_TYPE = "application/problem+json"
log = structlog.get_logger(__name__)


class Problem(Exception):
    """A refusal. `kind` is a stable word for programs; `detail` tells people what to do."""

    def __init__(
        self, status: int, kind: str, detail: str, headers: dict[str, str] | None = None, **members: Any
    ) -> None:
        super().__init__(detail)
        self.status, self.kind, self.detail, self.headers, self.members = status, kind, detail, headers or {}, members

    def body(self) -> dict[str, Any]:
        return {
            "type": f"urn:telequilt:problem:{self.kind}",
            "title": _title(self.kind),
            "status": self.status,
            "detail": self.detail,
            **self.members,
        }

    def response(self) -> JSONResponse:
        return _Told(self.body(), self.status, self.headers)


class _Told(JSONResponse):
    """In ASCII: a refusal repeats its client's words, and half a surrogate pair, which JSON may hold, is no UTF-8."""

    media_type = MEDIA_TYPE

    def render(self, content: Any) -> bytes:
        return json.dumps(content, separators=(",", ":"), allow_nan=False).encode()


_ABBREVIATIONS = {"sdp": "SDP", "ice": "ICE", "etag": "ETag", "rtcp": "RTCP"}


def _title(kind: str) -> str:
    words = " ".join(_ABBREVIATIONS.get(word, word) for word in kind.split("-"))
    return words[0].upper() + words[1:]


def busy(kind: str, detail: str, retry_after: int, **members: Any) -> Problem:
    """503 for now; `retry_after` in seconds."""
    return Problem(503, kind, detail, {"Retry-After": str(retry_after)}, **members)


def _from_http(error: HTTPException) -> Problem:
    title = HTTPStatus(error.status_code).phrase
    return Problem(error.status_code, title.lower().replace(" ", "-"), str(error.detail), dict(error.headers or {}))


def _from_validation(error: RequestValidationError) -> Problem:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return Problem(400, "bad-parameter", f"{where}: {first['msg']}", parameter=where)


def _hyphened(reason: str) -> str:
    return reason.replace("_", "-")


def as_problem(error: Exception) -> Problem:
    """The table: what each error of the folders below means to a client."""
    match error:
        case Problem():
            return error
        case PortraitRejected():
            return Problem(422, f"portrait-{_hyphened(error.reason)}", str(error), reason=error.reason)
        case AvatarRefused():
            return Problem(422, f"avatar-{_hyphened(error.reason)}", str(error), reason=error.reason)
        case WrongEngine():
            return Problem(409, "wrong-engine", str(error))
        case PortraitUnreadable():
            limit: dict[str, Any] = {} if error.limit is None else {"limit": error.limit}
            return Problem(422, f"portrait-{_hyphened(error.reason)}", str(error), reason=error.reason, **limit)
        case UnknownAvatar():
            return Problem(404, "unknown-avatar", str(error))
        case AvatarDamaged():
            return Problem(410, "avatar-damaged", str(error))
        case NoRoomForAvatars():
            return Problem(507, error.reason, str(error), limit=error.limit)
        case UnknownRecording():
            return Problem(404, "unknown-recording", str(error))
        case StillRecording():
            return Problem(409, "still-recording", str(error))
        case UnknownEngine():
            return Problem(400, "unknown-engine", str(error))
        case UnknownScreen():
            return Problem(400, "unknown-screen", str(error))
        case WeightsMissing():
            return Problem(503, "weights-missing", str(error), {"Retry-After": "3600"}, engine=error.engine)
        case PlacementImpossible():
            return Problem(503, "placement-impossible", str(error), {"Retry-After": "60"})
        case RequestValidationError():
            return _from_validation(error)
        case HTTPException():
            return _from_http(error)
        case ClientDisconnect():
            return Problem(400, "hung-up", "the client hung up before its request was whole")
        case _:
            return Problem(500, "internal-error", "this is our fault; the server's log has the cause")


EXPECTED = (
    Problem,
    PortraitRejected,
    PortraitUnreadable,
    AvatarRefused,
    WrongEngine,
    UnknownAvatar,
    AvatarDamaged,
    NoRoomForAvatars,
    UnknownRecording,
    StillRecording,
    UnknownEngine,
    UnknownScreen,
    WeightsMissing,
    PlacementImpossible,
    RequestValidationError,
    HTTPException,
    ClientDisconnect,
)


def install(app: FastAPI, page: Callable[[Request, Problem], Response | None]) -> None:
    """Make `app` answer every error with its problem, or with the `page` that there is of it for people."""

    async def answer(request: Request, error: Exception) -> Response:
        problem = as_problem(error)
        if problem.status == 500:
            log.error("request failed", path=request.url.path, exc_info=error)
        return page(request, problem) or problem.response()

    for kind in (*EXPECTED, Exception):
        app.add_exception_handler(kind, answer)
