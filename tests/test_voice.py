"""A caller's sound goes on, whatever its sender does to its clock: positions grow with time, nobody is muted for hours."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from server.webrtc.audio import EMPTY, NOT_OPUS, Timeline, Voice

FRAME = 960
"Samples of a packet of 20 ms."
OPUS = SimpleNamespace(name="opus")


def placed(*stretches: Callable[[int], tuple[int, int, int]], each: int = 50) -> list[int | None]:
    """The positions of packets that come every 20 ms; each stretch says (source, sequence number, timestamp) of its n-th."""
    timeline, positions = Timeline(), []
    for number, stretch in enumerate(stretches):
        for n in range(each):
            source, sequence, timestamp = stretch(n)
            now = (number * each + n) * 0.02
            positions.append(timeline.place(source, sequence % (1 << 16), timestamp % (1 << 32), now))
    return positions


def steady(positions: list[int | None]) -> None:
    kept = [one for one in positions if one is not None]
    steps = [b - a for a, b in itertools.pairwise(kept)]
    assert min(steps) > 0
    assert kept[-1] - kept[0] == pytest.approx((len(positions) - 1) * FRAME, abs=FRAME * 2)


@pytest.mark.parametrize(
    "then",
    [
        lambda n: (1, 1050 + n, 5_000 + n * FRAME),  # its time begins anew, its numbers go on
        lambda n: (1, 1050 + n, (1 << 31) + 77_000 + n * FRAME),  # its time leaps ahead
        lambda n: (1, 1050 + n, 900_000 + 48_000 * 30 + n * FRAME),  # by half a minute
        lambda n: (2, 30_000 + n, 17 + n * FRAME),  # another source
        lambda n: (2, 1050 + n, 900_000 + (50 + n) * FRAME),  # another source that counts as the first did
        lambda n: (1, 1050 + n, 900_000 + (50 + n) * FRAME),  # nothing at all
    ],
)
def test_after_a_jump_the_sound_goes_on_where_it_was(then):
    positions = placed(lambda n: (1, 1000 + n, 900_000 + n * FRAME), then)
    assert None not in positions
    steady(positions)


def test_a_sender_that_counts_anew_is_heard_again_soon():
    positions = placed(lambda n: (1, 40_000 + n, 900_000 + n * FRAME), lambda n: (1, 100 + n, 5 + n * FRAME))
    assert positions.count(None) < 20
    steady(positions)


def test_numbers_and_times_that_wrap_are_no_jump():
    positions = placed(lambda n: (1, 65_510 + n, (1 << 32) - 10 * FRAME + n * FRAME), each=100)
    assert positions == [n * FRAME for n in range(100)]


def test_a_pause_of_the_sender_is_kept():
    timeline = Timeline()
    assert timeline.place(1, 1, 1000, 0.0) == 0
    assert timeline.place(1, 2, 1000 + 48_000 * 60, 60.0) == 48_000 * 60
    assert timeline.place(1, 3, 1000 + 48_000 * 60 + FRAME, 60.02) == 48_000 * 60 + FRAME


def test_what_is_late_or_doubled_is_left_out():
    timeline = Timeline()
    positions = [timeline.place(1, n, n * FRAME, n * 0.02) for n in (0, 1, 3, 2, 3, 4)]
    assert positions == [0, FRAME, 3 * FRAME, None, None, 4 * FRAME]


def test_empty_and_foreign_packets_are_counted_and_not_passed_on():
    voice, heard = Voice(SimpleNamespace(_RTCRtpReceiver__codecs={})), []
    voice.join(lambda data, position: heard.append((data, position)))

    def take(number: int, data: bytes, codec: Any = OPUS) -> None:
        voice.taken(SimpleNamespace(ssrc=1, sequence_number=number, timestamp=number * FRAME), data, codec)

    take(0, b"a")
    take(1, b"")
    take(2, b"pcm", SimpleNamespace(name="PCMU"))
    take(3, b"b")
    assert heard == [(b"a", 0), (b"b", 3 * FRAME)]
    assert voice.left_out.counts == {EMPTY: 1, NOT_OPUS: 1}
