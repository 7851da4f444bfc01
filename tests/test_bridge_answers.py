"""The Bridge client against servers in its place that talk nonsense, hang, drip, flood or refuse."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from display import bridge_wire
from display.bridge import Bridge
from display.bridge_wire import BridgeFailure, BridgeGarbled, BridgeRefused, BridgeUnreachable, read_answer
from display.calibration import CalibrationRejected
from tests.bridges import SHORT, envelope, misbehaving, portrait, running, saying


def devices(**changes: Any) -> bytes:
    entry: dict[str, Any] = {"hwid": "LKG1", "hardwareVersion": "go", "state": "ok", "index": 0, "calibration": ""}
    entry |= {"defaultQuilt": "{}", "windowCoords": {"x": 0, "y": 0}} | changes
    return envelope({"0": {"value": {name: {"value": value} for name, value in entry.items()}}})


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON"),
        (b"<html>It works!</html>", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b'{"status": NaN}', "NaN"),
        (b'{"status": Infinity}', "Infinity"),
        (b"[" * 100_000, "not JSON"),
        (b'{"a":' * 50_000, "not JSON"),
        (b"1" * 6000, "not JSON"),
        (b"[]", "the answer is"),
        (b"{}", "status is missing"),
        (b'{"status": {"value": 7}}', "status is"),
        (b'{"status": {"value": "Completion"}, "payload": null}', "payload is missing"),
        (envelope(3), "payload is 3"),
        (envelope({"value": {}}), "payload is"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_nonsense_is_one_clear_error(body: bytes, words: str) -> None:
    with misbehaving(saying(body)) as address, pytest.raises(BridgeGarbled, match=words):
        Bridge(address, timeout=5).version()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (envelope("none"), "payload is 'none', not a map"),
        (envelope({"0": 5}), "display 0 is 5"),
        (devices(index=None), "index is missing"),
        (devices(index="first"), "index is 'first'"),
        (devices(index=0.5), "index is 0.5"),
        (devices(index=True), "index is True"),
        (devices(index=1e300), "index is 1e"),
        (devices(windowCoords=[0, 0]), "windowCoords is"),
        (devices(windowCoords={"x": 0}), "windowCoords.y is missing"),
        (devices(calibration=7), "calibration is 7"),
        (devices(defaultQuilt=7), "defaultQuilt is 7"),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else value[:30],
)
def test_a_display_that_makes_no_sense_is_an_error_that_names_the_field(body: bytes, words: str) -> None:
    def answer(peer: socket.socket) -> None:
        saying(next(answers))(peer)

    answers = iter([envelope("a token"), body])
    with misbehaving(answer) as address, pytest.raises(BridgeGarbled, match=words):
        Bridge(address, timeout=5).displays()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not JSON"),
        ("[1]", "is not a JSON object"),
        ('{"quiltX": 0, "tileX": 8, "tileY": 6}', "quiltX is 0, not a number from 256"),
        ('{"quiltX": 999, "quiltY": 999, "tileX": 3, "tileY": 3, "quiltAspect": NaN}', "quiltAspect is NaN"),
    ],
)
def test_a_quilt_that_makes_no_sense_is_refused_when_asked_for(text: str, words: str) -> None:
    with running(portrait(defaultQuilt=text)) as fake:
        (one,) = Bridge(fake.http).displays()
        assert one.calibration.width == 1536
        with pytest.raises(CalibrationRejected, match=f"defaultQuilt of LKG-P\\w*.*{words}"):
            _ = one.screen


def drip(head: bytes, every: bytes) -> Callable[[socket.socket], None]:
    """Never quiet for long, and never done."""

    def answer(peer: socket.socket) -> None:
        peer.sendall(head)
        pausing = threading.Event()
        while not pausing.wait(0.05):
            peer.sendall(every)

    return answer


def silent(peer: socket.socket) -> None:
    while peer.recv(65536):
        pass


@pytest.mark.parametrize(
    "answer",
    [
        silent,
        drip(b"", b"H"),
        drip(b"HTTP/1.1 200 OK\r\n", b"X-More: 1\r\n"),
        drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        drip(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b" "),
        drip(b"HTTP/1.1 200 OK\r\n\r\n", b" "),
        drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        saying(b"{", length=100),
        saying(b"", length=-5),
        lambda peer: None,
        lambda peer: peer.sendall(b"SSH-2.0-OpenSSH_9.2\r\n"),
        lambda peer: peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{"),
    ],
    ids=[
        "silent",
        "status",
        "headers",
        "100",
        "body",
        "to the end",
        "chunks",
        "cut",
        "minus",
        "closed",
        "ssh",
        "short",
    ],
)
def test_whoever_drips_hangs_or_hangs_up_costs_no_more_than_the_timeout(
    answer: Callable[[socket.socket], None],
) -> None:
    with misbehaving(answer) as address, pytest.raises((BridgeUnreachable, BridgeGarbled)) as failure:
        Bridge(address, timeout=SHORT).version()
    assert "127.0.0.1" in str(failure.value) or "not JSON" in str(failure.value)


def test_an_endless_answer_is_read_up_to_a_limit() -> None:
    sent = 0

    def flood(peer: socket.socket) -> None:
        nonlocal sent
        peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            sent += peer.send(b" " * 65536)

    with misbehaving(flood) as address, pytest.raises(BridgeGarbled, match="larger than"):
        Bridge(address, timeout=20).version()
    assert sent < 4 * bridge_wire.LARGEST_ANSWER


@pytest.mark.parametrize(
    "head", ["408 Request Timeout", "500 Oops", "302 Found\r\nLocation: http://elsewhere.example/"]
)
def test_another_status_is_bridges_refusal_and_leads_nowhere_else(head: str) -> None:
    with misbehaving(saying(b"", head)) as address, pytest.raises(BridgeRefused, match=f"HTTP {head[:3]}") as refusal:
        Bridge(address, timeout=5).version()
    assert refusal.value.status == f"HTTP {head[:3]}"


def test_a_bridge_that_knows_no_orchestration_however_often_one_enters_is_not_asked_for_ever() -> None:
    asked = 0

    def answer(peer: socket.socket) -> None:
        nonlocal asked
        asked += 1
        saying(envelope("a token") if asked % 2 else envelope(None, "UnknownOrchestration"))(peer)

    with misbehaving(answer) as address, pytest.raises(BridgeRefused, match="UnknownOrchestration"):
        Bridge(address, timeout=5).displays()
    assert asked == 4


variants = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["value", "status", "payload"]), inner),
    max_leaves=8,
)


@given(variants)
def test_any_json_is_an_answer_or_a_failure_of_bridge(content: Any) -> None:
    with suppress(BridgeFailure):
        assert read_answer("x", json.dumps(content)).status in bridge_wire.FINE
