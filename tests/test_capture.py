"""A picture and a sound of one moment get one time, whatever their packets, reports and clocks do on their way."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.webrtc.capture import MOST_WAIT, CaptureClock, ShortestWay

RATES = {"video": 90_000, "audio": 48_000}
EVERY = {"video": 0.04, "audio": 0.02}
WALL = 3_900_000_000.0
"What the sender's wall clock says at our 0."


@dataclass
class Sender:
    """A caller whose streams go through a network. Captures are in seconds of our clock."""

    way: float = 0.03
    jitter: list[float] = field(default_factory=lambda: [0.0])
    drift: float = 0.0
    origins: dict[str, int] = field(default_factory=lambda: {"video": 4_294_900_000, "audio": 17})
    silent: frozenset[str] = frozenset()
    "Streams without reports."
    stepped: float = 0.0
    "By how much the wall clock was set."

    def rtp(self, kind: str, at: float) -> int:
        return (self.origins[kind] + round(at * (1 + self.drift) * RATES[kind])) % (1 << 32)

    def run(self, clock: CaptureClock, begin: float, end: float, kinds: tuple[str, ...] = ("video", "audio")) -> dict:
        """kind -> (capture, what the clock says of it), in order of arrival."""
        events = []
        for kind in kinds:
            for number in range(round((end - begin) / EVERY[kind])):
                at = begin + number * EVERY[kind]
                late = self.way + self.jitter[(number + len(kind)) % len(self.jitter)]
                events.append((at + late, at, kind, "packet"))
                if kind not in self.silent and number % round(1 / EVERY[kind]) == 7:
                    events.append((at + late, at, kind, "report"))
        found: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
        for arrived, at, kind, what in sorted(events):
            if what == "report":
                wall = WALL + at * (1 + self.drift) + self.stepped
                clock.report(kind, RATES[kind], 1, wall, self.rtp(kind, at), arrived)
            else:
                found[kind].append((at, clock.captured(kind, RATES[kind], 1, self.rtp(kind, at), arrived)))
        return found


def apart(found: dict, after: float) -> float:
    """The most by which sound and picture of one moment differ, from `after` on."""
    video, audio = ({round(at, 2): told for at, told in found[kind] if at >= after} for kind in ("video", "audio"))
    return max(abs(video[at] - audio[at]) for at in video.keys() & audio.keys())


jitters = st.lists(st.floats(0, 0.06), min_size=1, max_size=23)


@settings(max_examples=12, deadline=None)
@given(
    jitters,
    st.floats(-1e-4, 1e-4),
    st.floats(0.001, 0.1),
    st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)),
)
def test_sound_and_picture_of_one_moment_have_one_time(jitter, drift, way, origins):
    sender = Sender(way, jitter, drift, {"video": origins[0], "audio": origins[1]})
    found = sender.run(CaptureClock(), 0.0, 6.0)
    assert apart(found, 2.0) < 0.002
    for pairs in found.values():
        for at, told in pairs:
            assert told <= at + way + max(jitter) + 1e-6
        # the shortest way is all that is not seen, and packets that are not late tell it within moments
        settled = [told - at for at, told in pairs if at >= 3.0]
        assert max(settled) - min(settled) < 0.005
        assert min(settled) >= way + min(jitter) - 0.005


@settings(max_examples=12, deadline=None)
@given(jitters, st.booleans())
def test_times_go_on(jitter, wrapped):
    origins = {"video": (1 << 32) - 300_000 if wrapped else 5, "audio": (1 << 32) - 100_000 if wrapped else 9}
    for pairs in Sender(jitter=jitter, origins=origins).run(CaptureClock(), 0.0, 5.0).values():
        newest = [one for number, one in enumerate(pairs) if one == max(pairs[: number + 1])]
        assert all(b[1] >= a[1] for a, b in pairwise(newest))
        settled = [told for at, told in sorted(pairs) if at > 3]
        assert all(b > a for a, b in pairwise(settled)), "those that were overtaken too"


@pytest.mark.parametrize("silent", ["video", "audio", "both"])
def test_without_the_reports_of_one_stream_both_are_timed_by_arrival(silent):
    kinds = frozenset(RATES) if silent == "both" else frozenset({silent})
    found = Sender(way=0.05, jitter=[0.0, 0.01], silent=kinds).run(CaptureClock(), 0.0, 5.0)
    for kind, pairs in found.items():
        assert [told - at for at, told in pairs if at > 2] == pytest.approx(
            [0.05 + [0.0, 0.01][(number + len(kind)) % 2] for number, (at, _) in enumerate(sorted(pairs)) if at > 2]
        )


def test_a_caller_without_sound_needs_no_reports_of_it():
    sender = Sender(way=0.05, jitter=[0.0, 0.04])
    found = sender.run(CaptureClock(), 0.0, 6.0, ("video",))
    late = [told - at for at, told in found["video"] if at > 3]
    assert max(late) - min(late) < 0.002


@pytest.mark.parametrize("step", [3600.0, -7200.0, 0.9])
def test_a_wall_clock_that_is_set_parts_nothing(step):
    clock, sender = CaptureClock(), Sender(jitter=[0.0, 0.01])
    sender.run(clock, 0.0, 5.0)
    sender.stepped = step
    found = sender.run(clock, 5.0, 12.0)
    assert apart(found, 5.0) < 0.05, "by arrival meanwhile"
    assert apart(found, 8.0) < 0.002


def test_rtp_times_that_jump_part_nothing():
    clock, sender = CaptureClock(), Sender(jitter=[0.0, 0.01])
    sender.run(clock, 0.0, 5.0)
    sender.origins = {"video": sender.origins["video"], "audio": 3_000_000_000}
    found = sender.run(clock, 5.0, 12.0)
    assert apart(found, 5.0) < 0.05
    assert apart(found, 8.0) < 0.002


def test_a_way_that_grows_longer_for_good_makes_frames_older_by_no_more_than_a_retransmission():
    clock, sender = CaptureClock(), Sender(way=0.02)
    sender.run(clock, 0.0, 5.0)
    sender.way = 1.0
    found = sender.run(clock, 6.0, 12.0)
    for pairs in found.values():
        assert all(at + 1.0 - told <= MOST_WAIT + 1e-6 for at, told in pairs)
    assert apart(found, 6.0) < 0.002


def test_another_source_is_another_stream():
    clock = CaptureClock()
    Sender().run(clock, 0.0, 3.0)
    assert clock.common
    assert clock.captured("video", 90_000, 2, 77, 3.1) == pytest.approx(3.1)
    assert not clock.common
    clock.report("video", 90_000, 1, WALL + 3.1, 77, 3.13)
    assert not clock.common, "a report of the source that is gone"
    clock.report("video", 90_000, 2, WALL + 3.1, 77, 3.13)
    assert clock.common


def test_a_report_without_a_wall_clock_says_nothing():
    clock = CaptureClock()
    clock.captured("video", 90_000, 1, 0, 1.0)
    clock.report("video", 90_000, 1, 0.0, 0, 1.0)
    assert not clock.common


def test_the_shortest_way_falls_at_once_and_rises_slowly():
    shortest = ShortestWay()
    for number in range(1000):
        shortest.add(0.05, number * 0.02)
    shortest.add(0.01, 20.0)
    assert shortest.seconds == 0.01
    for number in range(1, 4000):
        shortest.add(0.05, 20.0 + number * 0.02)
        assert (shortest.seconds or 1) <= 0.01 + max(0.0, number * 0.02) * 1e-3 + 1e-9
    assert shortest.seconds == pytest.approx(0.05)
