"""The life of a call, by its table: publish, view, leave, forget, record and shutdown meet in every order."""

from __future__ import annotations

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from server.channels.lifecycle import TABLE, Action, Do, Event, Filming, Lifecycle, Publishing, Viewing

FROM_OUTSIDE = {Event.END, Event.CONNECTED, Event.LEFT, Event.ASKED}
"Events that nobody orders: a client may cause them at any time."


class Life(RuleBasedStateMachine):
    """A shell that keeps book: what it was told to open and to close, and what of it has been done."""

    viewers = Bundle("viewers")

    def __init__(self) -> None:
        super().__init__()
        self.life = Lifecycle()
        self.done: list[Do] = []
        self.session = "being made"
        self.file = "none"
        self.answering = True

    def happens(self, event: Event, viewer: str = "") -> list[Action]:
        over = self.life.over
        actions = self.life.on(event, viewer)
        self.done += actions
        if over:
            assert {do.action for do in actions} <= {Action.NOT_LIVE, Action.CLOSE_SESSION, Action.FINISH}, (
                "only closing"
            )
        return [do.action for do in actions]

    def count(self, *actions: Action) -> int:
        return sum(do.action in actions for do in self.done)

    @precondition(lambda self: self.session == "being made")
    @rule(made=st.booleans())
    def the_session_is_made_or_is_not(self, made: bool) -> None:
        self.session = "made" if made else "none"
        self.happens(Event.MADE if made else Event.UNMADE)

    @precondition(lambda self: self.session == "made" and self.answering and not self.life.over)
    @rule()
    def the_caller_gets_the_answer(self) -> None:
        self.answering = False
        self.happens(Event.ANSWERED)

    @precondition(lambda self: self.session == "made" and self.answering and self.life.over)
    @rule()
    def the_answer_comes_too_late(self) -> None:
        self.answering = False
        assert self.happens(Event.ANSWERED) == []

    @rule()
    def the_call_is_over(self) -> None:
        self.happens(Event.END)

    @rule(target=viewers, name=st.uuids())
    def a_viewer_offers(self, name: object) -> str:
        live = self.life.live
        assert self.happens(Event.CAME, str(name)) == [Action.ADMIT if live else Action.NOT_LIVE]
        return str(name)

    @rule(viewer=viewers)
    def a_viewer_connects(self, viewer: str) -> None:
        self.happens(Event.CONNECTED, viewer)

    @rule(viewer=viewers)
    def a_viewer_leaves(self, viewer: str) -> None:
        self.happens(Event.LEFT, viewer)

    @rule(viewer=consumes(viewers))
    def a_viewer_leaves_for_good(self, viewer: str) -> None:
        self.happens(Event.LEFT, viewer)

    @rule()
    def a_recording_is_asked_for(self) -> None:
        live, filming = self.life.live, self.life.filming
        asked = self.happens(Event.ASKED)
        assert asked == [
            Action.BEGIN if live and filming is Filming.IDLE else Action.ALREADY if live else Action.NOT_LIVE
        ]
        if Action.BEGIN in asked:
            self.file = "being opened"

    @precondition(lambda self: self.file == "being opened")
    @rule(opened=st.booleans())
    def its_file_is_open_or_cannot_be(self, opened: bool) -> None:
        self.file = "open" if opened else "none"
        if opened:
            over = self.life.over
            assert self.happens(Event.BEGUN) == [Action.FINISH if over else Action.JOIN]
        else:
            assert self.happens(Event.UNBEGUN) == []

    @precondition(lambda self: self.file == "open")
    @rule()
    def the_recording_ends_by_itself_or_is_told_to(self) -> None:
        self.file = "none"
        self.happens(Event.FINISHED)

    @precondition(lambda self: self.life.settled and self.life.publishing is Publishing.ENDING)
    @rule()
    def all_is_closed(self) -> None:
        self.happens(Event.CLOSED)
        assert self.life.publishing is Publishing.ENDED

    @invariant()
    def what_was_opened_is_closed_once(self) -> None:
        over = self.life.over
        assert self.count(Action.CLOSE_SESSION) == (over and self.session == "made")
        assert self.count(Action.CLOSE_CALLER) <= 1
        assert self.count(Action.HIDE) == (over and self.count(Action.SHOW))
        assert self.count(Action.FINISH) <= over

    @invariant()
    def nobody_is_rendered_for_who_is_not_connected(self) -> None:
        watched = Counter(do.viewer for do in self.done if do.action is Action.WATCH)
        watched.subtract(do.viewer for do in self.done if do.action is Action.UNWATCH)
        assert {viewer for viewer, count in watched.items() if count} == set(self.life.viewers(Viewing.WATCHING))
        assert set(watched.values()) <= {0, 1}

    @invariant()
    def each_viewer_who_came_in_is_let_go_once(self) -> None:
        came = {do.viewer for do in self.done if do.action is Action.ADMIT}
        gone = [do.viewer for do in self.done if do.action is Action.CLOSE_VIEWER]
        assert len(gone) == len(set(gone))
        there = self.life.viewers(Viewing.COMING) + self.life.viewers(Viewing.WATCHING)
        assert came == set(gone) | set(there)
        assert not (self.life.over and there)

    @invariant()
    def a_recording_takes_pictures_only_of_a_call_that_goes_on(self) -> None:
        assert not (self.life.over and self.life.filming in (Filming.IDLE, Filming.BEGINNING, Filming.RUNNING))
        if self.life.settled:
            assert self.session != "being made"
            assert self.file != "being opened"


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_whatever_a_client_may_cause_has_its_row_in_every_state():
    kinds = {
        Event.END: (Publishing, Filming),
        Event.ASKED: (Filming,),
        Event.CONNECTED: (Viewing,),
        Event.LEFT: (Viewing,),
    }
    assert kinds.keys() == FROM_OUTSIDE
    lacking = [
        (state, event)
        for event, kind in kinds.items()
        for states in kind
        for state in states
        if (state, event) not in TABLE
    ]
    assert lacking == []


def test_a_state_is_left_for_states_of_its_own_kind_and_the_end_is_the_end():
    assert all(type(state) is type(step.state) for (state, _), step in TABLE.items())
    for last in (Publishing.ENDED, Viewing.GONE, Filming.OVER):
        after = [step for (state, _), step in TABLE.items() if state is last]
        assert {step.state for step in after} == {last}
        assert {action for step in after for action in step.actions} <= {Action.NOT_LIVE}
