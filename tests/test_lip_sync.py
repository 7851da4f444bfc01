"""The measurement of lips and sound: a tone that carries its time survives coding, and distances come out as they were put in."""

from __future__ import annotations

import av
import numpy as np
import pytest

from benchmarks.live import chirp
from benchmarks.live.offsets import Aged, ages, gaps, offsets, steady, summary


def test_the_chirp_tells_the_time_after_speech_coding():
    encoder, decoder = av.CodecContext.create("libopus", "w"), av.CodecContext.create("libopus", "r")
    assert isinstance(encoder, av.AudioCodecContext)
    encoder.sample_rate, encoder.layout, encoder.format, encoder.bit_rate = chirp.RATE, "mono", "s16", 24_000
    told = []
    for number in range(100):
        frame = av.AudioFrame.from_ndarray(chirp.wave(number * chirp.BLOCK, chirp.BLOCK)[None], "s16", "mono")
        frame.sample_rate, frame.pts = chirp.RATE, number * chirp.BLOCK
        for packet in encoder.encode(frame):
            for heard in decoder.decode(av.Packet(bytes(packet))):
                assert isinstance(heard, av.AudioFrame)
                told.append(chirp.read(chirp.samples(heard)))
    clear = [(n, one) for n, one in enumerate(told) if one is not None]
    assert len(clear) > 85
    late = [(n * 0.02 + 0.01 - one) % 1.0 for n, one in clear[5:]]
    assert max(late) - min(late) < 0.003
    assert np.median(late) == pytest.approx(0.0065, abs=0.002), "the encoder's own look ahead"


def test_silence_and_noise_tell_no_time():
    assert chirp.read(np.zeros(960, np.int16)) is None
    assert chirp.read(np.random.default_rng(1).integers(-9000, 9000, 960).astype(np.int16)) is None


def test_an_offset_comes_out_as_it_was_put_in():
    at = np.arange(0.0, 10.0, 0.02)
    heard = ages(at, (at - 0.19) % 1.0, origin=0.0)
    times, found = offsets(Aged(at, np.full(500, 0.15)), heard, 0.0)
    assert found == pytest.approx(40.0)
    told = summary(times, found)
    assert told["median_ms"] == pytest.approx(40.0)
    assert told["first_second_within"] == 0
    assert told["within_40_early_60_late"] == 1.0
    assert summary(times, found - 200)["seconds_outside_90_early_185_late"] == pytest.approx(7.0, abs=0.3)


def test_chunks_that_were_read_late_are_put_back():
    really = np.arange(200) * 0.01
    late = np.where(np.arange(200) % 7 == 3, 0.05, 0.0)
    assert steady(5.0 + really + late, np.full(200, 480.0), 48_000) == pytest.approx(5.0 + really)


def test_gaps_in_a_tone_are_found():
    tone = chirp.wave(0, 48_000).copy()
    assert gaps(tone)["longest_ms"] <= 5
    tone[10_000:11_440] = 0
    assert gaps(tone)["longest_ms"] == pytest.approx(30, abs=5)
