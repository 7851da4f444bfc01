"""Sound: who speaks in a call, and what is heard where several seats are one stream: at a table, in its recording.

Who watches one seat hears that seat. Who watches the call itself hears all but itself: one other's packets as they are, or the
mix of several, each held back until the picture of its moment leaves. Whoever sends tables tells here how old each seat is in
them (`sent`); without a table it is as old as in its own pictures.

Event loop only; the mix is made in a thread of its own, while somebody hears it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from statistics import median

import structlog

from server.calls.conference import Conference
from server.calls.events import Spoke, Together
from server.calls.part import Part
from server.channels.channel import Channel
from server.media.delay import Delay
from server.media.one_room import OneRoom
from server.media.playout import BLOCK
from server.media.rates import SOUND_CLOCK
from server.media.speaking import EVERY, Speaking, level
from server.tally import Tally
from server.webrtc.audio import Begun, Heard, Listen, Voice, VoiceTrack
from server.webrtc.mixer import LEAD, Decoder, Key, MixingThread
from server.webrtc.voice_line import Said

log = structlog.get_logger(__name__)

AT_TABLE = 1.0
"Seconds after the last table's picture until a seat is as old as in its own pictures."
COMPARED_EVERY = 2.0
"Seconds."
MIX = 0
"What a listener hears who hears several; else it is a seat's number."


class _Seat:
    """One member who is there."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.voice: Voice | None = None
        self.delay = Delay()
        self.at_table = float("-inf")
        "When it last was in a table's picture."
        self.ear: Decoder | None = None
        "Of one whose packets do not say how loud they are."
        self.mixed: Heard | None = None


class _Listener:
    """One who hears a call, whichever way its sound comes: its times go on."""

    def __init__(self, seat: int, heard: Heard) -> None:
        self.seat, self._heard = seat, heard
        self.source: int | None = None
        "A seat whose packets it hears as they are; MIX; None: nobody is there to be heard."
        self.joined: tuple[Voice, Delay, Heard] | None = None
        self._shift, self._turned = 0, False
        self._last: tuple[int, float] | None = None
        "Position and capture of the newest packet."

    def turn(self, source: int | None) -> None:
        """Hear another source from now on."""
        if self.joined is not None:
            voice, delay, heard = self.joined
            voice.leave(delay, heard)
        self.source, self.joined, self._turned = source, None, True

    def join(self, number: int, seat: _Seat) -> None:
        """Hear one seat's packets as they are."""
        assert seat.voice is not None
        self.joined = seat.voice, seat.delay, partial(self.hear, number)
        voice, delay, heard = self.joined
        voice.join(delay, heard)

    def hear(self, source: int, payload: bytes, position: int, captured: float) -> None:
        if source != self.source:
            return
        if self._turned and self._last is not None:
            passed = round((captured - self._last[1]) / SOUND_CLOCK)
            self._shift = self._last[0] + max(BLOCK, passed) - position
        self._turned = False
        self._last = position + self._shift, captured
        self._heard(payload, position + self._shift, captured)


