"""Condition: how a channel goes, in one word that people and monitors see, and why. Told facts and the time; no asyncio, no clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from server.webrtc.backlog import NO_KEYFRAME

FIRST_PICTURE = 4.0
"Seconds from the connection to the first picture: a keyframe may have to be asked for twice."
UNDECODED_AFTER = 4.0
"""Seconds without a decoded picture, though pictures come, until nothing can be decoded: a busy machine leaves some out, and the
keyframe that it goes on with may have to be asked for twice."""
STILL_AFTER = 1.5
"Seconds without a picture until the source counts as standing still: a screen share sends one a second."
NO_FACE_AFTER = 2.0
"Seconds without a face: who turns round or drinks is not gone."
TOO_FAR_AFTER = 2.0
"Seconds with a face that is too small: who leans back comes forward again."
SMALLEST = 60.0
"""Pixels from forehead to chin of a face that is followed well. Against the same face at full size (benchmarks/face_size.py; three
films of people and the puppet) lids correlate 0.88 to 0.995 at 60 pixels, 0.74 to 0.99 at 48, 0.70 to 0.98 at 40 and 0.27 to 0.96 at
26, where faces are still found; heads turn to within 0.25 to 0.9 degrees at 60 and 0.7 to 2.5 at 26."""
LARGE_ENOUGH = 1.15
"Times SMALLEST, from which on it is no longer said: a face that stands at the limit trembles by less."


class State(StrEnum):
    CONNECTING = "connecting"
    LIVE = "live"
    STILL = "still"
    "The source sends no new pictures; viewers are shown the last one."
    UNDECODED = "nothing-decoded"
    NO_FACE = "no-face"
    TOO_FAR = "too-far"
    "A face is seen, too small to be followed well."
    SLOWED = "slowed-down"
    "Detail is given up, so that pictures stay young."
    FAILING = "devices-failing"


@dataclass(frozen=True)
class Facts:
    """What is known of a channel. Times in seconds of one clock."""

    connected: bool
    arrived: float | None
    "When the newest whole picture came, decodable or not."
    decoded: float | None
    "When the newest picture was decoded."
    lost: Mapping[str, int] = field(default_factory=dict)
    "Reason -> pictures that came and were not shown."
    presence: float = 1.0
    "Of the newest observation; 0 while nobody is seen."
    face: float | None = None
    "Pixels from forehead to chin in the picture that was tracked; None while none is seen."
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
    """One channel's condition as it goes on."""

    def __init__(self, now: float) -> None:
        self._state, self._why, self._since = State.CONNECTING, "", now
        self._connected: float | None = None
        self._face = self._near = now
        self._lost: dict[str, int] = {}
        self._decoded: float | None = None
        self._reason = ""

    def update(self, facts: Facts, now: float) -> bool:
        """Whether the state is another one than before."""
        if facts.connected and self._connected is None:
            self._connected = self._face = self._near = now
        if facts.presence > 0:
            self._face = now
        if self._close_enough(facts.face):
            self._near = now
        self._learn(facts)
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

    def _learn(self, facts: Facts) -> None:
        """The reason of which most came since the last look is the one that counts now. That a keyframe is waited for is none
        where it is known what made that necessary."""
        if facts.decoded != self._decoded:
            self._decoded, self._reason = facts.decoded, ""
        more = {reason: count - self._lost.get(reason, 0) for reason, count in facts.lost.items()}
        causes = {reason: count for reason, count in more.items() if count and reason != NO_KEYFRAME}
        if causes:
            self._reason = max(causes, key=lambda reason: causes[reason])
        elif more.get(NO_KEYFRAME):
            self._reason = self._reason or NO_KEYFRAME
        self._lost = dict(facts.lost)

    def _close_enough(self, face: float | None) -> bool:
        """Whether it is near, or nothing is known against it: who is far and unseen for a moment has not come closer."""
        far = self._state is State.TOO_FAR
        return not far if face is None else face >= SMALLEST * (LARGE_ENOUGH if far else 1.0)

    def _judge(self, facts: Facts, now: float) -> tuple[State, str]:
        if self._connected is None:
            return State.CONNECTING, ""
        if facts.failing:
            return State.FAILING, facts.failing
        if facts.decoded is None and now - self._connected <= FIRST_PICTURE:
            return State.CONNECTING, ""
        if (nothing := self._nothing_new(facts, now)) is not None:
            return nothing
        if now - self._face > NO_FACE_AFTER:
            return State.NO_FACE, ""
        if now - self._near > TOO_FAR_AFTER:
            return State.TOO_FAR, ""
        return (State.SLOWED, facts.slowed) if facts.slowed else (State.LIVE, "")

    def _nothing_new(self, facts: Facts, now: float) -> tuple[State, str] | None:
        """What is to say where no picture has been decoded for too long; None where one has."""
        if facts.arrived is None:
            return State.UNDECODED, "no picture has come"
        if facts.decoded is not None and now - max(facts.arrived, facts.decoded) > STILL_AFTER:
            return State.STILL, ""
        if facts.decoded is not None and now - facts.decoded <= UNDECODED_AFTER:
            return None
        return State.UNDECODED, self._reason or "pictures come, and none of them can be decoded"
