"""Audio: the relay of sound: a caller's Opus packets to every viewer, unchanged: never decoded here, never encoded again."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any
from weakref import WeakSet

import av
import structlog
from aiortc.mediastreams import MediaStreamTrack

from server.media.delay import Delay
from server.media.rates import SOUND_CLOCK
from server.tally import Tally
from server.webrtc.capture import Captured, by_arrival
from server.webrtc.patches.receivers import take_packets, tell_loss
from server.webrtc.redundancy import Repeating
from server.webrtc.voice_line import Said, VoiceLine

WAITING = 10
"Packets that may wait for a slow viewer: 200 ms of sound. The oldest goes first."
JUMP_SECONDS = 2.0
"A timestamp that runs ahead of the clock by more was set anew: no sender is silent into the future."
RESTART = 16
"So many packets in a row from before the newest are no late ones: the sender counts anew."
FOLLOWED = 0.3
"Of each share that a viewer reports as lost: they come about once a second, of few packets."
EMPTY, NOT_OPUS = "empty sound packets left out", "sound packets that are not Opus left out"
LATE = "sound packets left out that came too late, or twice"
_RATE = SOUND_CLOCK.denominator
Heard = Callable[[bytes, int, float], None]
"Takes a packet, where it is in the caller's sound, in samples, and when it was captured."
Begun = Callable[[], bool]
"Whether a viewer was sent its first picture."
Listen = Callable[[Begun], "VoiceTrack"]
"Makes what one viewer hears, silent until it has begun."


class Timeline:
    """Where packets are in a sound that goes on, whatever their sender does to its clock. Told the time, knows no clock."""

    def __init__(self) -> None:
        self._last: tuple[int, int, int, float] | None = None
        "Source, sequence number, timestamp and arrival of the newest packet."
        self._position = self._late = 0

    def place(self, source: int, number: int, timestamp: int, now: float) -> int | None:
        """The position in samples of a packet that came at `now`; None where that cannot be told of a late one.

        Timestamps tell it. Where they jump (replaceTrack, a sender that starts again: another source, or numbers and
        times that begin anew) the time that went by does.
        """
        if self._last is not None:
            source_before, number_before, timestamp_before, then = self._last
            ahead = _signed(timestamp - timestamp_before, 32)
            if source == source_before and -_signed(number - number_before, 16) >= 0 and self._late < RESTART:
                self._late += 1
                return self._position + ahead if -JUMP_SECONDS * _RATE < ahead <= 0 <= self._position + ahead else None
            passed = max(1, round((now - then) * _RATE))
            anchored = source == source_before and self._late < RESTART and 0 < ahead < passed + JUMP_SECONDS * _RATE
            self._position += ahead if anchored else passed
        self._late = 0
        self._last = source, number, timestamp, now
        return self._position


def _signed(difference: int, bits: int) -> int:
    """Of two numbers that wrap: how far the one is ahead of the other, negative where it is behind."""
    half = 1 << (bits - 1)
    return (difference + half) % (1 << bits) - half


class Voice:
    """The audio relay of one caller: the sound and who listens. Event loop only."""

    def __init__(self, receiver: Any, captured: Captured = by_arrival, **facts: Any) -> None:
        """Before the receiver starts: aiortc would decode what nobody needs decoded. `facts` are logged with what goes wrong."""
        self._lines: dict[tuple[Delay, float], Line] = {}
        "By the delay, and by how much sooner."
        self._captured = captured
        self._timeline = Timeline()
        self.left_out = Tally(structlog.get_logger(__name__), **facts)
        self._tracks: WeakSet[VoiceTrack] = WeakSet()
        self.muted = False
        "Nothing is passed on."
        self.told: Callable[[Said, float], None] | None = None
        "Is shown each packet that is passed on as it comes, and when that was."
        self.hear(receiver, captured)

    def hear(self, receiver: Any, captured: Captured = by_arrival) -> None:
        """Pass on what comes there too: of a caller who comes back by another connection. Before the receiver starts."""
        take_packets(receiver, partial(self._taken, captured))
        tell_loss(receiver, lambda: self.lost)

    def taken(self, packet: Any, data: bytes, codec: Any) -> bool:
        """Take in one RTP packet of the first receiver; no keyframe is to be asked for, ever."""
        return self._taken(self._captured, packet, data, codec)

    def _taken(self, when: Captured, packet: Any, data: bytes, codec: Any) -> bool:
        if codec.name.lower() != "opus":
            self.left_out.count(NOT_OPUS, codec=codec.name)
            return False
        now = time.monotonic()
        position = self._timeline.place(packet.ssrc, packet.sequence_number, packet.timestamp, now)
        captured = when(packet.ssrc, packet.timestamp, now)
        if not data:  # a decoder takes 0 bytes for the end of the sound
            self.left_out.count(EMPTY)
        elif position is None:
            self.left_out.count(LATE)
        elif not self.muted:
            said = Said(position, data, captured, _level(packet))
            for line in tuple(self._lines.values()):
                line.put(said, now)
            if self.told is not None:
                self.told(said, now)
        return False

    @property
    def listeners(self) -> int:
        """How many hear it, viewers and recordings."""
        return sum(len(line.listeners) for line in self._lines.values())

    @property
    def lost(self) -> float:
        """Share of packets, 0..1, that the worst of its viewers' links has lost lately."""
        return max((track.lost for track in self._tracks), default=0.0)

    def listen(self, delay: Delay, begun: Begun = lambda: True) -> VoiceTrack:
        """For one viewer of the form of `delay`; silent until `begun`: an SFU that aligns sound and picture by what comes
        first of each keeps their distance for good."""
        track = VoiceTrack(begun, lambda: self.leave(delay, track.put))
        self._tracks.add(track)
        self.join(delay, track.put)
        return track

    def join(self, delay: Delay, heard: Heard, lead: float = 0.0) -> None:
        """Let `heard` have every packet when the picture of its moment leaves, by `delay`, or `lead` seconds before."""
        key = delay, lead
        if key not in self._lines:
            self._lines[key] = Line(delay, lead, self.left_out)
        self._lines[key].listeners.add(heard)

    def leave(self, delay: Delay, heard: Heard, lead: float = 0.0) -> None:
        if (line := self._lines.get((delay, lead))) is not None:
            line.listeners.discard(heard)
            if not line.listeners:
                self._lines.pop((delay, lead)).close()