class Sound(Part):
    def __init__(self, conference: Conference) -> None:
        self.conference = conference
        self._told = Tally(log)
        self._seats: dict[int, _Seat] = {}
        self._speaking, self._one_room = Speaking(), OneRoom()
        self._compared = 0.0
        self._listeners: dict[Heard, _Listener] = {}
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
        self._one_room.forget(seat)
        self._arrange()

    def gathered(self, seats: Sequence[int]) -> None:
        self._attach()

    def ended(self) -> None:
        for listener in self._listeners.values():
            listener.turn(None)
        self._listeners.clear()
        for seat in list(self._seats):
            self.departed(seat)
        if self._looking is not None:
            self._looking.cancel()

    def sent(self, seat: int, age: float) -> None:
        """A table's picture leaves in which `seat` is `age` seconds old."""
        if (one := self._seats.get(seat)) is not None:
            one.at_table = time.monotonic()
            one.delay.picture(age)

    # Who listens ----------------------------------------------------------------------------------------------------------

    def hears(self, seat: int) -> Listen:
        return partial(self.listen, seat)

    def listen(self, seat: int, begun: Begun = lambda: True) -> VoiceTrack:
        """What `seat` hears of the call: all but itself; 0: all, for who has no seat. Silent until `begun`."""
        track = VoiceTrack(begun, lambda: self.leave(track.put))
        self.join(seat, track.put)
        return track

    def join(self, seat: int, heard: Heard) -> None:
        """Let `heard` have the packets of what `seat` hears."""
        self._listeners[heard] = _Listener(seat, heard)
        self._arrange()

    def leave(self, heard: Heard) -> None:
        if (listener := self._listeners.pop(heard, None)) is not None:
            listener.turn(None)
        self._arrange()

    # What they hear -------------------------------------------------------------------------------------------------------

    def _arrange(self) -> None:
        """Give each listener what it should hear now, and mix while somebody hears a mix."""
        for listener in self._listeners.values():
            others = [number for number, seat in self._seats.items() if seat.voice and number != listener.seat]
            source = MIX if len(others) > 1 else others[0] if others else None
            if source != listener.source:
                listener.turn(source)
                if source:
                    listener.join(source, self._seats[source])
        mixed = frozenset(self._key(one.seat) for one in self._listeners.values() if one.source == MIX)
        if mixed and self._thread is None:
            self._thread = MixingThread(self._deliver)
        elif not mixed and self._thread is not None:
            self._thread.close()
            self._thread = None
        for number, seat in self._seats.items():
            self._feed(number, seat)
        if self._thread is not None:
            self._thread.arrange(sorted(self._seats), mixed)

    def _key(self, seat: int) -> Key:
        return seat if seat in self._seats else None

    def _feed(self, number: int, seat: _Seat) -> None:
        """Let the mix have a seat's voice, or no more."""
        if seat.voice is None:
            return
        if self._thread is not None and seat.mixed is None:
            seat.mixed = partial(_put, self._thread, number)
            seat.voice.join(seat.delay, seat.mixed, LEAD)
        elif self._thread is None and seat.mixed is not None:
            seat.voice.leave(seat.delay, seat.mixed, LEAD)
            seat.mixed = None

    def _deliver(self, packets: dict[Key, bytes], position: int) -> None:
        held = [seat.delay.seconds for seat in self._seats.values() if seat.delay.seconds is not None]
        captured = time.monotonic() - (median(held) if held else 0.0)
        for listener in list(self._listeners.values()):
            if packet := packets.get(self._key(listener.seat)) or packets.get(None):
                listener.hear(MIX, packet, position, captured)

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
                seat.voice.leave(seat.delay, seat.mixed, LEAD)
        seat.voice = seat.mixed = None

    def _heard(self, number: int, seat: _Seat, said: Said, now: float) -> None:
        loud: float | None = said.level
        if loud is None:
            seat.ear = seat.ear or Decoder(self._told)
            loud = level(seat.ear.decode(said.payload)[:BLOCK])
        self._speaking.hear(number, loud, now)
        self._one_room.hear(number, loud, said.captured)

    def _look(self) -> None:
        """Four times a second, while the call is."""
        self._looking = asyncio.get_running_loop().call_later(EVERY, self._look)
        self._attach()
        self._see_ages(time.monotonic())
        if (news := self._speaking.news(time.monotonic())) is not None:
            self.conference.happen(Spoke(news.seats, news.loudest))
        self._compare(time.monotonic())

    def _compare(self, now: float) -> None:
        """Now and then: whether two of them are in one room."""
        if now - self._compared >= COMPARED_EVERY:
            self._compared = now
            for one, other in self._one_room.news():
                self.conference.happen(Together(one, other))

    def _see_ages(self, now: float) -> None:
        """Of seats that are in no table: as old as their own pictures, or, where nobody watches these, as the others'."""
        lags = {number: seat.channel.presenter.lag for number, seat in self._seats.items()}
        known = [lag for lag in lags.values() if lag is not None]
        for number, seat in self._seats.items():
            if known and now - seat.at_table > AT_TABLE:
                lag = lags[number]
                seat.delay.picture(lag if lag is not None else median(known))


def _put(thread: MixingThread, seat: int, payload: bytes, position: int, captured: float) -> None:
    thread.put(seat, payload, position)
