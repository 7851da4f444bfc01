"""Pictures from packets: each with its own last packet, none empty, and no missing packet waited for longer than a moment."""

from __future__ import annotations

import random
from collections.abc import Iterable
from types import SimpleNamespace

import pytest
from aiortc.jitterbuffer import JitterBuffer
from aiortc.rtp import RtpPacket

from server.webrtc.jitter import MOST_PACKETS, PATIENCE, RESTART, Assembly, Coded

VP8 = SimpleNamespace(name="VP8")
APART = 0.01
"Seconds between two packets."


def packets(sizes: list[int], first: int = 65_500, marked: bool = True, ssrc: int = 1) -> list[RtpPacket]:
    """Pictures of so many packets each; sequence numbers wrap on the way."""
    made = []
    for picture, size in enumerate(sizes):
        for part in range(size):
            number = (first + len(made)) % 65_536
            packet = RtpPacket(
                sequence_number=number, timestamp=picture * 3000, marker=int(marked and part == size - 1), ssrc=ssrc
            )
            packet._data = f"{picture}.{part} ".encode()  # type: ignore[attr-defined]
            made.append(packet)
    return made


def padding(after: RtpPacket, number: int) -> RtpPacket:
    packet = RtpPacket(sequence_number=number, timestamp=after.timestamp, ssrc=after.ssrc)
    packet._data = b""  # type: ignore[attr-defined]
    return packet


def given(arriving: Iterable[RtpPacket], assembly: Assembly | None = None) -> list[tuple[int, bytes]]:
    """(packets that had come, data) of each picture given out."""
    assembly, out = assembly or Assembly(), []
    for came, packet in enumerate(arriving, 1):
        out += [(came, picture.data) for picture in put(assembly, packet, came * APART)]
    return out


def put(assembly: Assembly, packet: RtpPacket, now: float) -> list[Coded]:
    return assembly.add(packet, packet._data, VP8, now)  # type: ignore[attr-defined]


def of_aiortc(arriving: Iterable[RtpPacket]) -> list[tuple[int, bytes]]:
    buffer, out = JitterBuffer(capacity=128, is_video=True), []
    for came, packet in enumerate(arriving, 1):
        _, frame = buffer.add(packet)
        if frame is not None:
            out.append((came, frame.data))
    return out


def test_a_picture_is_given_with_its_last_packet():
    assert [came for came, _ in given(packets([3, 1, 2]))] == [3, 4, 6]
    assert [came for came, _ in of_aiortc(packets([3, 1, 2]))] == [4, 5]


@pytest.mark.parametrize("marked", [True, False])
def test_the_pictures_are_aiortcs_pictures_in_order_or_not(marked):
    sizes = [random.Random(7).randint(1, 9) for _ in range(60)]
    straight = packets(sizes, marked=marked)
    shuffled = straight[:1]
    for start in range(1, len(straight), 4):
        some = straight[start : start + 4]
        random.Random(start).shuffle(some)
        shuffled += some
    for arriving in (straight, shuffled):
        ours = [data for _, data in given(arriving)]
        plain = [data for _, data in of_aiortc(arriving)]
        assert ours[: len(plain)] == plain
        assert len(ours) >= len(plain)


def test_a_picture_with_a_hole_waits_for_the_missing_packet():
    a, b, c, d = packets([3, 1])
    assert given([a, c, d, b]) == [(4, b"0.0 0.1 0.2 "), (4, b"1.0 ")]


def test_what_waited_is_given_out_at_once_and_not_a_picture_a_packet():
    """One packet a picture: aiortc's buffer, which gives one picture for each packet, would never catch up again."""
    one = packets([1] * 9)
    assert [came for came, _ in given([one[0], *one[2:6], one[1], *one[6:]])] == [1, 6, 6, 6, 6, 6, 7, 8, 9]


