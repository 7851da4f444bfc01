"""Rules of a call: laws over any sequence of events, and the courses that people know."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from server.calls import effects as do
from server.calls import events as of
from server.calls.events import ROLES, Being, Publishing, Shared, State
from server.calls.rules import (
    AWAY_SECONDS,
    CLOSING_SECONDS,
    EMPTY_SECONDS,
    GRANT,
    HIDDEN_SECONDS,
    JOINING_SECONDS,
    OVER,
    RENEW_SECONDS,
    REPLACED,
    WAITING_SECONDS,
    Call,
)

LONGEST = WAITING_SECONDS + JOINING_SECONDS + AWAY_SECONDS + EMPTY_SECONDS
SEATS = some.integers(1, 6)
SOCKETS = some.integers(1, 8)
YES = some.booleans()
MAYBE = some.none() | some.booleans()
SHARED = some.sampled_from(list(Shared))
ANYTHING = some.one_of(
    some.builds(
        of.Seated,
        some.sampled_from(["Ana", "Bo"]),
        some.sampled_from(list(ROLES.values())),
        some.sampled_from([0.0, 0.0, 0.0, 90.0]),
        some.frozensets(SHARED),
        YES,
    ),
    some.builds(of.Approved, SEATS),
    some.builds(of.Denied, SEATS),
    some.builds(of.Connected, SEATS, SOCKETS, some.integers(1, 3), YES),
    some.builds(of.Disconnected, SEATS, SOCKETS),
    *(some.builds(kind, SEATS) for kind in (of.PublishStarted, of.MediaLive, of.MediaStalled, of.MediaLost)),
    *(some.builds(kind, SEATS) for kind in (of.ViewStarted, of.ViewEnded, of.Left, of.Removed)),
    some.builds(of.Set, SEATS, some.none() | some.just("Cy"), MAYBE, MAYBE, YES),
    some.builds(of.Watching, SEATS, YES),
    some.builds(of.Spoke, some.lists(SEATS, max_size=3, unique=True).map(tuple), some.none() | SEATS),
    some.builds(of.LookedFrom, SEATS, some.just({"x": 1.0})),
    some.builds(of.Asked, SHARED, some.integers(0, 6), some.just("sfu.example")),
    some.builds(of.Agreed, SEATS, SHARED, YES),
    some.builds(of.Stopped, SHARED, some.just("the disk is full")),
    some.builds(of.Changed, MAYBE, some.none() | some.just("Tea"), some.none() | some.sampled_from(["auto", "pair", "table"])),
    some.builds(of.Formed, some.sampled_from([{"as": "table", "views": 8}, {"as": "seat", "views": 24}])),
    some.just(of.CapacityLost("fewer views")),
    some.just(of.CapacityBack()),
    some.builds(of.Ended, some.just("ended")),
    some.just(of.Tick()),
)  # fmt: skip
STORIES = some.lists(some.tuples(some.sampled_from([0.0, 0.1, 4.0, 25.0, 70.0]), ANYTHING), max_size=60)

OPENINGS = some.lists(some.sampled_from(["host", "member", "member", "viewer", "recorder"]), max_size=4)
"Who is seated and connected before anything else."


class Witness:
    """Looks at every effect of a call, and holds it to the laws."""

    def __init__(self, **how: Any) -> None:
        self.now = 100.0
        self.call = Call(self.now, seats=3, watchers=2, **how)
        self.given: list[int] = []
        self.gone: set[int] = set()
        self.table = False
        self.going: set[Shared] = set()
        self.log: list[tuple[float, of.Event, list[do.Effect]]] = []

    def on(self, event: of.Event, later: float = 0.0) -> list[do.Effect]:
        self.now += later
        before = self.call.state
        effects = self.call.on(event, self.now)
        self.log.append((self.now, event, effects))
        if before is State.ENDED:
            assert effects == []
        for effect in effects:
            self._see(effect)
        self._hold()
        return effects

    def _see(self, effect: do.Effect) -> None:
        seat = getattr(effect, "seat", None)
        match effect:
            case do.Take(number):
                assert number not in self.given
                self.given.append(number)
            case do.Tell() | do.Renew() | do.Show() | do.Mute():
                assert seat not in self.gone
            case do.Forget(number):
                assert number not in self.gone
                self.gone.add(number)
            case do.Start(what):
                assert what not in self.going
                assert self.call.agreements[what].missing() == [] or self.call.state is State.ENDED
                self.going.add(what)
            case do.Stop(what):
                assert what in self.going
                self.going.discard(what)
            case do.MakeTable():
                assert not self.table
                self.table = True
            case do.DropTable():
                assert self.table
                self.table = False

    def _hold(self) -> None:
        call = self.call
        members = [one for one in call.seats.values() if one.member]
        assert len(members) <= call.limit
        assert len(call.seats) - len(members) <= call.watchers
        assert set(call.seats) == set(self.given) - self.gone
        assert {what for what, one in call.agreements.items() if one.since is not None} == self.going
        assert self.table or Shared.HANDOVER not in self.going
        assert call.host == 0 or call.host in call.seats
        shown = [one for one in members if one.being is Being.PRESENT and one.publishing is not Publishing.NONE]
        assert all(one.agreed >= self.going for one in shown)
        for one in call.seats.values():
            assert one.being is Being.WAITING or (one.being is Being.PRESENT) is one.up
            assert one.being is Being.PRESENT or one.deadline is not None
        assert call.state is not State.ENDED or not call.seats


def checked(opening: list[str], story: list[tuple[float, of.Event]], approve: bool) -> None:
    one, other = Witness(approve=approve), Call(100.0, seats=3, watchers=2, approve=approve)
    for role in opening:
        one.on(of.Seated("Ana", ROLES[role]))
        one.on(of.Connected(one.call.next - 1, one.call.next, 1))
    for later, event in story:
        one.on(event, later)
    assert [other.on(event, now) for now, event, _ in one.log] == [effects for _, _, effects in one.log]
    for seat in list(one.call.seats.values()):  # everybody goes, and time does the rest
        one.on(of.Disconnected(seat.number, seat.socket))
        one.on(of.MediaLost(seat.number))
        one.on(of.ViewEnded(seat.number))
    for _ in range(4):
        one.on(of.Tick(), LONGEST)
    assert one.call.state is State.ENDED
    assert one.gone == set(one.given)
    assert not one.going
    assert not one.table


@settings(max_examples=300, deadline=None)
@given(OPENINGS, STORIES, YES)
def test_the_laws_hold_whatever_happens(opening, story, approve):
    checked(opening, story, approve)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@settings(max_examples=10_000, deadline=None)
@given(OPENINGS, STORIES, YES)
def test_the_laws_hold_whatever_happens_ten_thousand_times(opening, story, approve):
    checked(opening, story, approve)


def seated(witness: Witness, role: str = "member", name: str = "Ana", **more: Any) -> int:
    took = [one for one in witness.on(of.Seated(name, ROLES[role], **more)) if isinstance(one, do.Take)]
    return took[0].seat


def present(witness: Witness, role: str = "member", **more: Any) -> int:
    seat = seated(witness, role, **more)
    witness.on(of.Connected(seat, seat * 100, 1))
    return seat


def told(effects: list[do.Effect], seat: int | None = None) -> list[dict[str, Any]]:
    return [one.message for one in effects if isinstance(one, do.Tell) and seat in (None, one.seat)]


def publishes(witness: Witness, seat: int) -> list[do.Effect]:
    return witness.on(of.PublishStarted(seat)) + witness.on(of.MediaLive(seat))


def being(witness: Witness, seat: int) -> Being:
    known = witness.call.seats.get(seat)
    return known.being if known is not None else Being.GONE


def test_a_seat_is_joined_lost_and_taken_up_again_with_its_number():
    call = Witness()
    ana = seated(call, "host")
    assert being(call, ana) is Being.JOINING
    welcome = told(call.on(of.Connected(ana, 1, 1)), ana)[0]
    assert welcome["t"] == "welcome"
    assert welcome["seat"] == ana
    assert being(call, ana) is Being.PRESENT
    call.on(of.Disconnected(ana, 1), 5)
    assert being(call, ana) is Being.AWAY
    effects = call.on(of.Connected(ana, 2, 1, resume=True), AWAY_SECONDS - 1)
    assert being(call, ana) is Being.PRESENT
    assert call.call.seats[ana].epoch == 2
    assert do.Renew(ana) in effects


@pytest.mark.parametrize(("drop", "still"), [("socket", Being.PRESENT), ("media", Being.PRESENT), ("both", Being.AWAY)])
def test_only_who_loses_both_is_away(drop, still):
    call = Witness()
    ana = present(call)
    publishes(call, ana)
    if drop in ("socket", "both"):
        call.on(of.Disconnected(ana, ana * 100))
    if drop in ("media", "both"):
        call.on(of.MediaLost(ana))
    assert being(call, ana) is still


@pytest.mark.parametrize(
    ("approve", "seconds", "why"), [(True, WAITING_SECONDS, "unanswered"), (False, JOINING_SECONDS, "lost")]
)
def test_who_is_not_let_in_or_does_not_come_is_gone(approve, seconds, why):
    call = Witness(approve=approve)
    host = present(call, "host")
    late = seated(call)
    call.on(of.Tick(), seconds - 1)
    assert late in call.call.seats
    effects = call.on(of.Tick(), 1)
    assert late not in call.call.seats
    assert {"t": "gone", "seat": late, "why": why} in told(effects, host)


def test_who_waits_sees_nobody_until_a_host_says_yes():
    call = Witness(approve=True)
    host, bo = present(call, "host"), seated(call, name="Bo")
    assert being(call, bo) is Being.WAITING
    before = told(call.on(of.Connected(bo, 7, 1)), bo)
    assert [row["seat"] for row in before[0]["seats"]] == [bo]
    assert told(call.on(of.Set(host, muted=True)), bo) == []
    after = told(call.on(of.Approved(bo)), bo)
    assert [row["seat"] for row in after[0]["seats"]] == [host, bo]
    call.on(of.Tick())
    assert being(call, bo) in (Being.JOINING, Being.PRESENT)
    assert call.call.check_publish(bo, 1) is None


def test_who_is_denied_is_told_and_does_not_come_back():
    call = Witness(approve=True)
    present(call, "host")
    bo = seated(call)
    call.on(of.Connected(bo, 7, 1))
    effects = call.on(of.Denied(bo))
    assert do.Close(bo, 7, GRANT, {"t": "bye", "why": "denied", "again": "never"}) in effects


def test_the_newer_window_wins_and_the_older_never_fights():
    call = Witness()
    ana = present(call)
    effects = call.on(of.Connected(ana, 2, 1))
    assert do.Close(ana, ana * 100, REPLACED, {"t": "bye", "why": "replaced", "again": "never"}) in effects
    assert call.call.seats[ana].epoch == 2
    by_itself = call.on(of.Connected(ana, 3, 1, resume=True))
    assert by_itself == [do.Close(ana, 3, REPLACED, {"t": "bye", "why": "replaced", "again": "never"})]
    refusal = call.call.check_publish(ana, 1)
    assert refusal is not None
    assert refusal.kind == "seat-replaced"
    by_hand = call.on(of.Connected(ana, 4, 1))
    assert [one.socket for one in by_hand if isinstance(one, do.Close)] == [2]


def test_the_host_passes_on_and_comes_back():
    call = Witness()
    ana, bo, cy = present(call, "host"), present(call, "host"), present(call)
    assert call.call.host == ana
    effects = call.on(of.Left(ana))
    assert call.call.host == bo
    assert {"t": "seat", "seat": bo, "role": "host"} in told(effects, cy)
    call.on(of.Left(bo))
    assert call.call.host == 0
    assert call.call.state is State.OPEN
    assert call.call.host == 0 != present(call, "host")
    assert call.call.host


def test_an_empty_call_ends_and_one_that_empties_waits_for_who_comes_back():
    call = Witness()
    call.on(of.Tick(), EMPTY_SECONDS - 1)
    ana = present(call)
    assert call.call.state is State.OPEN
    call.on(of.Left(ana))
    assert call.call.state is State.CLOSING
    present(call)
    assert call.call.state is State.OPEN
    again = next(iter(call.call.seats))
    call.on(of.Left(again))
    call.on(of.Tick(), CLOSING_SECONDS)
    assert call.call.state is State.ENDED
    assert call.call.why == "nobody is here any more"


def test_the_end_is_told_to_everybody_and_is_the_last_thing():
    call = Witness()
    ana, bo = present(call, "host"), present(call)
    effects = call.on(of.Ended("the host has ended it"))
    bye = {"t": "bye", "why": "the host has ended it", "again": "never"}
    assert [one for one in effects if isinstance(one, do.Close)] == [
        do.Close(ana, ana * 100, OVER, bye),
        do.Close(bo, bo * 100, OVER, bye),
    ]
    assert call.on(of.Tick(), 1000) == []


def test_a_host_mutes_and_never_unmutes():
    call = Witness()
    ana = present(call)
    assert do.Mute(ana, True) in call.on(of.Set(ana, muted=True, by_host=True))
    assert call.on(of.Set(ana, muted=False, by_host=True)) == []
    effects = call.on(of.Set(ana, muted=False))
    assert do.Mute(ana, False) in effects
    assert told(effects, ana) == [{"t": "seat", "seat": ana, "muted": False, "by": "self"}]


def test_a_recording_begins_when_the_last_one_agrees_and_ends_when_one_takes_it_back():
    call = Witness()
    ana, bo = present(call, "host"), present(call, name="Bo")
    refused = call.on(of.Asked(Shared.RECORDING, ana))
    assert refused[-1] == do.Refuse("not-everybody-agrees", {"what": "recording", "missing": [bo]})
    assert {"t": "asking", "what": "recording", "by": ana} in told(refused, bo)
    assert do.Start(Shared.RECORDING) in call.on(of.Agreed(bo, Shared.RECORDING, True))
    assert call.on(of.Asked(Shared.RECORDING, ana)) == [do.Refuse("already-recording")]
    newcomer = call.on(of.Seated("Cy", ROLES["member"]))
    assert newcomer == [do.Refuse("not-everybody-agrees", {"recording": True})]
    cy = present(call, agrees=frozenset(Shared))
    assert do.Stop(Shared.RECORDING, "Ana does not agree") in call.on(of.Agreed(cy, Shared.RECORDING, False))
    assert call.on(of.Asked(Shared.RECORDING, ana))[-1] == do.Refuse(
        "not-everybody-agrees", {"what": "recording", "missing": [bo, cy]}
    )


def test_who_comes_in_while_a_recording_begins_is_asked_before_it_is_seen():
    call = Witness()
    ana, late = present(call, "host"), seated(call)
    assert do.Start(Shared.RECORDING) in call.on(of.Asked(Shared.RECORDING, ana))
    assert {"t": "asking", "what": "recording", "by": ana} in told(call.on(of.Connected(late, 9, 1)), late)
    assert publishes(call, late) == []
    refusal = call.call.check_publish(late, 1)
    assert refusal is not None
    assert refusal.kind == "not-everybody-agrees"
    call.on(of.Agreed(late, Shared.RECORDING, True))
    assert publishes(call, late)


def test_a_call_goes_out_from_its_table_once_everybody_agrees_and_comes_back_when_one_does_not():
    call = Witness()
    ana, bo = present(call, "host"), present(call)
    refused = call.on(of.Asked(Shared.HANDOVER, ana, "sfu.example"))
    assert {"t": "asking", "what": "handover", "by": ana, "to": "sfu.example"} in told(refused, bo)
    assert refused[-1] == do.Refuse("not-everybody-agrees", {"what": "handover", "missing": [bo]})
    begun = call.on(of.Agreed(bo, Shared.HANDOVER, True))
    assert [one for one in begun if not isinstance(one, do.Tell)] == [do.Start(Shared.HANDOVER), do.MakeTable()]
    assert told(begun, bo) == [{"t": "handover", "since": call.now, "to": "sfu.example"}]
    newcomer = call.on(of.Seated("Cy", ROLES["member"], agrees=frozenset({Shared.RECORDING})))
    assert newcomer == [do.Refuse("not-everybody-agrees", {"handover": True})]
    assert call.on(of.Asked(Shared.HANDOVER, ana)) == [do.Refuse("already-handed-over", {"to": "sfu.example"})]
    ended = call.on(of.Agreed(bo, Shared.HANDOVER, False))
    assert [one for one in ended if not isinstance(one, do.Tell)] == [
        do.Stop(Shared.HANDOVER, "Ana does not agree"),
        do.DropTable(),
    ]


def test_one_who_leaves_does_not_hold_up_a_recording():
    call = Witness()
    ana, bo = present(call, "host"), present(call)
    call.on(of.Asked(Shared.RECORDING, ana))
    assert do.Start(Shared.RECORDING) in call.on(of.Left(bo))


def test_a_recorder_sees_only_what_everybody_agrees_to():
    call = Witness()
    ana, recorder = present(call, "host"), present(call, "recorder")
    refusal = call.call.check_view(recorder)
    assert refusal is not None
    assert refusal.kind == "not-everybody-agrees"
    call.on(of.Asked(Shared.RECORDING, ana))
    assert call.call.check_view(recorder) is None
    call.on(of.ViewStarted(recorder))
    assert do.StopViewing(recorder) in call.on(of.Agreed(ana, Shared.RECORDING, False))


@pytest.mark.parametrize(("event", "kind"), [(of.Changed(locked=True), "call-locked"), (None, "call-full")])
def test_nobody_new_comes_into_a_locked_or_full_call_and_who_is_there_may_come_back(event, kind):
    call = Witness()
    seats = [present(call) for _ in range(3)]
    if event is not None:
        call.on(event)
    (refusal,) = call.on(of.Seated("Dee", ROLES["member"]))
    assert isinstance(refusal, do.Refuse)
    assert refusal.kind == kind
    call.on(of.Disconnected(seats[0], seats[0] * 100))
    call.on(of.Connected(seats[0], 9, 1, resume=True), 10)
    assert being(call, seats[0]) is Being.PRESENT


def test_viewers_have_a_limit_of_their_own():
    call = Witness()
    for _ in range(3):
        present(call)
    assert seated(call, "viewer")
    assert seated(call, "viewer")
    assert call.on(of.Seated("Eve", ROLES["viewer"])) == [do.Refuse("call-full", {"limit": 2})]


def test_three_have_a_table_and_two_a_pair():
    call = Witness()
    present(call)
    present(call)
    assert not call.call.table
    cy = seated(call)
    assert do.MakeTable() in call.on(of.Connected(cy, 9, 1))
    assert do.DropTable() in call.on(of.Left(cy))


def test_a_form_is_told_to_each_as_it_is_for_them():
    call = Witness(tiling={"as": "seat", "views": 24})
    ana, bo = present(call), present(call)
    effects = call.on(of.Formed({"as": "seat", "views": 12}))
    assert told(effects, ana) == [{"t": "form", "as": "seat", "views": 12, "of": bo, "seats": [bo]}]
    assert told(effects, bo) == [{"t": "form", "as": "seat", "views": 12, "of": ana, "seats": [ana]}]


def test_a_plain_seat_is_held_while_its_token_lasts():
    call = Witness()
    present(call, "host")
    obs = seated(call, lasts=1000.0)
    call.on(of.Tick(), 500)
    publishes(call, obs)
    assert being(call, obs) is Being.PRESENT
    call.on(of.MediaLost(obs), 100)
    assert being(call, obs) is Being.AWAY
    call.on(of.Tick(), 200)
    publishes(call, obs)
    assert call.call.seats[obs].epoch == 1
    call.on(of.Tick(), 300)
    assert being(call, obs) is Being.PRESENT, "what runs goes on"
    call.on(of.MediaLost(obs))
    call.on(of.Tick(), 0.1)
    assert being(call, obs) is Being.GONE


def test_tokens_are_renewed_at_half_their_life_and_pictures_stop_where_nobody_looks():
    call = Witness()
    ana = present(call)
    assert call.on(of.Tick(), RENEW_SECONDS) == [do.Renew(ana)]
    call.on(of.Watching(ana, False))
    assert call.on(of.Tick(), HIDDEN_SECONDS - 0.1) == []
    assert call.on(of.Tick(), 0.2) == [do.Show(ana, False)]
    assert call.on(of.Watching(ana, True)) == [do.Show(ana, True)]


def test_messages_of_a_story_come_in_order():
    call = Witness()
    ana, bo = present(call, "host"), present(call)
    heard: dict[int, list[str]] = defaultdict(list)
    for event in (of.PublishStarted(bo), of.MediaLive(bo), of.MediaStalled(bo), of.MediaLive(bo), of.MediaLost(bo)):
        for effect in call.on(event):
            if isinstance(effect, do.Tell):
                heard[effect.seat].append(effect.message["publishing"])
    assert heard[ana] == heard[bo] == ["connecting", "live", "stalled", "live", "none"]


def test_a_session_that_was_announced_before_the_loss_of_the_one_before_was_seen_is_live_all_the_same():
    call = Witness()
    ana, bo = present(call, "host"), present(call)
    publishes(call, bo)
    call.on(of.PublishStarted(bo))  # of a page that was loaded anew
    call.on(of.MediaLost(bo))
    assert told(call.on(of.MediaLive(bo)), ana)[-1]["publishing"] == "live"
