"""Sound that brings along what went before it: packets as RFC 2198 lays them out, answers that offer it to those who take it."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from server.webrtc.redundancy import (
    FEW,
    LONGEST_BLOCK,
    MANY,
    MOST_BYTES,
    Redundancy,
    Repeating,
    answered,
    offered,
    pack,
)

FRAME = 960
CHROMIUM = (
    "v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=recvonly\r\na=rtpmap:96 VP8/90000\r\n"
    "m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9\r\na=mid:1\r\na=recvonly\r\na=rtpmap:111 opus/48000/2\r\n"
    "a=fmtp:111 minptime=10;useinbandfec=1\r\na=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\na=rtpmap:9 G722/8000\r\n"
)
OURS = (
    "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:1\r\na=sendonly\r\na=rtpmap:111 opus/48000/2\r\n"
    "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=sendonly\r\na=rtpmap:96 VP8/90000\r\n"
)


def unpack(payload: bytes, position: int) -> dict[int, bytes]:
    """What a receiver makes of a RED payload: position -> packet."""
    sizes, at = [], 0
    while payload[at] & 0x80:
        header = int.from_bytes(payload[at : at + 4], "big")
        assert header >> 24 & 0x7F == 111
        sizes.append((position - (header >> 10 & 0x3FFF), header & 0x3FF))
        at += 4
    assert payload[at] == 111
    at, found = at + 1, {}
    for where, size in sizes:
        found[where] = payload[at : at + size]
        at += size
    return {**found, position: payload[at:]}


def test_one_lost_packet_in_twenty_is_brought_by_those_after_it():
    chance, repeating, came = random.Random(2), Repeating(111), {}
    packets = {n * FRAME: bytes([n % 251]) * (20 + n % 90) for n in range(2000)}
    for position, packet in packets.items():
        sent = repeating.pack(packet, position, lost=0.05)
        if chance.random() > 0.05:
            came |= unpack(sent, position)
    assert all(packets[position] == packet for position, packet in came.items())
    assert len(came) > 0.999 * len(packets)


def test_where_little_is_lost_only_one_is_said_again():
    repeating = Repeating(111)
    brought = [len(unpack(repeating.pack(b"abc", n * FRAME, lost=0.0), n * FRAME)) - 1 for n in range(4)]
    assert brought == [0, FEW, FEW, FEW]
    assert len(unpack(repeating.pack(b"abc", 4 * FRAME, lost=0.1), 4 * FRAME)) - 1 == MANY


def test_silence_is_not_said_again_and_what_is_far_away_is_left_out():
    repeating = Repeating(111)
    repeating.pack(b"abc", 0, 0.0)
    assert len(unpack(repeating.pack(b"\x78", FRAME, 0.0), FRAME)) == 2
    later = 48_000
    assert unpack(repeating.pack(b"def", later, 0.0), later) == {later: b"def"}


@given(st.lists(st.binary(min_size=1, max_size=1300), min_size=1, max_size=3), st.integers(1, 20_000))
def test_whatever_is_packed_is_found_and_no_packet_grows_too_long(packets: list[bytes], step: int):
    *earlier, last = [(one, n * step) for n, one in enumerate(packets)]
    packed = pack(111, last[0], last[1], earlier)
    found = unpack(packed, last[1])
    assert found[last[1]] == last[0]
    assert all((one, at) in [*earlier, last] for at, one in found.items())
    assert len(packed) <= max(MOST_BYTES, len(last[0])) + 4 * len(earlier) + 1
    assert all(len(one) <= LONGEST_BLOCK for at, one in found.items() if at != last[1])


def test_an_answer_offers_it_to_whoever_takes_it_where_sound_is_sent():
    assert offered(CHROMIUM) == Redundancy(63, 111)
    answer = answered(OURS, CHROMIUM)
    assert "m=audio 9 UDP/TLS/RTP/SAVPF 111 63\r\n" in answer
    assert "a=rtpmap:111 opus/48000/2\r\na=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\nm=video" in answer
    alone = CHROMIUM.replace("red/48000/2", "telephone-event/8000")
    assert (offered(alone), answered(OURS, alone)) == (None, OURS)
    from_caller = OURS.replace("a=sendonly", "a=recvonly")
    assert answered(from_caller, CHROMIUM) == from_caller
