"""Pictures from packets: the prompt buffer gives what aiortc's gives, one picture sooner."""

from __future__ import annotations

import random

import pytest
from aiortc.jitterbuffer import JitterBuffer
from aiortc.rtp import RtpPacket

from server.webrtc.jitter import PromptJitterBuffer


def packets(sizes: list[int], first: int = 65_500, marked: bool = True) -> list[RtpPacket]:
    """Pictures of so many packets each; sequence numbers wrap on the way."""
    made = []
    for picture, size in enumerate(sizes):
        for part in range(size):
            number = (first + len(made)) % 65_536
            packet = RtpPacket(
                sequence_number=number, timestamp=picture * 3000, marker=int(marked and part == size - 1)
            )
            packet._data = f"{picture}.{part} ".encode()  # type: ignore[attr-defined]
            made.append(packet)
    return made


def given(buffer: JitterBuffer, arriving: list[RtpPacket]) -> list[tuple[int, bytes]]:
    """(packets that had come, data) of each picture given out."""
    out = []
    for came, packet in enumerate(arriving, 1):
        _, frame = buffer.add(packet)
        if frame is not None:
            out.append((came, frame.data))
    return out


def test_a_picture_is_given_with_its_last_packet():
    assert [came for came, _ in given(PromptJitterBuffer(capacity=16), packets([3, 1, 2]))] == [3, 4, 6]
    assert [came for came, _ in given(JitterBuffer(capacity=16), packets([3, 1, 2]))] == [4, 5]


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
        prompt = [data for _, data in given(PromptJitterBuffer(capacity=128, is_video=True), arriving)]
        plain = [data for _, data in given(JitterBuffer(capacity=128, is_video=True), arriving)]
        assert prompt[: len(plain)] == plain
        assert len(prompt) >= len(plain)


def test_a_picture_with_a_hole_waits_for_the_missing_packet():
    a, b, c, d = packets([3, 1])
    assert given(PromptJitterBuffer(capacity=16), [a, c, d, b]) == [(4, b"0.0 0.1 0.2 ")]
