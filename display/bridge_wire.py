"""Bridge's wire: one PUT, one answer, one deadline. Whatever answers on that port is not trusted."""

from __future__ import annotations

import http.client
import io
import json
import math
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import urlsplit

ADDRESS = "http://localhost:33334"
"Where Looking Glass Bridge listens on the PC that has the display."
LARGEST_ANSWER = 4 << 20
"Bytes. A display's entry with its calibration has about two thousand."
FINE = ("Completion", "Pending")
"The two statuses of Bridge that are no refusal."


class BridgeFailure(RuntimeError):
    """Looking Glass Bridge did not do what it was asked."""


class BridgeUnreachable(BridgeFailure):
    """Nobody answers there, or not in time; the message says what to do."""


class BridgeRefused(BridgeFailure):
    """Bridge said no. `status` is its own word for it."""

    def __init__(self, endpoint: str, status: str, message: str = "") -> None:
        super().__init__(f"Bridge refused {endpoint}: {status}{f' ({message})' if message else ''}")
        self.endpoint, self.status = endpoint, status


class BridgeGarbled(BridgeFailure):
    """What answers is not Bridge as we know it; the message names the field."""


@dataclass(frozen=True)
class Answer:
    """One answer of Bridge, checked for its outermost shape."""

    endpoint: str
    status: str
    payload: Any
    "The value inside the payload: a text or a number, a map of variants, or None where there is no payload."

    def map(self) -> Mapping[str, Any]:
        """The payload, where it is a map. Raises BridgeGarbled."""
        if not isinstance(self.payload, Mapping):
            raise garbled(self.endpoint, "payload", self.payload, "a map")
        return self.payload

    def text(self) -> str:
        """The payload, where it is a text that is not empty. Raises BridgeGarbled."""
        if not isinstance(self.payload, str) or not self.payload:
            raise garbled(self.endpoint, "payload", self.payload, "a text")
        return self.payload


def put(address: str, endpoint: str, body: Mapping[str, Any], timeout: float) -> Answer:
    """What Bridge at `address` answers within `timeout` seconds, connecting and all. Raises BridgeFailure."""
    deadline = time.monotonic() + timeout
    try:
        status, content = _exchange(address, endpoint, json.dumps(body).encode(), deadline)
    except TimeoutError:
        raise unreachable(address, f"no answer to {endpoint} within {timeout:g} s") from None
    except OSError as failure:
        raise unreachable(address, f"{endpoint}: {failure.strerror or type(failure).__name__}") from failure
    except http.client.HTTPException as failure:
        raise BridgeGarbled(f"what answers at {address} does not speak HTTP: {str(failure)[:60]!r}") from failure
    if status != 200:
        raise BridgeRefused(endpoint, f"HTTP {status}")
    return read_answer(endpoint, content)


def read_answer(endpoint: str, content: str | bytes) -> Answer:
    """An envelope of Bridge, taken apart. Raises BridgeGarbled, or BridgeRefused where its status says no."""
    try:
        envelope = json.loads(content, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        shown = content[:40]
        raise BridgeGarbled(f"Bridge's answer to {endpoint} is not JSON ({str(error)[:80]}): {shown!r}") from None
    if not isinstance(envelope, dict):
        raise garbled(endpoint, "the answer", envelope, "a map")
    status = value_of(envelope.get("status"))
    if not isinstance(status, str) or not status:
        raise garbled(endpoint, "status", envelope.get("status"), "a text")
    payload = value_of(envelope.get("payload"))
    if status not in FINE:
        said = value_of(payload.get("message")) if isinstance(payload, Mapping) else None
        raise BridgeRefused(endpoint, status[:80], said[:200] if isinstance(said, str) else "")
    return Answer(endpoint, status, payload)


def value_of(variant: object) -> Any:
    """What a variant {name, type, value} holds; anything else is taken as it is."""
    return variant["value"] if isinstance(variant, Mapping) and "value" in variant else variant


def whole(endpoint: str, name: str, value: object, least: int = -(1 << 31)) -> int:
    """`value` as a whole number, which may come as a text: some clients of Bridge send them so. Raises BridgeGarbled."""
    try:
        number = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not number.is_integer() or not least <= number < 1 << 31:
        raise garbled(endpoint, name, value, "a whole number" + (f" from {least}" if least > 0 else ""))
    return int(number)


def garbled(endpoint: str, name: str, value: object, wanted: str) -> BridgeGarbled:
    """The error for an answer to `endpoint` whose field `name` holds `value` instead of `wanted`, in words for people. To be raised."""
    shown = "missing" if value is None else repr(value)
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    return BridgeGarbled(f"Bridge's answer to {endpoint} makes no sense: {name} is {shown}, not {wanted}")


def unreachable(address: str, cause: str) -> BridgeUnreachable:
    """The error for a Bridge that does not answer at `address`, with what mends it. To be raised."""
    return BridgeUnreachable(
        f"Looking Glass Bridge does not answer at {address} ({cause}): start it on the PC that has the display "
        "(look for its icon in the task or menu bar), then try again"
    )


def _no_number(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON number")


def _exchange(address: str, endpoint: str, body: bytes, deadline: float) -> tuple[int, bytes]:
    """Status and body. Raises OSError (TimeoutError past the deadline) or HTTPException."""
    place = urlsplit(address)
    connection = http.client.HTTPConnection(place.hostname or "localhost", place.port)
    socket_ = socket.create_connection((connection.host, connection.port), _left(deadline))
    connection.sock = _Timed(socket_, deadline)  # type: ignore[assignment]
    try:
        connection.request("PUT", f"/{endpoint}", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        content = response.read(LARGEST_ANSWER + 1)
        if len(content) > LARGEST_ANSWER:
            raise BridgeGarbled(f"Bridge's answer to {endpoint} is larger than {LARGEST_ANSWER} bytes")
        return response.status, content
    finally:
        connection.close()
        socket_.close()


def _left(deadline: float) -> float:
    """Seconds until `deadline`, on time.monotonic's clock. Raises TimeoutError past it."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


class _Timed:
    """A socket for http.client whose every wait ends at one deadline: its own timeout begins anew with each byte."""

    def __init__(self, plain: socket.socket, deadline: float) -> None:
        self._plain, self._deadline = plain, deadline

    def sendall(self, data: bytes) -> None:
        self._plain.settimeout(_left(self._deadline))
        self._plain.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Incoming(self._plain, self._deadline))

    def close(self) -> None:
        """http.client lets go of its socket once it has read the head of an answer without a length."""


class _Incoming(io.RawIOBase):
    def __init__(self, plain: socket.socket, deadline: float) -> None:
        self._plain, self._deadline = plain, deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._plain.settimeout(_left(self._deadline))
        return self._plain.recv_into(buffer)
