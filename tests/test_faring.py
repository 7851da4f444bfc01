"""How a member's own picture goes: its page is told what it has to know, once, and again when another window asks."""

from __future__ import annotations

from server.calls.faring import Faring
from server.channels.condition import Condition, State


def told(faring: Faring, state: State, why: str = "", socket: int | None = 7) -> dict[str, str] | None:
    return faring.see(1, socket, Condition(state, why, 1.0))


def test_a_page_is_told_once_and_when_it_is_over():
    faring = Faring()
    assert told(faring, State.CONNECTING) is None
    assert told(faring, State.LIVE) is None
    assert told(faring, State.NO_FACE) == {"t": "condition", "state": "no-face", "why": ""}
    assert told(faring, State.NO_FACE) is None
    assert told(faring, State.TOO_FAR) == {"t": "condition", "state": "too-far", "why": ""}
    assert told(faring, State.LIVE) == {"t": "condition", "state": "live", "why": ""}
    assert told(faring, State.LIVE) is None


def test_another_reason_is_news():
    faring = Faring()
    assert told(faring, State.UNDECODED, "no keyframe")
    said = told(faring, State.UNDECODED, "too large")
    assert said is not None
    assert said["why"] == "too large"


def test_what_the_seats_row_says_is_not_said_twice():
    faring = Faring()
    assert told(faring, State.STILL) is None
    assert told(faring, State.SLOWED, "busy") is None


def test_another_window_is_told_anew_and_nobody_is_told_without_one():
    faring = Faring()
    assert told(faring, State.NO_FACE, socket=None) is None
    assert told(faring, State.NO_FACE) is not None
    assert told(faring, State.NO_FACE, socket=8) is not None
    faring.forget(1)
    assert told(faring, State.NO_FACE, socket=8) is not None