def _level(packet: Any) -> int | None:
    told = getattr(packet.extensions, "audio_level", None)
    return told[1] if told is not None else None


class Line:
    """A voice line with a clock. Its listeners see one form of the caller."""

    def __init__(self, delay: Delay, lead: float, left_out: Tally) -> None:
        self.listeners: set[Heard] = set()
        self._delay, self._lead, self._left_out = delay, lead, left_out
        self._line = VoiceLine()
        self._timer: asyncio.TimerHandle | None = None

    def put(self, said: Said, now: float) -> None:
        before = self._line.late
        self._line.put(said, now)
        if self._line.late > before:
            self._left_out.count(LATE)
        self._give(now)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _give(self, now: float) -> None:
        """Give what is ready, and look again when the next is."""
        delay, before = self._delay.at(now, self._line.silent), self._line.late
        if delay is not None:
            delay = max(0.0, delay - self._lead)
        for said in self._line.ready(delay, now):
            self._delay.sound(now + self._lead - said.captured)
            for heard in tuple(self.listeners):
                heard(said.payload, said.position, said.captured)
        if self._line.late > before:
            self._left_out.count(LATE, self._line.late - before)
        self.close()
        due = self._line.due(delay, now)
        self._timer = asyncio.get_running_loop().call_at(due, self._again) if due is not None else None

    def _again(self) -> None:
        self._give(time.monotonic())


class VoiceTrack(MediaStreamTrack):
    """What one viewer's sender reads."""

    kind = "audio"

    def __init__(self, begun: Begun, leave: Callable[[], None]) -> None:
        super().__init__()
        self._begun, self._leave = begun, leave
        self._packets: deque[tuple[bytes, int, float]] = deque(maxlen=WAITING)
        self._came = asyncio.Event()
        self.captured: float | None = None
        "When what `recv` gave last was captured, seconds of time.monotonic()."
        self.lost = 0.0
        "Share of its packets that its viewer has reported as lost, lately."
        self.repeating: Repeating | None = None
        "Of a viewer who takes packets that bring along those before them."

    def reported(self, lost: float) -> None:
        """Its viewer says which share of its packets was lost since it last said so."""
        self.lost += (lost - self.lost) * FOLLOWED

    def put(self, payload: bytes, position: int, captured: float) -> None:
        """Hear one Opus packet, `position` samples of 1/48000 s into the call; the oldest of WAITING makes room."""
        if self._begun():
            self._packets.append((payload, position, captured))
            self._came.set()

    async def recv(self) -> Any:
        """The next packet as aiortc's sender takes it, once there is one: coded already, never a frame."""
        while not self._packets:
            self._came.clear()
            await self._came.wait()
        payload, position, self.captured = self._packets.popleft()
        if self.repeating is not None:
            payload = self.repeating.pack(payload, position, self.lost)
        packet = av.Packet(payload)
        packet.pts, packet.time_base = position, SOUND_CLOCK
        return packet

    def stop(self) -> None:
        self.lost = 0.0
        self._leave()
        super().stop()
