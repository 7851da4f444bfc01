"""Lifecycle: what may happen to a channel, in which state, and what is to be done then: one table. No asyncio, no clock, no sockets.

Rules: each thing that was opened is closed once, also where it is there only after the end; nothing is opened for a channel that
ends; only what a connected viewer or a recording wants is rendered. A channel is one caller's; who is in a call with whom stands
above this, and hears of it by what happens here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Publishing(Enum):
    """The caller's side."""

    OPENING = "opening"
    "The name is taken; the session is being made."
    ABANDONED = "abandoned"
    "Over before its session was there."
    ANSWERING = "answering"
    LIVE = "live"
    ENDING = "ending"
    "What was opened is being closed."
    ENDED = "ended"


class Viewing(Enum):
    """One viewer's side."""

    COMING = "coming"
    "Answered or about to be, not connected."
    WATCHING = "watching"
    GONE = "gone"


class Filming(Enum):
    """The recording's side; one goes on at a time."""

    IDLE = "idle"
    BEGINNING = "beginning"
    "Its file is being opened."
    ABANDONED = "abandoned"
    "The channel was over before its file was there."
    RUNNING = "running"
    OVER = "over"
    "None begins any more."


State = Publishing | Viewing | Filming


class Event(Enum):
    MADE = "the session is there"
    UNMADE = "the session could not be made"
    ANSWERED = "the caller has our answer"
    END = "the channel is over, for whichever reason"
    CLOSED = "all that was being closed is closed or given up"
    CAME = "a viewer offers"
    CONNECTED = "a viewer is connected"
    LEFT = "a viewer is gone, or is to go"
    ASKED = "somebody wants a recording"
    BEGUN = "the recording's file is open"
    UNBEGUN = "the recording's file could not be opened"
    FINISHED = "the recording has ended"


class Action(Enum):
    SHOW = "let the display of this machine show a live channel"
    HIDE = "let it show this channel no more"
    CLOSE_CALLER = "close the caller's connection and what reads from it"
    CLOSE_SESSION = "close the session"
    ADMIT = "make the viewer's connection"
    WATCH = "render and encode what the viewer wants"
    UNWATCH = "no more of that"
    CLOSE_VIEWER = "close the viewer's connection"
    BEGIN = "open the recording's file"
    JOIN = "let the recording take what is sent"
    FINISH = "finish the recording"
    NOT_LIVE = "refuse: nobody is live here"
    ALREADY = "refuse: it is being recorded"


@dataclass(frozen=True)
class Step:
    """What an event leads to."""

    state: State
    actions: tuple[Action, ...] = ()


def _step(state: State, *actions: Action) -> Step:
    return Step(state, actions)


_OVER = (Publishing.ABANDONED, Publishing.ENDING, Publishing.ENDED)

TABLE: dict[tuple[State, Event], Step] = {
    (Publishing.OPENING, Event.MADE): _step(Publishing.ANSWERING),
    (Publishing.OPENING, Event.UNMADE): _step(Publishing.ENDING),
    (Publishing.OPENING, Event.END): _step(Publishing.ABANDONED),
    (Publishing.ABANDONED, Event.MADE): _step(Publishing.ENDING, Action.CLOSE_SESSION),
    (Publishing.ABANDONED, Event.UNMADE): _step(Publishing.ENDING),
    (Publishing.ANSWERING, Event.ANSWERED): _step(Publishing.LIVE, Action.SHOW),
    (Publishing.ANSWERING, Event.END): _step(Publishing.ENDING, Action.CLOSE_CALLER, Action.CLOSE_SESSION),
    (Publishing.LIVE, Event.END): _step(Publishing.ENDING, Action.HIDE, Action.CLOSE_CALLER, Action.CLOSE_SESSION),
    (Publishing.ENDING, Event.ANSWERED): _step(Publishing.ENDING),
    (Publishing.ENDED, Event.ANSWERED): _step(Publishing.ENDED),
    (Publishing.ENDING, Event.CLOSED): _step(Publishing.ENDED),
    **{(state, Event.END): _step(state) for state in _OVER},
    (Viewing.COMING, Event.CAME): _step(Viewing.COMING, Action.ADMIT),
    (Viewing.COMING, Event.CONNECTED): _step(Viewing.WATCHING, Action.WATCH),
    (Viewing.COMING, Event.LEFT): _step(Viewing.GONE, Action.CLOSE_VIEWER),
    (Viewing.WATCHING, Event.CONNECTED): _step(Viewing.WATCHING),
    (Viewing.WATCHING, Event.LEFT): _step(Viewing.GONE, Action.UNWATCH, Action.CLOSE_VIEWER),
    (Viewing.GONE, Event.CAME): _step(Viewing.GONE, Action.NOT_LIVE),
    (Viewing.GONE, Event.CONNECTED): _step(Viewing.GONE),
    (Viewing.GONE, Event.LEFT): _step(Viewing.GONE),
    (Filming.IDLE, Event.ASKED): _step(Filming.BEGINNING, Action.BEGIN),
    (Filming.IDLE, Event.END): _step(Filming.OVER),
    (Filming.BEGINNING, Event.ASKED): _step(Filming.BEGINNING, Action.ALREADY),
    (Filming.BEGINNING, Event.BEGUN): _step(Filming.RUNNING, Action.JOIN),
    (Filming.BEGINNING, Event.UNBEGUN): _step(Filming.IDLE),
    (Filming.BEGINNING, Event.END): _step(Filming.ABANDONED),
    (Filming.ABANDONED, Event.ASKED): _step(Filming.ABANDONED, Action.NOT_LIVE),
    (Filming.ABANDONED, Event.BEGUN): _step(Filming.OVER, Action.FINISH),
    (Filming.ABANDONED, Event.UNBEGUN): _step(Filming.OVER),
    (Filming.ABANDONED, Event.END): _step(Filming.ABANDONED),
    (Filming.RUNNING, Event.ASKED): _step(Filming.RUNNING, Action.ALREADY),
    (Filming.RUNNING, Event.FINISHED): _step(Filming.IDLE),
    (Filming.RUNNING, Event.END): _step(Filming.OVER, Action.FINISH),
    (Filming.OVER, Event.ASKED): _step(Filming.OVER, Action.NOT_LIVE),
    (Filming.OVER, Event.FINISHED): _step(Filming.OVER),
    (Filming.OVER, Event.END): _step(Filming.OVER),
}

