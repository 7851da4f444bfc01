"""Sound: who speaks in a call, and what is heard where several voices are one stream: at a table, in its recording.

Who watches one seat hears that seat's packets as they are. Who watches a table hears the mix of all voices but the own, each held
back until the table's picture of its moment leaves: whoever sends tables tells here how old each seat is in them (`sent`).

Event loop only; the mix is made in a thread of its own, while somebody hears it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median

import structlog

from server.calls.conference import Conference, Part
from server.calls.events import Spoke
from server.channels.channel import Channel
from server.media.delay import Delay
from server.media.playout import BLOCK
from server.media.speaking import EVERY, Speaking, level
from server.tally import Tally
from server.webrtc.audio import Heard, Voice, VoiceTrack
from server.webrtc.mixer import LEAD, Decoder, Key, MixingThread
from server.webrtc.voice_line import Said

log = structlog.get_logger(__name__)


class _Seat:
    """One member who is there."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.voice: Voice | None = None
        self.delay = Delay()
        self.ear: Decoder | None = None
        "Of one whose packets do not say how loud they are."
        self.mixed: Heard | None = None


class Sound(Part):
    def __init__(self, conference: Conference) -> None:
        super().__init__(conference)
        self._told = Tally(log)
        self._seats: dict[int, _Seat] = {}
        self._speaking = Speaking()
        self._listeners: dict[Heard, Key] = {}
        self._thread: MixingThread | None = None
        self._looking: asyncio.TimerHandle | None = None

    # What it is told ------------------------------------------------------------------------------------------------------

    def arrived(self, seat: int, channel: Channel) -> None:
        self._seats[seat] = _Seat(channel)
        self._attach()
        if self._looking is None:
            self._look()

    def departed(self, seat: int) -> None:
        if (gone := self._seats.pop(seat, None)) is not None:
            self._detach(gone)
        self._speaking.forget(seat)
        self._arrange()

    def gathered(self, seats: Sequence[int]) -> None:
        self._attach()

    def ended(self) -> None:
        for seat in list(self._seats):
            self.departed(seat)
        self._listeners.clear()
        self._arrange()
        if self._looking is not None:
            self._looking.cancel()

    def sent(self, seat: int, age: float) -> None:
        """A table's picture leaves in which `seat` is `age` seconds old."""
        if (one := self._seats.get(seat)) is not None:
            one.delay.picture(age)

    # Who listens ----------------------------------------------------------------------------------------------------------

    def listen(self, seat: Key, begun: Callable[[], bool] = lambda: True) -> VoiceTrack:
        """What `seat` hears at a table: all but itself; None: all, for who has no seat or no voice. Silent until `begun`."""
        track = VoiceTrack(begun, lambda: self.leave(track.put))
        self.join(seat, track.put)
        return track

    def join(self, seat: Key, heard: Heard) -> None:
        """Let `heard` have that stream's packets."""
        self._listeners[heard] = seat
        self._arrange()

    def leave(self, heard: Heard) -> None:
        self._listeners.pop(heard, None)
        self._arrange()

    # The mix --------------------------------------------------------------------------------------------------------------

    def _arrange(self) -> None:
        """Mix while somebody hears it, what everybody says who is there."""
        if self._listeners and self._thread is None:
            self._thread = MixingThread(self._deliver)
        elif not self._listeners and self._thread is not None:
            self._thread.close()
            self._thread = None
        for number, seat in self._seats.items():
            self._feed(number, seat)
        if self._thread is not None:
            self._thread.arrange(sorted(self._seats), frozenset(self._listeners.values()))

    def _feed(self, number: int, seat: _Seat) -> None:
        if seat.voice is None:
            return
        if self._thread is not None and seat.mixed is None:
            seat.mixed = partial(_put, self._thread, number)
            seat.voice.join(seat.delay, seat.mixed, LEAD)
        elif self._thread is None and seat.mixed is not None:
            seat.voice.leave(seat.delay, seat.mixed)
            seat.mixed = None

    def _deliver(self, packets: dict[Key, bytes], position: int) -> None:
        held = [seat.delay.seconds for seat in self._seats.values() if seat.delay.seconds is not None]
        captured = time.monotonic() - (median(held) if held else 0.0)
        for heard, key in list(self._listeners.items()):
            packet = packets.get(key) or packets.get(None)
            if packet:
                heard(packet, position, captured)

    # Who is there, and speaks ---------------------------------------------------------------------------------------------

    def _attach(self) -> None:
        """A voice is there once its caller is, which may be after its channel."""
        for number, seat in self._seats.items():
            if seat.voice is not seat.channel.voice and seat.channel.voice is not None:
                self._detach(seat)
                seat.voice = seat.channel.voice
                seat.voice.told = partial(self._heard, number, seat)
        self._arrange()

    def _detach(self, seat: _Seat) -> None:
        if seat.voice is not None:
            seat.voice.told = None
            if seat.mixed is not None:
                seat.voice.leave(seat.delay, seat.mixed)
        seat.voice = seat.mixed = None

    def _heard(self, number: int, seat: _Seat, said: Said, now: float) -> None:
        loud: float | None = said.level
        if loud is None:
            seat.ear = seat.ear or Decoder(self._told)
            loud = level(seat.ear.decode(said.payload)[:BLOCK])
        self._speaking.hear(number, loud, now)

    def _look(self) -> None:
        """Four times a second, while the call is."""
        self._attach()
        if (news := self._speaking.news(time.monotonic())) is not None:
            self.conference.happen(Spoke(news.seats, news.loudest))
        self._looking = asyncio.get_running_loop().call_later(EVERY, self._look)


def _put(thread: MixingThread, seat: int, payload: bytes, position: int, captured: float) -> None:
    thread.put(seat, payload, position)
