"""Present: pictures of one channel, encoded once for each form and fanned out to everyone who watches that form."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
from aiortc.mediastreams import MediaStreamTrack

from display.screen import Screen
from pipeline.clock import Percentiles, percentiles
from pipeline.stages import Picture
from server.media.delay import Delay
from server.media.encode import AccessUnit, Encoder, Form
from server.media.rates import CLOCK_RATE, Rate, packets_of

SLOW = "viewer too slow"
NO_KEYFRAME = "waiting for a keyframe"
CLOCK = Fraction(1, CLOCK_RATE)
AGES = 250
"Newest pictures of which their age is known."
MOST_WAITING = 3
"""Access units that may wait for a viewer's sender: 120 ms at 25 fps. With a single place, each hiccup of the event loop
(Chromium, caller and server on two cores: once a second) cost a keyframe and up to half a second without a picture."""


class SendQueue:
    """What waits for one viewer's sender, told what comes and goes; no clock, no loop.

    Encoded pictures depend on the one before, so the newest cannot simply win: whoever misses one gets nothing more until
    the next keyframe, and a keyframe takes the place of all that waits.
    """

    def __init__(self, most: int = MOST_WAITING) -> None:
        self._units: deque[AccessUnit] = deque()
        self._most = most
        self._lost = True
        self.skipped: Counter[str] = Counter()

    def offer(self, unit: AccessUnit) -> bool:
        """Put `unit` here or skip it; whether a keyframe is needed to go on."""
        if unit.keyframe:
            self.skipped[SLOW] += len(self._units)
            self._units.clear()
            self._lost = False
        elif self._lost:
            self.skipped[NO_KEYFRAME] += 1
            return True
        elif len(self._units) == self._most:
            self.skipped[SLOW] += 1
            self._lost = True
            return True
        self._units.append(unit)
        return False

    def clear(self) -> None:
        """Whoever comes back goes on with a keyframe."""
        self._units.clear()
        self._lost = True

    def take(self) -> AccessUnit | None:
        return self._units.popleft() if self._units else None


class ViewerTrack(MediaStreamTrack):
    """What one viewer's sender reads: packets ready to be cut into RTP. None come before Presenter.join()."""

    kind = "video"

    def __init__(self, came: Callable[[Screen], None] = lambda screen: None) -> None:
        """`came` is told of the first picture of each form that is about to be sent."""
        super().__init__()
        self.stream: Stream | None = None
        self.coming: Stream | None = None
        "The one that takes its place, at its next keyframe."
        self._told = came
        self._first, self._held = True, False
        self.waiting = SendQueue()
        self.sent = 0
        self.captured: float | None = None
        "When what `recv` gave last was captured, seconds of time.monotonic()."
        self._came = asyncio.Event()
        self._origin: float | None = None
        self._last_pts = -1

    def put(self, unit: AccessUnit, stream: Stream) -> None:
        if stream is self.coming and unit.keyframe:
            self._change()
        if stream is not self.stream or self._held:
            return
        if self._first:
            self._first = False
            self._told(stream.screen)
        if self.waiting.offer(unit):
            self.ask_keyframe()
        self._came.set()

    def hold(self) -> None:
        """Have nothing more until the stream that is coming has come."""
        if self.coming is not None:
            self._held = True
            self.waiting.clear()

    def go_on(self) -> None:
        """Have what there is, from its next keyframe on, where that was held."""
        if self._held:
            self._held = False
            self.ask_keyframe()

    @property
    def screens(self) -> set[Screen]:
        """What has to be rendered for it."""
        return {stream.screen for stream in (self.stream, self.coming) if stream is not None}

    @property
    def bits(self) -> float:
        """A second, that it is sent; 0 where that is not known."""
        return self.stream.bits if self.stream is not None else 0.0

    def rest(self) -> list[Stream]:
        """Have nothing more, from those that are returned."""
        streams = [stream for stream in (self.stream, self.coming) if stream is not None]
        self.stream = self.coming = None
        self._first, self._held = True, False
        self.waiting.clear()
        return streams

    def _change(self) -> None:
        before, self.stream, self.coming = self.stream, self.coming, None
        self._first, self._held = True, False
        if before is not None:
            before.leave(self)

    def ask_keyframe(self) -> None:
        if self.stream is not None:
            self.stream.ask_keyframe()

    async def recv(self) -> Any:
        while (unit := self.waiting.take()) is None:
            self._came.clear()
            await self._came.wait()
        self.sent += 1
        self.captured = unit.captured
        if self.stream is not None:
            self.stream.handed_over(unit)
        packet = av.Packet(unit.data)
        packet.pts, packet.time_base = self._stamp(unit), CLOCK
        return packet

    def _stamp(self, unit: AccessUnit) -> int:
        """By capture, so that time goes on where another encoder takes over."""
        if self._origin is None:
            self._origin = unit.captured
        self._last_pts = max(round((unit.captured - self._origin) * CLOCK_RATE), self._last_pts + 1)
        return self._last_pts


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


