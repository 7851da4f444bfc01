"""Lobby: the channel manager: who is live, who watches, and who may still come in. Event loop only.

What happens to a channel is decided by server/channels/lifecycle.py and carried out by server/channels/channel.py.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

from display.colour import Layout
from display.screen import Screen
from engines.geometry.glb import Packed
from pipeline.executors.deployments import Deployment
from pipeline.session import Session
from pipeline.stages import Picture
from pipeline.table import Table
from server.channels import refusals
from server.channels.channel import Channel, Handover
from server.channels.drawing import Drawer
from server.channels.endings import Endings
from server.channels.entry import Accepted, Entry
from server.channels.forms import steps
from server.channels.gate import Gate
from server.channels.lifecycle import Event
from server.channels.likening import Likening
from server.channels.report import ChannelReport, report_of, shown
from server.channels.rounds import Rounds
from server.channels.services import Services
from server.channels.tasks import Tasks
from server.channels.turns import Turns
from server.displays.attached import Attached
from server.media.encode import Form, layout_for
from server.media.present import Presenter
from server.recordings.archive import Archive, Facts
from server.settings import Settings
from server.webrtc import offers
from server.webrtc.audio import Listen
from server.webrtc.peers import Peer

T = TypeVar("T")


class Lobby:
    def __init__(
        self, settings: Settings, services: Services, codec: str, archive: Archive, attached: Attached | None = None
    ) -> None:
        self._settings, self._services, self._codec, self._attached = settings, services, codec, attached
        self.archive = archive
        self.channels: dict[str, Channel] = {}
        "Those that are not over, by name."
        self._forgetting: Counter[str] = Counter()
        self._tasks, self._turns = Tasks(), Turns()
        self._gate = Gate(settings, services, self.channels)
        self._endings = Endings(self.channels, self._tasks)
        self._entry = Entry(settings, services, codec, attached, self._gate, self._endings, self._tasks)
        likening = Likening(services, self._tasks.see_to)
        self._rounds = Rounds(
            settings, self.channels, self._gate.failing, self._endings.overdue, self._gate.measure, likening.look_after
        )

    async def publish(self, name: str, sdp: str, avatar: str, engine: str, driver: str | None = None) -> Accepted:
        """Let a caller in; into a channel that is held, again and again: it takes the place of the one before once it is connected.
        `driver`: what moves the avatar, if whoever sends it says so.

        Raises Problem, UnknownAvatar, UnknownEngine, WeightsMissing.
        """
        await self._turns.mine()
        offer = offers.publishing(sdp)
        there = self.channels.get(name)
        if there is not None and there.held and there.life.live:
            return await self.whole(self._entry.caller_again(there, offer, driver))
        channel = self._reserve(name, avatar, engine)
        try:
            return await self.whole(self._entry.caller(channel, offer, driver))
        except asyncio.CancelledError:
            self._endings.end(channel, "whoever asked for it has gone")
            raise

    async def view(
        self, name: str, sdp: str, screen: Screen, views: int | None = None, listen: Listen | None = None
    ) -> Accepted:
        """Let a viewer in. `views`: the most that it wants, which says that it finds its way in fewer. It hears what `listen` gives,
        or else the caller. Raises Problem."""
        await self._turns.mine()
        offer = offers.viewing(sdp)
        channel = self.live(name)
        forms = steps(screen, views, sound=offer.audio and (channel.voice is not None or listen is not None))
        forms = forms if self._settings.adapt else forms[:1]
        self._gate.viewer(channel, forms[0] or screen)
        return await self.whole(self._entry.viewer(channel, offer, forms, listen))

    async def draw(self, name: str, sdp: str, listen: Listen | None = None) -> Accepted:
        """Let in a viewer who draws the avatar itself. It hears what `listen` gives, or else the caller. Raises Problem."""
        await self._turns.mine()
        offer = offers.drawing(sdp)
        channel = self.live(name)
        if channel.drawing is None:
            raise refusals.no_geometry("table" if channel.gathered else channel.lacks)
        self._gate.viewer(channel, None)
        return await self.whole(self._entry.drawer(channel, offer, listen))

    async def asset(self, name: str, peer_id: str) -> Packed:
        """What a viewer who draws is to draw. Raises Problem 404 for anybody else."""
        channel = self.channels.get(name)
        drawer = channel.viewers.get(peer_id) if channel is not None else None
        if channel is None or channel.drawing is None or not isinstance(drawer, Drawer):
            raise refusals.no_session()
        packed = await channel.drawing.asset()
        channel.drawing.given = True
        return packed

    def gather(
        self,
        name: str,
        make: Callable[[Callable[[Picture], None], Layout], Table],
        members: Callable[[], Sequence[Channel]],
    ) -> Channel:
        """A channel that shows what others, `members`, make: `make` is given where its pictures go, and in which layout they are
        taken."""
        channel = Channel(
            name, "", "", Presenter(self.form, self._codec, self._settings.max_forms), lambda channel, live: None
        )
        channel.gathered = channel.parallel = True
        channel.members = members
        channel.session = make(channel.presenter.present, layout_for(self._codec))
        self.channels[name] = channel
        for event in (Event.MADE, Event.ANSWERED):
            channel.happen(event)
        return channel

    async def hand_over(
        self, name: str, screen: Screen, url: str, token: str, listen: Listen | None = None
    ) -> Handover:
        """Publish a channel at another server, by WHIP, with what `listen` gives, or else its caller's sound. Raises Problem."""
        channel = self.live(name)
        self._gate.viewer(channel, screen)
        return await self.whole(self._entry.handover(channel, screen, url, token, listen))

    def hold(self, name: str, engine: str, beside: Sequence[str], forms: Sequence[int]) -> None:
        """Keep room for a caller of `engine` in `name`, and the channel, once there is one, whether or not its caller is lost.

        In the first of `forms`, numbers of views, in which it fits `beside` these channels, which have as many then.
        Raises Problem 503 where there is no room.
        """
        self._gate.hold(name, engine, beside, forms)

    def keep(self, names: Sequence[str], forms: Sequence[int], rendered: str = "") -> int:
        """The first of `forms`, numbers of views, 0 for all, in which these channels fit here; so many are reckoned with from now on.
        `rendered`: one of which views are about to be, whoever draws it now."""
        return self._gate.keep(names, forms, rendered)

    def kept(self, name: str) -> int:
        """How many views of a channel are reckoned with; 0: all."""
        return self._gate.kept(name)

    def release(self, name: str) -> None:
        """Hold it no more; it is over."""
        self._gate.forget(name)
        self._gate.held.pop(name, None)
        self.drop(name, "its seat is gone")

    def drop(self, name: str, reason: str) -> None:
        """End what is live there, if anything is."""
        if (channel := self.channels.get(name)) is not None:
            self._endings.end(channel, reason)

    def live(self, name: str) -> Channel:
        """The channel called `name`. Raises Problem 404, with the time to ask again, while nobody is live there."""
        channel = self.channels.get(name)
        if channel is None or not channel.life.live:
            raise refusals.not_live(name, self._endings.told.get(name, ""))
        return channel

    def caller(self, name: str, peer_id: str) -> Peer:
        """Raises Problem 404 unless `peer_id` is the caller of `name`."""
        channel = self.channels.get(name)
        coming = channel.successor.peer if channel is not None and channel.successor is not None else None
        for peer in (channel.caller if channel is not None else None, coming):
            if peer is not None and peer.id == peer_id:
                return peer
        raise refusals.no_session()

    def viewer(self, name: str, peer_id: str) -> Peer:
        """Raises Problem 404 unless `peer_id` is a viewer of `name`."""
        channel = self.channels.get(name)
        if channel is None or peer_id not in channel.viewers:
            raise refusals.no_session()
        return channel.viewers[peer_id].peer

    async def leave(self, name: str, peer: Peer, reason: str = "asked to") -> None:
        """Let `peer` go. A caller takes the channel with it, unless that is held, and its end is waited for."""
        await self._endings.leave(name, peer, reason)

    @asynccontextmanager
    async def forgetting(self, avatar: str) -> AsyncIterator[None]:
        """While this lasts nobody is live with `avatar`, nor can be, and what was is at its end, recordings too.

        Raises Problem: 409 where somebody is, 503 where what was does not end.
        """
        if any(channel.avatar == avatar for channel in self.channels.values()):
            raise refusals.avatar_live()
        self._forgetting[avatar] += 1
        try:
            if not await self._endings.of(avatar):
                raise refusals.channel_ending()
            yield
        finally:
            self._forgetting -= Counter({avatar: 1})

    def withdraw(self, avatar: str) -> list[str]:
        """End what shows `avatar`, since nobody agrees to it any more: the names of the channels."""
        shown = [channel for channel in self.channels.values() if channel.avatar == avatar]
        for channel in shown:
            self._endings.withdrawn(channel)
        return [channel.name for channel in shown]

    async def close(self) -> None:
        """Everybody out, and nobody in any more. What hangs is left behind. Never raises."""
        self._endings.stopping = True
        await self._rounds.close()
        await self._endings.close()

    def see_to(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task that close() waits for; a task that nobody holds may vanish."""
        return self._tasks.see_to(work)

    async def whole(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` returns. It goes on to its end even where whoever waits for it is cancelled."""
        return await self._tasks.whole(work)

    def report(self, channel: Channel) -> ChannelReport:
        return report_of(channel, self._settings.private)

    def reports(self) -> list[ChannelReport]:
        """Of every live channel."""
        return [self.report(channel) for channel in self.channels.values() if channel.life.live]

    def shown(self, facts: Facts) -> Facts:
        """A recording's facts as clients get them: an avatar's id is the key to a face."""
        return shown(facts, self._settings.private)

    def form(self, screen: Screen) -> Form:
        """How `screen` is sent. Raises ValueError where it is larger than H.264 goes."""
        return self._gate.form(screen)

    def check_room(self, engine: str) -> None:
        """Raises Problem 503 where no caller of `engine` can come in now."""
        self._gate.check_room(engine)

    def check_devices(self, engine: str) -> None:
        """Raises Problem 503 where no picture of `engine` can be made."""
        self._gate.check_devices(engine)

    @property
    def deployments(self) -> list[Deployment]:
        """Where engines run."""
        return self._services.deployments.all()

    @property
    def utilisation(self) -> dict[str, float]:
        """Device -> share of the time that it works when everybody is watched."""
        return self._gate.utilisation

    @property
    def turned_away(self) -> dict[str, int]:
        """Callers and viewers for whom there was no room."""
        return self._gate.turned_away

    @property
    def ended(self) -> Counter[str]:
        """Reason -> channels that we have ended."""
        return self._endings.ended

    def _reserve(self, name: str, avatar: str, engine: str) -> Channel:
        if self._endings.stopping:
            raise refusals.stopping()
        if name in self.channels:
            raise refusals.channel_taken(name)
        if self._forgetting[avatar]:
            raise refusals.avatar_being_forgotten()
        rung = self._gate.promised() if name in self._gate.held else self._gate.caller(engine)
        self._endings.told.pop(name, None)
        channel = Channel(
            name, avatar, engine, Presenter(self.form, self._codec, self._settings.max_forms), self._may_be_shown
        )
        channel.held = name in self._gate.held
        self.channels[name] = channel
        self._gate.make_room(rung)
        return channel

    def _may_be_shown(self, channel: Channel, live: bool) -> None:
        """Let the display of this machine watch a live channel, if it has none."""
        if self._attached is None:
            return
        if not live and self._attached.channel == channel.name:
            self._attached.leave()
            channel.displayed = False
        if self._attached.channel is not None:
            return
        for one in self.channels.values():
            if one.held or not one.life.live or not isinstance(one.session, Session):
                continue  # nobody watches a call unseen
            if self._attached.wants(one.name):
                if one.drawing is not None and not one.drawing.preview and self._attached.draws:
                    one.drawing.here = partial(self._attached.move, one.name)
                    self._attached.follow(one.name, one.session, one.drawing.figure)
                else:
                    self._attached.watch(one.name, one.session, one.parallel)
                one.displayed = True
                return
