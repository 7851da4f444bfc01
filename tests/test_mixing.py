"""Everybody hears all but themselves, from where they sit, never louder than can be; and a voice with gaps plays evenly."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from server.media.mixing import LIMIT, LOUDEST, Mixer, limited, loudness, pan
from server.media.playout import BLOCK, CONCEALED, Playout
from server.media.speaking import EVERY, HOLD, Speakers, Speaking, level
from server.tally import Tally
from server.webrtc.mixer import Decoder, Desk, Encoder

SECONDS = 1.0
TONES = {1: 300.0, 2: 500.0, 3: 700.0, 4: 1100.0, 5: 1300.0, 6: 1700.0, 7: 1900.0, 8: 2300.0}
"Hz, by seat."


def tone(seat: int, size: float = 0.1) -> np.ndarray:
    t = np.arange(round(48_000 * SECONDS)) / 48_000
    return (size * np.sin(2 * np.pi * TONES[seat] * t)).astype(np.float32)


def mixed(voices: dict[int, np.ndarray], seats: list[int]) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """(everybody's mix, each seat's own) over all of SECONDS."""
    mixer, whole, own = Mixer(), [], {seat: [] for seat in seats}
    for at in range(0, round(48_000 * SECONDS), BLOCK):
        mixes = mixer.mix({seat: voice[at : at + BLOCK] for seat, voice in voices.items()}, seats)
        whole.append(mixes.everybody)
        for seat in seats:
            own[seat].append(mixes.without.get(seat, mixes.everybody))
    return np.concatenate(whole), {seat: np.concatenate(blocks) for seat, blocks in own.items()}


def heard(mix: np.ndarray, frequency: float) -> float:
    """dB of a tone in [N, 2], both channels together."""
    steady = mix[4800:]
    spectrum = (np.abs(np.fft.rfft(steady * np.hanning(len(steady))[:, None], axis=0)) ** 2).sum(1)
    at = round(frequency * len(steady) / 48_000)
    return 10 * math.log10(float(spectrum[at - 3 : at + 4].sum()) + 1e-12)


@pytest.mark.parametrize("count", [3, 4])
def test_each_hears_the_others_and_not_itself(count):
    seats = list(range(1, count + 1))
    speaking = seats[:LOUDEST]
    whole, own = mixed({seat: tone(seat) for seat in speaking}, seats)
    for listener in seats:
        for speaker in speaking:
            difference = heard(own[listener], TONES[speaker]) - heard(whole, TONES[speaker])
            if listener == speaker:
                assert difference < -40
            else:
                assert abs(difference) < 1


def test_no_more_than_the_three_loudest_are_heard():
    sizes = {seat: 0.2 / seat for seat in range(1, 9)}
    whole, _ = mixed({seat: tone(seat, size) for seat, size in sizes.items()}, list(range(1, 9)))
    by_seat = {seat: heard(whole, TONES[seat]) for seat in sizes}
    assert all(by_seat[seat] > by_seat[1] - 15 for seat in (1, 2, 3))
    assert all(by_seat[seat] < by_seat[1] - 40 for seat in range(4, 9))


def test_who_is_heard_does_not_change_for_trifles():
    mixer, seats = Mixer(), [1, 2, 3, 4]
    mixer.mix({seat: tone(seat)[:BLOCK] for seat in seats}, seats)
    before = set(mixer._heard)
    for block in range(40):
        sizes = {seat: 0.1 * (1.2 if (block + seat) % 4 == 0 else 1.0) for seat in seats}
        mixer.mix({seat: tone(seat, size)[:BLOCK] for seat, size in sizes.items()}, seats)
        assert set(mixer._heard) == before
    mixer.mix(
        {**{seat: tone(seat)[:BLOCK] for seat in before}, (({*seats} - before).pop()): tone(1, 0.9)[:BLOCK]}, seats
    )
    assert set(mixer._heard) != before


def test_voices_come_and_go_without_a_click():
    mixer, blocks = Mixer(), []
    for number in range(10):
        at = number * BLOCK
        voices = {1: tone(1)[at : at + BLOCK]} | ({2: tone(2, 0.5)[at : at + BLOCK]} if number >= 3 else {})
        blocks.append(mixer.mix(voices, [1, 2]).everybody)
    joined = np.concatenate(blocks)
    steepest = 2 * np.pi * (0.1 * TONES[1] + 0.5 * TONES[2]) / 48_000
    assert np.abs(np.diff(joined, axis=0)).max() < 1.2 * steepest


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 8).flatmap(lambda places: st.tuples(st.integers(0, places - 1), st.just(places))))
def test_wherever_a_voice_stands_it_is_as_loud(where):
    place, places = where
    left, right = pan(place, places)
    assert left**2 + right**2 == pytest.approx(1.0)
    assert (left, right) == pytest.approx(pan(places - 1 - place, places)[::-1])
    assert min(left, right) > 0.1, "nobody is heard by one ear alone"


@settings(max_examples=30, deadline=None)
@given(st.floats(0.01, 20.0))
def test_nothing_is_louder_than_the_limit_and_quiet_sound_is_not_touched(size):
    mix = np.linspace(-size, size, 999, dtype=np.float32)[:, None].repeat(2, 1)
    found = limited(mix)
    assert np.abs(found).max() <= LIMIT + 1e-6
    assert (np.diff(found[:, 0]) >= 0).all()
    small = np.abs(mix) <= 0.6
    assert (found[small] == mix[small]).all()


# ---- one voice ----


class Counting:
    """Decodes a packet into its own number, and conceals with -1."""

    def decode(self, payload: bytes) -> np.ndarray:
        return np.full(BLOCK, float(payload[0]), np.float32)

    def conceal(self) -> np.ndarray:
        return np.full(BLOCK, -1.0, np.float32)


def played(*packets: int | None) -> list[float | None]:
    """What is heard in each tick while `packets`, None where one is missing, come in time, and after them."""
    playout, found = Playout(Counting()), []
    for number in packets:
        if number is not None:
            playout.put(bytes([number]), number * BLOCK)
        block = playout.take()
        found.append(None if block is None else float(block[0]))
    for _ in range(6):
        block = playout.take()
        found.append(None if block is None else float(block[0]))
    return found


def test_a_voice_plays_a_tick_after_it_has_come_and_ends_softly():
    assert played(0, 1, 2, 3) == [None, 0, 1, 2, 3, *[-1] * CONCEALED, None, None]


def test_what_is_lost_is_concealed_and_the_rest_keeps_its_time():
    assert played(0, 1, None, 3, 4)[:6] == [None, 0, 1, -1, 3, 4]


def test_a_pause_of_the_sender_is_no_loss():
    found = played(0, 1, *[None] * 20, 22, 23)
    assert found.count(-1) == 2 * CONCEALED
    assert [one for one in found if one is not None and one >= 0] == [0, 1, 22, 23]


def test_what_comes_late_is_played_late():
    playout, found = Playout(Counting()), []
    for come in ([0], [1], [], [2, 3], [4], [5]):
        for number in come:
            playout.put(bytes([number]), number * BLOCK)
        block = playout.take()
        found.append(None if block is None else float(block[0]))
    assert found == [None, 0, 1, 2, 3, 4]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=5, max_size=60))
def test_however_packets_come_blocks_are_whole_and_in_order(counts):
    playout, number, heard_before = Playout(Counting()), 0, -1.0
    for count in counts:
        for _ in range(count):
            playout.put(bytes([number % 256]), number * BLOCK)
            number += 1
        block = playout.take()
        if block is not None:
            assert block.shape == (BLOCK,)
            really = [one for one in (float(block[0]), float(block[-1])) if one >= 0]
            for one in really:
                assert one >= heard_before
                heard_before = one


def test_too_much_that_waits_is_worked_off_where_it_is_quiet():
    class Quiet(Counting):
        def decode(self, payload: bytes) -> np.ndarray:
            return np.full(BLOCK, 1e-4, np.float32)

    playout = Playout(Quiet())
    for number in range(5):
        playout.put(b"a", number * BLOCK)
    taken = 0
    for number in range(5, 400):
        playout.put(b"a", number * BLOCK)
        taken += playout.take() is not None
    waiting = len(playout._ready) + BLOCK * len(playout._packets)
    assert waiting < 3 * BLOCK
    assert playout.concealed == 0


# ---- who speaks ----


def spoken(speaking: Speaking, levels: dict[int, float], begin: float, seconds: float) -> list[Speakers]:
    found = []
    for step in range(round(seconds / 0.02)):
        for seat, one in levels.items():
            speaking.hear(seat, one, begin + step * 0.02)
        if (news := speaking.news(begin + step * 0.02)) is not None:
            found.append(news)
    return found


def test_who_speaks_is_told_soon_and_who_stops_a_little_later():
    speaking = Speaking()
    assert spoken(speaking, {1: 30.0, 2: 90.0}, 0.0, 1.0) == [Speakers((1,), 1)]
    assert spoken(speaking, {1: 90.0, 2: 90.0}, 1.0, HOLD - 0.3) == []
    assert spoken(speaking, {1: 90.0, 2: 90.0}, 1.0 + HOLD - 0.3, 1.0) == [Speakers((), 1)]


def test_a_cough_is_no_speech():
    speaking = Speaking()
    assert spoken(speaking, {1: 20.0}, 0.0, 0.1) == []
    assert spoken(speaking, {1: 90.0}, 0.1, 1.0) == []


def test_the_loudest_changes_only_for_who_is_clearly_or_lastingly_louder():
    speaking = Speaking()
    spoken(speaking, {1: 25.0, 2: 28.0}, 0.0, 2.0)
    assert speaking.news(2.3) is None
    assert spoken(speaking, {1: 25.0, 2: 23.0}, 2.0, 1.0) == []
    assert spoken(speaking, {1: 25.0, 2: 23.0}, 3.0, 3.0)[-1].loudest == 2
    assert spoken(speaking, {1: 10.0, 2: 23.0}, 6.0, 1.5)[-1].loudest == 1


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from([10.0, 90.0]), min_size=30, max_size=300))
def test_nobody_is_told_more_than_four_times_a_second(levels):
    speaking, times = Speaking(), []
    for step, one in enumerate(levels):
        speaking.hear(step % 3, one, step * 0.02)
        if speaking.news(step * 0.02) is not None:
            times.append(step * 0.02)
    assert all(b - a >= EVERY - 1e-9 for a, b in pairwise(times))


def test_who_is_gone_speaks_no_more():
    speaking = Speaking()
    spoken(speaking, {1: 20.0}, 0.0, 1.0)
    speaking.forget(1)
    assert speaking.news(1.3) == Speakers((), None)


def test_levels_are_those_of_rfc_6464():
    assert level(np.zeros(960, np.float32)) == 127
    assert level(np.ones(960, np.float32)) == 0
    assert level(np.full(960, 0.1, np.float32)) == pytest.approx(20)
    assert loudness(np.full(960, 0.1, np.float32)) == pytest.approx(0.1)


# ---- the desk ----


def test_whoever_is_silent_shares_one_encoder():
    """Eight listen, three of them speak: four encodes a tick, not eight."""
    seats, desk = list(range(1, 9)), Desk(Tally(structlog.get_logger(__name__)))
    coded = {seat: Encoder() for seat in (1, 2, 3)}
    counts, packets = [], {}
    for number in range(20):
        at = slice(number * BLOCK, (number + 1) * BLOCK)
        came = [
            (seat, encoder.encode(np.stack([tone(seat)[at]] * 2, 1)), number * BLOCK) for seat, encoder in coded.items()
        ]
        packets = desk.tick(came, seats, frozenset(seats))
        counts.append(len(packets))
    assert counts[:1] == [1], "nobody is heard in the first tick"
    assert counts[5:] == [4] * 15
    assert set(packets) == {None, 1, 2, 3}


def test_a_lost_packet_is_concealed_by_the_codec_itself():
    encoder, decoder = Encoder(), Decoder(Tally(structlog.get_logger(__name__)))
    voice, heard = tone(1, 0.3), np.zeros(0)
    for number in range(20):
        at = slice(number * BLOCK, (number + 1) * BLOCK)
        heard = decoder.decode(encoder.encode(np.stack([voice[at]] * 2, 1)))
    assert decoder.conceal().shape == (BLOCK,)
    assert loudness(heard) > 0.1
    assert decoder.decode(b"\xff\xff\xff").shape == (BLOCK,), "what cannot be decoded is silence"
