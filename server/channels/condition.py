"""Condition: how a call goes, in one word that people and monitors see, and why. Told facts and the time; no asyncio, no clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

FIRST_PICTURE = 4.0
"Seconds from the connection to the first picture: a keyframe may have to be asked for twice."
STILL_AFTER = 1.5
"Seconds without a picture until the source counts as standing still: a screen share sends one a second."
NO_FACE_AFTER = 2.0
"Seconds without a face: who turns round or drinks is not gone."


class State(StrEnum):
    CONNECTING = "connecting"
    LIVE = "live"
    STILL = "still"
    "The source sends no new pictures; viewers are shown the last one."
    UNDECODED = "nothing-decoded"
    NO_FACE = "no-face"
    SLOWED = "slowed-down"
    "Detail is given up, so that pictures stay young."
    FAILING = "devices-failing"


@dataclass(frozen=True)
class Facts:
    """What is known of a call. Times in seconds of one clock."""

    connected: bool
    arrived: float | None
    "When the newest whole picture came, decodable or not."
    decoded: float | None
    "When the newest picture was decoded."
    lost: Mapping[str, int] = field(default_factory=dict)
    "Reason -> pictures that came and were not shown."
    presence: float = 1.0
    "Of the newest observation; 0 while nobody is seen."
    slowed: str = ""
    "Why detail is given up; empty where it is not."
    failing: str = ""
    "Which devices fail, and how; empty where none does."


@dataclass(frozen=True)
class Condition:
    state: State
    why: str
    "For people; empty where the state says it all."
    seconds: float
    "For how long it has been so."


class Course:
    """One call's condition as it goes on."""

    def __init__(self, now: float) -> None:
        self._state, self._why, self._since = State.CONNECTING, "", now
        self._connected: float | None = None
        self._face = now
        self._lost: dict[str, int] = {}
        self._reason = ""

    def update(self, facts: Facts, now: float) -> bool:
        """Whether the state is another one than before."""
        if facts.connected and self._connected is None:
            self._connected = self._face = now
        if facts.presence > 0:
            self._face = now
        self._learn(facts.lost)
        state, self._why = self._judge(facts, now)
        if state is self._state:
            return False
        self._state, self._since = state, now
        return True

    def at(self, now: float) -> Condition:
        return Condition(self._state, self._why, round(now - self._since, 1))

    def overdue(self, now: float, undecoded: float, still: float) -> str:
        """Why it is to end: nothing of it was decoded for `undecoded` seconds, or nothing came for `still`. Empty: it is not."""
        lasted = now - self._since
        if self._state is State.UNDECODED and lasted >= undecoded:
            return f"nothing could be decoded for {undecoded:g} s: {self._why}"
        if self._state is State.STILL and lasted >= still:
            return f"no new picture came for {still:g} s"
        return ""

    def _learn(self, lost: Mapping[str, int]) -> None:
        """The reason of which most came since the last look is the one that counts now."""
        more = {reason: count - self._lost.get(reason, 0) for reason, count in lost.items()}
        if any(more.values()):
            self._reason = max(more, key=lambda reason: more[reason])
        self._lost = dict(lost)

    def _judge(self, facts: Facts, now: float) -> tuple[State, str]:
        if self._connected is None:
            return State.CONNECTING, ""
        if facts.failing:
            return State.FAILING, facts.failing
        if facts.decoded is None and now - self._connected <= FIRST_PICTURE:
            return State.CONNECTING, ""
        if facts.decoded is None or now - facts.decoded > STILL_AFTER:
            return self._nothing_new(facts, now)
        if now - self._face > NO_FACE_AFTER:
            return State.NO_FACE, ""
        return (State.SLOWED, facts.slowed) if facts.slowed else (State.LIVE, "")

    def _nothing_new(self, facts: Facts, now: float) -> tuple[State, str]:
        if facts.arrived is None:
            return State.UNDECODED, "no picture has come"
        if facts.decoded is not None and now - facts.arrived > STILL_AFTER:
            return State.STILL, ""
        return State.UNDECODED, self._reason or "pictures come, and none of them can be decoded"
