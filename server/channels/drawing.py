"""Drawing: what those get who draw a channel's avatar themselves: its asset once, and motion, packed once for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import structlog
from aiortc import RTCDataChannel

from engines.contract import AnyEngine
from engines.geometry import glb, motion
from engines.geometry.asset import HasGeometry
from engines.geometry.glb import Packed
from engines.geometry.motion import Motion, Record
from pipeline.frame import Frame
from pipeline.session import Session
from server import workers
from server.displays.drawn import Figure
from server.media.delay import Delay
from server.media.rates import Rate, packets_of
from server.tally import Tally
from server.webrtc.audio import Listen, VoiceTrack
from server.webrtc.patches.senders import told_time
from server.webrtc.peers import Peer

log = structlog.get_logger(__name__)

LABEL = "motion"
"Of the data channel that a viewer opens for it."
SLOW = "viewer too slow"
MOST_WAITING = 4096
"Bytes that may wait in a viewer's data channel, two records: what is more would only make the next one older."


class Drawing:
    """Of one channel. Event loop only, but for moved()."""

    def __init__(
        self, engine: AnyEngine, enrolled: Callable[[], Any], marked: bool, loop: asyncio.AbstractEventLoop
    ) -> None:
        """`enrolled` gives the avatar, in a thread; `marked`: every view says what it is."""
        self._engine, self._enrolled = cast(HasGeometry, engine), enrolled
        self._mark = engine.abilities.mark if marked else None
        self.preview = engine.abilities.preview
        "What is drawn so is not what the server renders."
        self._loop = loop
        self._packing: asyncio.Task[Packed] | None = None
        self._asset: Packed | None = None
        self._rate = Rate()
        self.given = False
        "Somebody has fetched the asset."
        self.delay = Delay()
        "Of the sound that goes with motion."
        self.drawers: set[Drawer] = set()
        self.here: Callable[[Motion], None] | None = None
        "Hears of motion in the thread that drives: this machine's display."

    async def asset(self) -> Packed:
        """What is served of the avatar, made when first asked for: 0.4 s of a thread."""
        if self._packing is None or (self._packing.done() and self._asset is None):
            self._packing = asyncio.create_task(workers.slow(self._packed))
        self._asset = packed = await asyncio.shield(self._packing)
        return packed

    def figure(self) -> Figure:
        """The avatar, for this machine's display. In a thread."""
        return Figure(self._engine.asset(self._enrolled()), self._mark)

    def moved(self, how: Motion, frame: Frame) -> None:
        """In the thread that drives."""
        if self.here is not None:
            self.here(how)
        if self._asset is not None:
            record = Record(how, self._asset.number, frame.sequence, told_time(frame.captured))
            self._loop.call_soon_threadsafe(self._fan_out, motion.packed(record), frame.captured)

    @property
    def bits(self) -> float:
        """A second, that one viewer gets."""
        return self._rate.bits(self._loop.time())

    @property
    def packets(self) -> float:
        """A second, that all of them together get."""
        return packets_of(self.bits / 8) * len(self.drawers)

    def _packed(self) -> Packed:
        return glb.packed(self._engine.asset(self._enrolled()), self._mark)

    def _fan_out(self, record: bytes, captured: float) -> None:
        now = self._loop.time()
        self._rate.add(now, len(record))
        self.delay.picture(now - captured)
        for drawer in tuple(self.drawers):
            drawer.put(record)


class Drawer:
    """A viewer who draws: the motion that is sent to it. Event loop only."""

    screen = None
    "No picture is made for it."

    def __init__(self, peer: Peer, drawing: Drawing, **facts: Any) -> None:
        """`facts` are logged with what is left out."""
        self.peer = peer
        self.listen: Listen | None = None
        "What makes the sound for it; None: the caller's."
        self.voice: VoiceTrack | None = None
        self.told: Callable[[None], None] = lambda screen: None
        "As a viewer's who is sent pictures; of one who is not there is nothing to tell."
        self.sent = 0
        "Records."
        self.left_out = Tally(log, **facts)
        self._drawing = drawing
        self._session: Session | None = None
        self._followed: Session | None = None
        self._line: RTCDataChannel | None = None
        self._hidden = False
        peer.connection.on("datachannel", self._opened)

    def watch(self, session: Session) -> None:
        """Have motion sent, from now on."""
        self._session = session
        self._follow()

    def unwatch(self) -> None:
        self._session, self._line = None, None
        self._follow()

    def hide(self, hidden: bool) -> None:
        """Nobody looks at its page, or somebody does again: sound alone goes on meanwhile."""
        self._hidden = hidden
        self._follow()

    def put(self, record: bytes) -> None:
        """Send one record, unless those before wait: the next one is newer."""
        if self._line is None or self._line.readyState != "open":
            return
        if self._line.bufferedAmount > MOST_WAITING:
            self.left_out.count(SLOW)
            return
        self._line.send(record)
        self.sent += 1

    def _opened(self, line: RTCDataChannel) -> None:
        if line.label == LABEL and self._line is None:
            self._line = line
        else:
            line.close()

    def _follow(self) -> None:
        wanted = None if self._hidden else self._session
        if wanted is self._followed:
            return
        if self._followed is not None:
            self._followed.unfollow()
            self._drawing.drawers.discard(self)
        if wanted is not None:
            wanted.follow()
            self._drawing.drawers.add(self)
        self._followed = wanted
