"""Present: the streams of one channel: which forms are encoded, who watches which, and who takes pictures before they are encoded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from display.screen import Screen
from pipeline.stages import Picture
from server.media.delay import Delay
from server.media.encode import AccessUnit, Form
from server.media.stream import Stream, StreamReport
from server.media.viewer_track import ViewerTrack


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


def _give(wanting: asyncio.Future[Picture], picture: Picture) -> None:
    if not wanting.done():
        wanting.set_result(picture)