class Presenter:
    """The streams of one channel. `present` runs in the thread that encodes, all else in the event loop."""

    def __init__(self, form: Callable[[Screen], Form], codec: str, most: int = 4) -> None:
        """`most`: forms that are encoded at once before links have to share."""
        self._form, self._codec, self._most = form, codec, most
        self._streams: dict[Screen, Stream] = {}
        self._delays: dict[Screen, Delay] = {}
        self._density = 1.0
        self._taps: dict[Screen, tuple[Callable[[Picture], None], ...]] = {}
        self._stills: dict[asyncio.Future[Picture], Screen] = {}

    def present(self, picture: Picture) -> None:
        for wanting, screen in tuple(self._stills.items()):
            if screen == picture.screen:
                wanting.get_loop().call_soon_threadsafe(_give, wanting, picture)
        for take in tuple(self._taps.get(picture.screen, ())):
            take(picture)
        stream = self._streams.get(picture.screen)
        if stream is not None:  # the last viewer may have left while this was rendered
            stream.encode(picture)

    def stream(self, screen: Screen) -> Stream:
        """The stream of `screen`, opened if nobody watches it yet."""
        if screen not in self._streams:
            self._streams[screen] = Stream(
                screen, self._form(screen), self._codec, self.delay(screen), self._sent_one, self._close_unwatched
            )
            self._streams[screen].density = self._density
        return self._streams[screen]

    def delay(self, screen: Screen) -> Delay:
        """Of the sound that goes with `screen`. While that is not sent it follows what is, since whoever asked for it may be sent
        less for a while; remembered while nobody watches."""
        return self._delays.setdefault(screen, Delay())

    def _sent_one(self, stream: Stream, age: float) -> None:
        for screen, delay in self._delays.items():
            if delay is stream.delay or screen not in self._streams:
                delay.picture(age)

    def code(self, density: float) -> None:
        """Code every pixel with such a share of its bits, from the next picture on."""
        self._density = density
        for stream in self._streams.values():
            stream.density = density

    def join(self, track: ViewerTrack, screen: Screen) -> None:
        """Let `track` have what is encoded of `screen` from now on. The session must be told to render that screen."""
        self.stream(screen).join(track)

    def show(self, track: ViewerTrack, screen: Screen) -> None:
        """Let `track` have `screen` and no other, from the next keyframe on; what it has now goes on until then."""
        if track.coming is not None and track.coming.screen != screen:
            given_up, track.coming = track.coming, None
            given_up.leave(track)
            track.go_on()
        if screen not in track.screens:
            self.join(track, screen)

    def leave(self, track: ViewerTrack) -> None:
        """Send it nothing more."""
        for stream in track.rest():
            stream.leave(track)

    def bits(self, screen: Screen) -> float:
        """A second, that `screen` is planned to take."""
        return float(self._form(screen).bitrate)

    def end_recording(self, stream: Stream, put: Callable[[AccessUnit], None]) -> None:
        stream.recordings.discard(put)
        self._close_unwatched(stream)

    def tap(self, screen: Screen, take: Callable[[Picture], None]) -> None:
        """Hand every picture of `screen`, as it is before encoding, to `take`, in the display thread."""
        self._taps[screen] = (*self._taps.get(screen, ()), take)

    def untap(self, screen: Screen, take: Callable[[Picture], None]) -> None:
        self._taps[screen] = tuple(one for one in self._taps[screen] if one != take)

    async def still(self, screen: Screen) -> Picture:
        """The next picture of `screen`, as it was before encoding. The session must be told to render that screen."""
        wanting: asyncio.Future[Picture] = asyncio.get_running_loop().create_future()
        self._stills[wanting] = screen
        try:
            return await wanting
        finally:
            del self._stills[wanting]

    @property
    def lag(self) -> float | None:
        """How old pictures are when they leave, of whichever form is watched; None before there were any."""
        return next((stream.delay.aim for stream in self._streams.values() if stream.delay.aim is not None), None)

    @property
    def watched(self) -> dict[Screen, float]:
        """What is encoded: screen -> RTP packets a second that one viewer of it gets."""
        return {screen: stream.packets for screen, stream in self._streams.items()}

    @property
    def recorded(self) -> set[Screen]:
        return {screen for screen, stream in self._streams.items() if stream.recordings}

    def first_of(self, forms: Sequence[Screen | None]) -> Screen | None:
        """Which of `forms`, of ever fewer bits, a viewer is sent: the first, or where as many as may be are encoded already the first of
        those."""
        if len(self._streams) < self._most:
            return forms[0]
        return next((form for form in forms if form in self._streams), forms[0])

    @property
    def packets(self) -> float:
        """RTP packets a second that all viewers together get."""
        return sum(stream.packets * len(stream.viewers) for stream in self._streams.values())

    def age_lately(self, over: float) -> float:
        """Seconds, of the stream that is worst off: Stream.age_lately."""
        return max((stream.age_lately(over) for stream in self._streams.values()), default=0.0)

    def reports(self) -> list[StreamReport]:
        return [stream.report() for stream in self._streams.values()]

    def _close_unwatched(self, stream: Stream) -> None:
        if not stream.viewers and not stream.recordings:
            self._streams.pop(stream.screen, None)


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(1e3 * seconds, 1)


def _give(wanting: asyncio.Future[Picture], picture: Picture) -> None:
    if not wanting.done():
        wanting.set_result(picture)
