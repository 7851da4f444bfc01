"""Backlog: which coded pictures are decoded, where not all can be. What waits is bounded in time; losses are counted by reason.

Told the time, knows no clock. Coded pictures depend on the one before, so the newest cannot simply win: whoever falls
behind goes on with the next keyframe, and asks for one.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, replace

from server.webrtc.bitstream import Header, header
from server.webrtc.jitter import Coded

LATE = 0.35
"""Seconds after its arrival at which a picture is not decoded any more: what a retransmission may take, and as much again.
Later on, a frame lives half a second (pipeline/flow.py)."""
ANYWAY = 1.0
"Seconds in which all came too late after which the next one is decoded all the same, as a frame is worked on (pipeline/flow.py)."
KEYFRAME_APART = 0.5
"Seconds between two requests for a keyframe, which costs sender, network and decoder several ordinary pictures."
KEYFRAME_PATIENCE = 2.0
"Seconds without a keyframe after which pictures are decoded without one: some senders hear no request (FFmpeg, OBS)."
MOST_BYTES = 32 * 1024 * 1024

TOO_SLOW, NO_KEYFRAME, TOO_LARGE, LOST = (
    "decoding is too slow",
    "waiting for a keyframe",
    "the picture is too large",
    "packets were lost",
)


@dataclass(frozen=True)
class Limits:
    """What is taken of a caller's pictures."""

    most_pixels: int
    "A larger one is refused before it is decoded."
    late: float = LATE


class Backlog:
    """What waits for one caller's decoder."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._waiting: deque[tuple[Coded, Header]] = deque()
        self._bytes = 0
        self._blind_since: float | None = None
        "Since when a keyframe is waited for; None while none is needed."
        self._late_since: float | None = None
        "Since when every picture has been too late; None while one has not."
        self._begun = self._refusing = False
        self._asked = float("-inf")
        self._sps = self._pps = b""
        "The newest parameter sets of H.264: keyframes that lack them are given them."
        self.lost: Counter[str] = Counter()
        "Reason -> pictures that are not decoded."
        self.announced: tuple[int, int] | None = None
        "(width, height) by the newest header that tells."

    def prime(self, sets: bytes) -> None:
        """Take parameter sets that stand in the SDP alone, as a byte stream."""
        self._learn(header("H264", sets))

    def offer(self, picture: Coded, now: float) -> bool:
        """Take in a whole coded picture; whether a keyframe is to be asked for."""
        told = header(picture.codec.name, picture.data)
        self._learn(told)
        if not told.picture:
            return False
        if picture.after_loss:
            self.lost[LOST] += 1
        if (picture.after_loss or not self._begun) and self._blind_since is None:
            self._blind_since = now
        if self._refusing:
            self.lost[TOO_LARGE] += 1
            return False  # it would come as large again
        if told.keyframe:
            self._overtake(now)
            if not (told.sps and told.pps):
                picture = replace(picture, data=self._sps + self._pps + picture.data)
        elif self._blind(now):
            self.lost[NO_KEYFRAME] += 1
            return self._ask(now)
        self._begun, self._blind_since = True, None
        self._waiting.append((picture, told))
        self._bytes += len(picture.data)
        return self._bound(now) and self._ask(now)

    def take(self, now: float) -> tuple[Coded, Header] | None:
        """The next picture to decode, if there is one that is worth it."""
        self._bound(now)
        if not self._waiting:
            return None
        self._late_since = None
        return self._pop()

    def failed(self, now: float) -> bool:
        """A picture could not be decoded; whether a keyframe is to be asked for."""
        return self._ask(now)

    def _learn(self, told: Header) -> None:
        """Remember its parameter sets. Refuse from a header that announces too large a picture until one that announces a smaller one."""
        self._sps, self._pps = told.sps or self._sps, told.pps or self._pps
        if told.sizes:
            self.announced = max(told.sizes, key=lambda size: size[0] * size[1])
            self._refusing = self.announced[0] * self.announced[1] > self._limits.most_pixels
            if self._refusing:
                self._begun = False  # what follows builds upon what was never decoded

    def _blind(self, now: float) -> bool:
        if self._blind_since is None:
            return False
        return not self._begun or now - self._blind_since < KEYFRAME_PATIENCE

    def _overtake(self, now: float) -> None:
        """A keyframe needs nothing of what waits before it. Where that is on time it is decoded all the same."""
        if self._waiting and now - self._waiting[0][0].arrived > self._limits.late / 2:
            while self._waiting:
                self._drop_one()

    def _bound(self, now: float) -> bool:
        """Drop what comes too late, and what builds upon it; whether a keyframe is needed to go on."""
        if not self._waiting or not self._too_much(now):
            return False
        self._late_since = now if self._late_since is None else self._late_since
        self._drop_one()
        while self._waiting and (not self._waiting[0][1].keyframe or self._too_much(now)):
            self._drop_one()
        if not self._waiting:
            self._blind_since = now
        return not self._waiting

    def _too_much(self, now: float) -> bool:
        late = now - self._waiting[0][0].arrived > self._limits.late
        all_are = self._late_since is not None and now - self._late_since >= ANYWAY
        return (late and not all_are) or self._bytes > MOST_BYTES

    def _drop_one(self) -> None:
        self._pop()
        self.lost[TOO_SLOW] += 1

    def _pop(self) -> tuple[Coded, Header]:
        picture, told = self._waiting.popleft()
        self._bytes -= len(picture.data)
        return picture, told

    def _ask(self, now: float) -> bool:
        if now - self._asked < KEYFRAME_APART:
            return False
        self._asked = now
        return True