_OF_VIEWERS = {Event.CAME, Event.CONNECTED, Event.LEFT}
_OF_RECORDINGS = {Event.ASKED, Event.BEGUN, Event.UNBEGUN, Event.FINISHED}


@dataclass(frozen=True)
class Do:
    """One thing to be done."""

    action: Action
    viewer: str = ""
    "Whom it is about, by the peer's id; empty where it is about the caller or the recording."


class Lifecycle:
    """One channel. Told what happens, it says what is to be done, in that order."""

    def __init__(self) -> None:
        self.publishing = Publishing.OPENING
        self.filming = Filming.IDLE
        self._viewers: dict[str, Viewing] = {}

    @property
    def live(self) -> bool:
        return self.publishing is Publishing.LIVE

    @property
    def over(self) -> bool:
        """Whether it has ended or is about to."""
        return self.publishing in _OVER

    @property
    def settled(self) -> bool:
        """Whether nothing can be opened any more, so that what is being closed is all there is."""
        return self.publishing in (Publishing.ENDING, Publishing.ENDED) and self.filming is Filming.OVER

    def of(self, viewer: str) -> Viewing:
        return self._viewers.get(viewer, Viewing.GONE)

    def viewers(self, state: Viewing) -> list[str]:
        """Those in that state, the longest there first."""
        return [viewer for viewer, its in self._viewers.items() if its is state]

    def on(self, event: Event, viewer: str = "") -> list[Do]:
        """Raises KeyError for what cannot happen in this state: a fault of whoever tells it."""
        if event in _OF_VIEWERS:
            return self._viewer(event, viewer)
        if event in _OF_RECORDINGS:
            return self._recording(event)
        if event is Event.END:
            return self._end()
        return self._publishing(event)

    def _end(self) -> list[Do]:
        if self.over:
            return self._publishing(Event.END)
        leaving = [do for viewer in list(self._viewers) for do in self._viewer(Event.LEFT, viewer)]
        return [*leaving, *self._publishing(Event.END), *self._recording(Event.END)]

    def _publishing(self, event: Event) -> list[Do]:
        assert event is not Event.CLOSED or self.settled, self.filming
        step = TABLE[self.publishing, event]
        assert isinstance(step.state, Publishing), step
        ends = step.state in _OVER and not self.over
        self.publishing = step.state
        more = self._recording(Event.END) if ends and event is not Event.END else []
        return [*(Do(action) for action in step.actions), *more]

    def _recording(self, event: Event) -> list[Do]:
        if event is Event.ASKED and self.filming is Filming.IDLE and not self.live:
            return [Do(Action.NOT_LIVE)]
        step = TABLE[self.filming, event]
        assert isinstance(step.state, Filming), step
        self.filming = step.state
        return [Do(action) for action in step.actions]

    def _viewer(self, event: Event, viewer: str) -> list[Do]:
        if event is Event.CAME and self.live:
            assert viewer not in self._viewers, viewer
            self._viewers[viewer] = Viewing.COMING
        step = TABLE[self.of(viewer), event]
        if step.state is Viewing.GONE:
            self._viewers.pop(viewer, None)
        else:
            assert isinstance(step.state, Viewing), step
            self._viewers[viewer] = step.state
        return [Do(action, viewer) for action in step.actions]
