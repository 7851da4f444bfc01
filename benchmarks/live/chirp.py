"""Chirp: sound that carries its time, readable after speech coding and stretching: a tone that climbs for a second, again and again."""

from __future__ import annotations

import av
import numpy as np

RATE = 48_000
PERIOD = 1.0
"Seconds after which it begins anew, without a jump in phase."
LOWEST, CLIMB = 400.0, 800.0
"Hz, and Hz a second: a millisecond is 0.8 Hz, and all of it lies in the band of every speech coder."
BLOCK = 960
"Samples that are read at once: 20 ms."
QUIET = 200.0
"Of 32768: a block whose loudness is less holds no tone."


def wave(begin: int, count: int) -> np.ndarray:
    """[count] int16, a quarter of full scale, from sample `begin` on."""
    t = (begin + np.arange(count)) % round(RATE * PERIOD) / RATE
    return np.round(8000 * np.sin(2 * np.pi * (LOWEST * t + CLIMB * t * t / 2))).astype(np.int16)


def read(block: np.ndarray) -> float | None:
    """The time within PERIOD of the middle of `block` ([N] int16); None where there is no clear tone, or where it begins anew."""
    samples = block.astype(np.float64)
    if len(samples) < BLOCK // 2 or np.sqrt((samples**2).mean()) < QUIET:
        return None
    t = (np.arange(len(samples)) - (len(samples) - 1) / 2) / RATE
    size = 8 * len(samples)
    # without its climb the tone is one line in the spectrum, at its frequency in the middle
    straight = samples * np.hanning(len(samples)) * np.exp(-1j * np.pi * CLIMB * t * t)
    power = np.abs(np.fft.fft(straight, size))[: size // 2] ** 2
    peak = int(power.argmax())
    width = 3 * 8
    if not 0 < peak < len(power) - 1 or power[max(0, peak - width) : peak + width].sum() < 0.8 * power.sum():
        return None
    before, at, after = np.log(power[peak - 1 : peak + 2] + 1e-9)
    frequency = (peak + (before - after) / (2 * (before - 2 * at + after))) * RATE / size
    seconds = (frequency - LOWEST) / CLIMB
    return seconds if 0.02 < seconds < PERIOD - 0.02 else None


def samples(frame: av.AudioFrame) -> np.ndarray:
    """[N] int16, of the first channel of decoded sound."""
    whole = frame.to_ndarray()
    first = whole[0] if frame.format.is_planar else whole[0, :: len(frame.layout.channels)]
    return first if first.dtype == np.int16 else np.round(first * 32767).astype(np.int16)
