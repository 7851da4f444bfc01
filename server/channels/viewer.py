"""Viewer: one who watches: what is sent to it, as its link carries it and its page is looked at."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

import structlog

from display.screen import Screen
from pipeline.session import Session
from pipeline.table import Table
from server.channels.flood import Flood
from server.channels.link import Link
from server.media.encode import BUFFER_SECONDS
from server.media.present import Presenter
from server.media.rates import packets_of
from server.media.viewer_track import ViewerTrack
from server.webrtc.audio import Listen, VoiceTrack
from server.webrtc.peers import Peer

log = structlog.get_logger(__name__)

ONCE_MORE = 0.7
"Seconds after a form's first keyframe until another one, where the link was narrow: the first met what had piled up there."
FEW_REPEATS = 30
"Packets that are sent again in any case; beyond, a keyframe may take fewer (media/encode.py bounds it)."


class Viewer:
    """Event loop only."""

    def __init__(self, peer: Peer, forms: Sequence[Screen | None], presenter: Presenter) -> None:
        """`forms`: what may be sent, from what was asked for down to what any link carries; None: nothing but sound."""
        assert forms[0] is not None
        self.peer, self.forms = peer, forms
        self.screen = forms[0]
        "Which it asked for."
        self.track = ViewerTrack(self._came)
        self.listen: Listen | None = None
        "What makes the sound for it; None: the caller's."
        self.voice: VoiceTrack | None = None
        self.link = Link([presenter.bits(form) if form is not None else 0.0 for form in forms])
        self.flood, self._given_up = Flood(), float("-inf")
        self.forget: Callable[[], None] = lambda: None
        "Has nothing sent again of what was sent so far."
        self.narrow: Callable[[float | None], None] = lambda bits: None
        "Has packets leave no faster than so many bits a second."
        self.told: Callable[[Screen | None], None] = lambda screen: None
        "Hears what is sent from now on, whenever that changes; None: no picture."
        self._presenter = presenter
        self._session: Session | Table | None = None
        self._hidden = False
        self._narrow = False
        self._rendered: set[Screen] = set()

    def watch(self, session: Session | Table) -> None:
        """Have what it asked for rendered and sent, from now on."""
        self._session = session
        self._show()

    def unwatch(self) -> None:
        self.told = lambda screen: None  # it is gone: whoever hears of it may be another session's page by now
        self._stop()
        self._session = None

    def hide(self, hidden: bool) -> None:
        """Nobody looks at its page, or somebody does again: sound alone goes on meanwhile."""
        if hidden != self._hidden:
            self._hidden = hidden
            self._show()

    def look(self, now: float) -> bool:
        """Send as much as its link carries. Whether that is something else than before."""
        if self._session is None or self._hidden or not self.link.look(self.track.bits, now):
            return False
        self._narrow = self.link.step > 0
        self._show()
        return True

    def estimated(self, bits: float) -> None:
        self.link.estimated(bits, time.monotonic())

    def reported(self, lost: float) -> None:
        self.link.reported(lost, time.monotonic())
        if self.voice is not None:  # whose own reports come every five seconds
            self.voice.reported(lost)

    def left(self, packet: int | None, size: int) -> None:
        """A packet of its pictures leaves; None: again."""
        if packet is None:
            self.flood.repeated(size, time.monotonic())
        else:
            self.flood.sent(packet, size, time.monotonic())

    def missed(self, numbers: list[int]) -> None:
        """Its receiver lacks packets, which are sent again, or a keyframe where that takes fewer. Where most are lost, what is sent now
        only fills the queue on its way: no more of that."""
        now = time.monotonic()
        many = max(FEW_REPEATS, packets_of(BUFFER_SECONDS * self.track.bits / 8))
        if len(numbers) > many and self.flood.lacking(numbers, self._given_up) > many:
            self._given_up = now  # what was sent so far will go on being missed
            self.forget()
            self.track.ask_keyframe()
        carried = self.flood.missed(numbers, now)
        if carried is None or self._session is None or self._hidden:
            return
        if self.link.flooded(carried, now):
            log.info("a viewer's link is flooded", kbit_per_second=round(carried / 1e3), step=self.link.step)
            self.flood.forget()
            self.forget()
            self._show()
            self.track.hold()

    def _show(self) -> None:
        self.narrow(self.link.pace)
        wanted = None if self._hidden else self._presenter.first_of(self.forms[self.link.step :])
        if self._session is None:
            return
        if wanted is None:
            self._stop()
        else:
            self._presenter.show(self.track, wanted)
            self._render()

    def _stop(self) -> None:
        if self.track.screens:
            self._presenter.leave(self.track)
            self._render()
            self.told(None)

    def _came(self, screen: Screen) -> None:
        """The first picture of another form is about to be sent: a keyframe, to which nothing before matters."""
        self.forget()
        if self._narrow:
            self._narrow = False
            asyncio.get_running_loop().call_later(ONCE_MORE, self.track.ask_keyframe)
        self._render()
        self.told(screen)

    def _render(self) -> None:
        """Have rendered what it is sent, and what it is to be sent, and nothing else."""
        assert self._session is not None
        wanted = self.track.screens
        for screen in wanted - self._rendered:
            self._session.watch(screen)
        for screen in self._rendered - wanted:
            self._session.unwatch(screen)
        self._rendered = wanted
