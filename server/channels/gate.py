"""Gate: admission, asked about the channels that there are; who is turned away is counted."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import structlog

from display.screen import Screen
from display.screen import screen as named
from pipeline.clock import UNKNOWN
from pipeline.devices.capacity import Load
from pipeline.executors.health import DeviceReport
from pipeline.session import Session
from server.channels.admission import Admission
from server.channels.channel import Channel
from server.channels.forms import LEAST_BITS, sent_as
from server.channels.services import Services
from server.media.encode import Form
from server.problems import Problem
from server.settings import Settings

log = structlog.get_logger(__name__)

KEPT = (0, 12, 8)
"Views that may be kept for a call's seats, from all of them down."


class Gate:
    """Event loop only."""

    def __init__(self, settings: Settings, services: Services, channels: Mapping[str, Channel]) -> None:
        self._settings, self._services, self._channels = settings, services, channels
        self._admission = Admission(settings)
        self._served = 0
        "Channels at the last look."
        self._views: dict[str, int] = {}
        "Channel -> views that are rendered of it at most."
        self.turned_away: dict[str, int] = {"callers": 0, "viewers": 0}
        self.held: dict[str, str] = {}
        "Channel -> engine: what was promised room, whether or not somebody is live there."

    def caller(self, engine: str) -> int:
        """The rung of the ladder at which one more caller of `engine` fits. Raises Problem 503 where none can come in, which is counted."""
        try:
            return self.check_room(engine)
        except Problem:
            self.turned_away["callers"] += 1
            raise

    def viewer(self, channel: Channel, screen: Screen | None) -> None:
        """Raises Problem 503 where one more viewer of `channel` cannot be served, which is counted. `screen`: None for one who draws."""
        sent = sum(one.packets for one in self._channels.values())
        encoded = channel.presenter.watched
        try:
            if screen is None:
                self._admission.check_drawer(channel.watching, sent)
            else:
                form = self.form(screen)
                asked = {
                    one: encoded.get(one, 0.0) for one in channel.asked
                }  # what links make of these is no form of its own
                self._admission.check_viewer(channel.watching, asked, sent, screen, form)
        except Problem:
            self.turned_away["viewers"] += 1
            raise

    def check_room(self, engine: str, views: int = 0) -> int:
        """The rung of the ladder at which one more caller of `engine` fits, of whom so many views are rendered; 0: all. Raises
        Problem 503 where none does."""
        made = [one.ladder for one in self._callers]
        slowed = [one.made for one in made] if any(one.rung and not one.shared for one in made) else []
        return self._admission.check(self._loads, slowed, engine, self._reports(engine), views)

    def promised(self) -> int:
        """The rung at which all fit who are served, or were promised room."""
        return self._admission.shared(self._loads)

    def make_room(self, rung: int) -> None:
        """Send all who have more detail down to `rung`."""
        self._share({one: max(rung, one.ladder.rung) for one in self._callers})

    def _share(self, rungs: Mapping[Channel, int]) -> None:
        for one, rung in rungs.items():
            if one.share(rung, time.monotonic()):
                log.info(
                    "what fits is shared out",
                    channel=one.name,
                    callers=len(self._callers),
                    **asdict(one.ladder.report()),
                )

    def check_devices(self, engine: str) -> None:
        """Raises Problem 503 where no picture of `engine` can be made."""
        self._admission.check_devices(self._reports(engine))

    def failing(self, channel: Channel) -> str:
        """Which of its devices fail, and why; empty where none does."""
        return "; ".join(f"{one.device}: {one.reason}" for one in self._reports(channel.engine) if not one.up)

    def form(self, screen: Screen) -> Form:
        """How `screen` is sent. Raises ValueError where it is larger than H.264 goes."""
        whole, bitrate = named(self._settings.screen), self._settings.bitrate
        if bitrate is not None and screen != whole:
            share = screen.quilt_width * screen.quilt_height / (whole.quilt_width * whole.quilt_height * screen.every)
            bitrate = max(LEAST_BITS, round(bitrate * min(1.0, share)))
        return sent_as(screen, self._settings.frames_per_second, bitrate)

    def measure(self) -> None:
        """See what the processor does for all who are live, and give back what is free since somebody has left."""
        loads, fewer = self._loads, len(self._callers) < self._served
        self._served = len(self._callers)
        if not any(one.ladder.rung for one in self._callers):  # what a caller costs is known of all detail
            self._admission.look(loads)
        elif fewer:
            self._share(dict.fromkeys(self._callers, self._admission.shared(loads)))

    @property
    def utilisation(self) -> dict[str, float]:
        """Device -> share of the time that it works when everybody is watched."""
        return self._admission.utilisation(self._loads)

    def _reports(self, engine: str) -> list[DeviceReport]:
        return self._services.deployments.reports(engine)

    @property
    def _callers(self) -> list[Channel]:
        """Those for whom something is rendered."""
        return [one for one in self._channels.values() if not one.gathered]

    def hold(self, name: str, engine: str, beside: Sequence[str], forms: Sequence[int]) -> None:
        """Promise room to one more caller, in the first of `forms` in which all fit with all their detail, or else in the last.
        Those `beside` it have the same. Raises Problem 503 where there is no room, which is counted."""
        before = dict(self._views)
        for views in forms:
            self._views |= dict.fromkeys([*beside, name], views)
            try:
                rung = self.check_room(engine, views)
            except Problem:
                if views != forms[-1]:
                    continue
                self._views = before
                self.turned_away["callers"] += 1
                raise
            if rung == 0:
                break
        self.held[name] = engine

    def keep(self, names: Sequence[str], forms: Sequence[int], rendered: str = "") -> int:
        """The first of `forms` with which these channels, and all others, fit with all their detail, which is kept for them; the last
        where they do not fit at all. 0: all of a quilt's views. `rendered`: one that is about to be, whoever draws it now."""
        for views in forms:
            self._views |= dict.fromkeys(names, views)
            if self._admission.shared(self._reckoned(rendered)) == 0:
                break
        return self._views[names[0]] if names else 0

    def kept(self, name: str) -> int:
        """How many views of a channel are reckoned with; 0: all."""
        return self._views.get(name, 0)

    def forget(self, name: str) -> None:
        """Nothing is kept for it any more."""
        self._views.pop(name, None)

    @property
    def _loads(self) -> list[Load]:
        return self._reckoned()

    def _reckoned(self, rendered: str = "") -> list[Load]:
        """All who are live, or were promised room; `rendered`: a channel of which views are about to be."""
        live = [self._load(one, rendered == one.name) for one in self._callers]
        promised = {name: engine for name, engine in self.held.items() if name not in self._channels}
        return live + [Load(engine, UNKNOWN, views=self.kept(name)) for name, engine in promised.items()]

    def _load(self, one: Channel, rendered: bool) -> Load:
        if one.session is None:
            return Load(one.engine, UNKNOWN, views=self.kept(one.name), rendered=rendered)
        drawn = not rendered and isinstance(one.session, Session) and one.session.drawn
        known = one.session.cost(), one.session.fps(), one.filmed
        return Load(one.engine, *known, self.kept(one.name), drawn, rendered)