@pytest.mark.parametrize("where", ["after a picture", "in a picture", "before all", "alone as a picture"])
def test_padding_is_no_picture_and_ends_none(where):
    whole = packets([2, 2, 2], first=100)
    at = {"after a picture": 2, "in a picture": 3, "before all": 0, "alone as a picture": 4}[where]
    filler = padding(whole[max(0, at - 1)], 100 + at)
    if where == "alone as a picture":
        filler.timestamp, filler.marker = 12_345, 1
    for packet in whole[at:]:
        packet.sequence_number += 1
    pictures = [data for _, data in given([*whole[:at], filler, *whole[at:]])]
    assert pictures == [b"0.0 0.1 ", b"1.0 1.1 ", b"2.0 2.1 "]


def test_a_lost_packet_is_given_up_after_a_moment_and_what_follows_says_so():
    stream = packets([2] * 60)
    assembly, out = Assembly(), []
    for number, packet in enumerate(stream):
        if number != 21:  # the second packet of picture 10
            out += [(number * APART, picture) for picture in put(assembly, packet, number * APART)]
    pictures = [picture.timestamp // 3000 for _, picture in out]
    assert pictures == [*range(10), *range(11, 60)] or pictures == [*range(10), *range(12, 60)]
    first = next((at, one) for at, one in out if one.after_loss)
    assert first[0] == pytest.approx(22 * APART + PATIENCE, abs=2 * APART)
    assert sum(one.after_loss for _, one in out) == 1


def test_each_picture_knows_when_its_own_first_packet_came():
    a, b, c, d = packets([2, 2])
    assembly = Assembly()
    out = [picture for at, packet in enumerate([a, c, d, b]) for picture in put(assembly, packet, at * APART)]
    assert [picture.arrived for picture in out] == [0.0, APART]


@pytest.mark.parametrize("first", [10, 30_000, 40_000, 65_000])
def test_a_sender_that_counts_anew_is_followed(first):
    """Its new numbers may look like late ones, which are ignored, or like ones far ahead, before which all is missing."""
    arriving = [*packets([1] * 20, first=500), *packets([1] * 80, first=first)]
    assembly = Assembly()
    out = [picture for at, packet in enumerate(arriving) for picture in put(assembly, packet, at * APART)]
    assert len(out) >= 20 + 80 - RESTART - PATIENCE / APART - 2
    assert any(picture.after_loss for picture in out)


def test_another_source_is_followed_at_once():
    arriving = [*packets([2] * 5, first=500), *packets([2] * 5, first=7, ssrc=2)]
    assert [came for came, _ in given(arriving)] == [2, 4, 6, 8, 10, 12, 14, 16, 18, 20]


def test_late_retransmissions_change_nothing():
    stream = packets([1] * 60, first=100)
    assembly, out = Assembly(), []
    for at, packet in enumerate(stream):
        out += put(assembly, packet, at * APART)
        if at > 20:
            out += put(assembly, stream[at - 20], at * APART)
    assert [picture.timestamp for picture in out] == [3000 * number for number in range(60)]


def test_a_picture_that_never_ends_takes_no_more_than_so_much():
    endless = packets([MOST_PACKETS * 2 + 100], first=0)
    assembly = Assembly()
    for packet in endless[:-1]:
        assert put(assembly, packet, 0.0) == []
        assert len(assembly._picture) <= MOST_PACKETS


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_lost_doubled_or_late_pictures_come_in_order_and_whole(seed):
    luck = random.Random(seed)
    stream = packets([luck.randint(1, 5) for _ in range(100)])
    arriving = [
        (number * APART + luck.expovariate(1 / 0.02), packet)
        for number, packet in enumerate(stream)
        for _ in range(luck.choices([0, 1, 2], [3, 90, 7])[0])
    ]
    assembly, out = Assembly(), []
    for at, packet in sorted(arriving, key=lambda one: one[0]):
        out += put(assembly, packet, at)
    whole = {b"".join(p._data for p in stream if p.timestamp == number * 3000) for number in range(100)}  # type: ignore[attr-defined]
    stamps = [picture.timestamp for picture in out]
    assert stamps == sorted(set(stamps))
    assert {
        picture.data for picture in out[1:]
    } <= whole  # where the very first packets change places, the first is not
    assert len(out) > 40
