"""A caller's sound goes on, whatever its sender does to its clock: positions grow with time, nobody is muted for hours."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from aiortc.rtp import RtcpReceiverInfo, RtcpRrPacket

from server.media.delay import Delay
from server.webrtc.audio import EMPTY, LATE, NOT_OPUS, Timeline, Voice
from tests.live import until

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


@pytest.mark.parametrize("before", [20_000, 40_000])
def test_a_sender_that_counts_anew_is_heard_again_soon(before):
    """By numbers of 16 bits, 100 comes before 20 000 and after 40 000."""
    positions = placed(lambda n: (1, before + n, 900_000 + n * FRAME), lambda n: (1, 100 + n, 5 + n * FRAME))
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


def test_what_is_late_gets_its_place():
    timeline = Timeline()
    positions = [timeline.place(1, n, n * FRAME, n * 0.02) for n in (0, 1, 3, 2, 3, 4)]
    assert positions == [0, FRAME, 3 * FRAME, 2 * FRAME, 3 * FRAME, 4 * FRAME]
    assert timeline.place(1, 3, 50_000_000, 0.1) is None, "its number is behind, its time is not"


def packet(number: int, level: int | None = None) -> Any:
    told = SimpleNamespace(audio_level=None if level is None else (True, level))
    return SimpleNamespace(ssrc=1, sequence_number=number, timestamp=number * FRAME, extensions=told)


def voice() -> Voice:
    return Voice(SimpleNamespace(_RTCRtpReceiver__codecs={}, _send_rtcp=None))


def seen(age: float) -> Delay:
    """Of a form whose pictures leave so old."""
    delay = Delay()
    delay.picture(age)
    return delay


async def test_empty_and_foreign_packets_are_counted_and_not_passed_on():
    talk, heard = voice(), []
    talk.join(seen(0.0), lambda data, position, captured: heard.append((data, position)))
    talk.taken(packet(0), b"abc", OPUS)
    talk.taken(packet(1), b"", OPUS)
    talk.taken(packet(2), b"pcm", SimpleNamespace(name="PCMU"))
    talk.taken(packet(3), b"def", OPUS)
    await until(lambda: len(heard) == 2)
    assert heard == [(b"abc", 0), (b"def", 3 * FRAME)]
    assert talk.left_out.counts == {EMPTY: 1, NOT_OPUS: 1}


async def test_each_form_hears_a_packet_when_its_own_picture_of_that_moment_leaves():
    talk, heard = voice(), {0.05: [], 0.2: []}
    begun = time.monotonic()
    for age, times in heard.items():
        talk.join(seen(age), lambda data, position, captured, times=times: times.append(time.monotonic() - begun))
    talk.taken(packet(0), b"abc", OPUS)
    assert talk.listeners == 2
    await until(lambda: all(heard.values()))
    assert heard[0.05][0] >= 0.05
    assert heard[0.2][0] >= 0.2


async def test_what_overtook_comes_in_order_and_nothing_comes_twice():
    talk, heard = voice(), []
    talk.join(seen(0.1), lambda data, position, captured: heard.append(position // FRAME))
    for number in (0, 2, 1, 1, 3):
        talk.taken(packet(number), b"abc", OPUS)
    await until(lambda: len(heard) == 4)
    assert heard == [0, 1, 2, 3]
    assert talk.left_out.counts == {LATE: 1}


async def test_who_leaves_hears_no_more_and_leaves_no_timer():
    talk, heard, delay = voice(), [], seen(0.05)
    take = lambda data, position, captured: heard.append(data)  # noqa: E731
    talk.join(delay, take)
    talk.taken(packet(0), b"abc", OPUS)
    talk.leave(delay, take)
    await asyncio.sleep(0.1)
    assert (heard, talk.listeners) == ([], 0)


async def test_sound_begins_with_the_first_picture():
    talk, shown = voice(), False
    track = talk.listen(seen(0.0), lambda: shown)
    talk.taken(packet(0), b"abc", OPUS)
    await asyncio.sleep(0.01)
    shown = True
    talk.taken(packet(1), b"def", OPUS)
    assert bytes(await asyncio.wait_for(track.recv(), 5)) == b"def"
    assert track.captured == pytest.approx(time.monotonic(), abs=5)
    track.stop()
    assert talk.listeners == 0


async def test_the_worst_of_the_viewers_links_is_told_to_the_caller():
    sent: list[Any] = []

    async def send(packet: Any) -> None:
        sent.append(packet)

    receiver = SimpleNamespace(_RTCRtpReceiver__codecs={}, _send_rtcp=send)
    talk, delay = Voice(receiver), seen(0.0)
    good, bad = talk.listen(delay), talk.listen(delay)
    for _ in range(30):
        good.reported(0.0)
        bad.reported(0.1)
    report = RtcpReceiverInfo(1, fraction_lost=5, packets_lost=0, highest_sequence=0, jitter=0, lsr=0, dlsr=0)
    await receiver._send_rtcp(RtcpRrPacket(ssrc=2, reports=[report]))
    assert sent[0].reports[0].fraction_lost == pytest.approx(25.6, abs=1)
    bad.stop()
    assert talk.lost == 0
    report.fraction_lost = 200
    await receiver._send_rtcp(RtcpRrPacket(ssrc=2, reports=[report]))
    assert sent[1].reports[0].fraction_lost == 200, "its own link is worse"
