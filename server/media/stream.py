"""Stream: one form of a channel, encoded once and fanned out to everyone who watches it."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

from display.screen import Screen
from pipeline.clock import Percentiles, percentiles
from pipeline.stages import Picture
from server.media.delay import Delay
from server.media.encode import AccessUnit, Encoder, Form
from server.media.rates import Rate, packets_of
from server.media.viewer_track import ViewerTrack

AGES = 250
"Newest pictures of which their age is known."


@dataclass(frozen=True)
class StreamReport:
    """How one encoded form of a channel is doing."""

    form: str
    "The screen's name."
    width: int
    height: int
    codec: str
    bitrate: int
    "Bits per second, lately."
    pictures: int
    keyframes: int
    viewers: int
    skipped: dict[str, int]
    "Reason -> pictures not sent to some viewer."
    age: Percentiles
    "Milliseconds from a picture's capture to a viewer's sender: decoding, every stage and every queue between them."
    voice_delay_ms: float | None
    "For how long the sound that goes with it is held back."
    lip_offset_ms: float | None
    "By how much sound is sent later than the picture of its moment, negative where earlier; None where there is no sound."


class Stream:
    """One encoder and its viewers. `encode` runs in the thread that encodes, all else in the event loop."""

    def __init__(
        self,
        screen: Screen,
        form: Form,
        codec: str,
        delay: Delay,
        sent: Callable[[Stream, float], None],
        left: Callable[[Stream], None],
    ) -> None:
        """`form` is that of whole pictures; where they come with less detail, they are sent in a smaller one. `delay`: of the
        sound that goes with them. `sent` hears how old, in seconds, a picture is that leaves; `left`, when somebody has left."""
        self._sent_one, self._left = sent, left
        self.screen, self.form, self._codec = screen, form, codec
        self._sent, self.delay = form, delay
        self.density = 1.0
        "Of the form's bits for each pixel that pictures are coded with."
        self._loop = asyncio.get_running_loop()
        self._encoder: Encoder | None = None
        self.viewers: set[ViewerTrack] = set()
        self.recordings: set[Callable[[AccessUnit], None]] = set()
        "Take every access unit, in the event loop."
        self._skipped: Counter[str] = Counter()
        self._pictures = self._keyframes = 0
        self._rate = Rate()
        self._ages: deque[tuple[float, float]] = deque(maxlen=AGES)
        "When each was handed over, and how old it was."

    def encode(self, picture: Picture) -> None:
        rows, width = picture.yuv.shape
        form = self.form.resized(width, rows * 2 // 3, self.density)
        if self._encoder is None or self._encoder.form != form:
            # opened here, since opening NVENC takes longer than the event loop may stand still
            self._encoder = Encoder(form, self._codec, picture.layout, self._encoder)
        unit = self._encoder.encode(picture.yuv, picture.captured)
        self._loop.call_soon_threadsafe(self._fan_out, unit, form)

    def ask_keyframe(self) -> None:
        if self._encoder is not None:  # its first picture is a keyframe anyway
            self._encoder.ask_keyframe()

    def join(self, track: ViewerTrack) -> None:
        """Send it to `track`; in place of what that is sent now from the next keyframe on."""
        if track.stream is None:
            track.stream = self
        else:
            track.coming = self
        self.viewers.add(track)
        self.ask_keyframe()

    def leave(self, track: ViewerTrack) -> None:
        self.viewers.discard(track)
        self._skipped += track.waiting.skipped
        track.waiting.skipped.clear()
        self._left(self)

    def handed_over(self, unit: AccessUnit) -> None:
        """A viewer's sender has taken `unit`."""
        now = self._loop.time()
        self._ages.append((now, now - unit.captured))

    def age_lately(self, over: float) -> float:
        """Seconds: the 95th percentile of the ages of pictures that were handed over during the last `over` seconds; 0 for none."""
        since = self._loop.time() - over
        return percentiles(age for at, age in self._ages if at > since).p95 / 1e3

    def record(self, put: Callable[[AccessUnit], None]) -> None:
        """Hand every access unit to `put` from now on; a keyframe is asked for to begin with. Event loop only."""
        self.recordings.add(put)
        self.ask_keyframe()

    @property
    def bits(self) -> float:
        """A second, that one viewer of it gets; as planned until it has gone on for a while."""
        now = self._loop.time()
        return self._rate.bits(now) if self._rate.known(now) else self.form.bitrate

    @property
    def packets(self) -> float:
        """RTP packets a second that one viewer of it gets."""
        return packets_of(self.bits / 8)

    def report(self) -> StreamReport:
        return StreamReport(
            form=self.screen.name,
            width=self._sent.width,
            height=self._sent.height,
            codec=self._codec,
            bitrate=round(self._rate.bits(self._loop.time())),
            pictures=self._pictures,
            keyframes=self._keyframes,
            viewers=len(self.viewers),
            skipped=dict(sum((track.waiting.skipped for track in self.viewers), Counter(self._skipped))),
            age=percentiles(age for _, age in self._ages),
            voice_delay_ms=_ms(self.delay.seconds),
            lip_offset_ms=_ms(self.delay.offset),
        )

    def _fan_out(self, unit: AccessUnit, form: Form) -> None:
        self._sent = form
        self._rate.add(self._loop.time(), len(unit.data))
        self._sent_one(self, self._loop.time() - unit.captured)
        self._pictures += 1
        self._keyframes += unit.keyframe
        if form == self.form:  # a film has one size; the first whole picture after a smaller one is a keyframe
            for put in tuple(self.recordings):  # one may end itself with this very unit
                put(unit)
        for track in tuple(self.viewers):  # one may change over to this very stream
            track.put(unit, self)


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(1e3 * seconds, 1)
