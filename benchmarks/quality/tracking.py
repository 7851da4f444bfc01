"""Tracking: how one signal follows another: correlation, slope, and by how much it comes later. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import butter, sosfiltfilt

from benchmarks.quality.instruments.face import SIGNALS

KEYS = tuple(signal.replace(" ", "_") for signal in SIGNALS)
"What the columns of each signal begin with."
RATE = 100.0
"Signals are compared at so many samples a second."
BAND = (0.3, 8.0)
"Hertz that count for the lag: slower drifts have no sharp time, what is quicker is noise."
MOST_LAG = 0.5
SHORTEST = 1.5
"Seconds below which a film is too short to say."
ALIKE = 0.6
"Correlation below which a peak is nobody's lag."
STILL = 5.0
"A driver whose signal moves less than this many times the meter's own trembling is still."


@dataclass(frozen=True)
class Followed:
    """How one signal follows."""

    correlation: float
    slope: float
    lag: float
    "Milliseconds that it comes later."


def followed(times: np.ndarray, driver: np.ndarray, shown: np.ndarray, trembling: float) -> Followed | None:
    """How `shown` [T] follows `driver` [T] at `times` [T] seconds; NaN where no face was seen. None where the driver is still."""
    seen = np.isfinite(driver) & np.isfinite(shown)
    if seen.sum() < 8 or np.ptp(times[seen]) < SHORTEST or driver[seen].std() <= STILL * trembling:
        return None
    x, y = driver[seen], shown[seen]
    slope = float(np.cov(x, y)[0, 1] / x.var(ddof=1))
    if y.std() < 1e-9:
        return Followed(0.0, 0.0, np.nan)
    return Followed(float(np.corrcoef(x, y)[0, 1]), slope, 1000 * lag(times[seen], x, y, trembling))


def lag(times: np.ndarray, driver: np.ndarray, shown: np.ndarray, trembling: float = 0.0) -> float:
    """Seconds that `shown` comes later, by the peak of the normalised cross-correlation within MOST_LAG. NaN where there is none, and
    where the driver moves too slowly to tell: within BAND less than STILL times the meter's `trembling`."""
    even = np.arange(times[0], times[-1], 1 / RATE)
    band = butter(2, BAND, "band", fs=RATE, output="sos")
    x, y = (sosfiltfilt(band, np.interp(even, times, one)) for one in (driver, shown))
    if x.std() <= STILL * trembling:
        return float("nan")
    most = int(MOST_LAG * RATE)
    shifts = np.arange(-most, most + 1)
    alike = np.array([_correlation(x, y, shift) for shift in shifts])
    best = int(np.argmax(alike))
    if best in (0, len(shifts) - 1) or alike[best] < ALIKE:
        return float("nan")
    before, here, after = alike[best - 1 : best + 2]
    bend = before - 2 * here + after
    return float((shifts[best] + (0.5 * (before - after) / bend if bend else 0.0)) / RATE)


def figures(times: np.ndarray, driver: np.ndarray, shown: np.ndarray, trembling: np.ndarray) -> dict[str, float]:
    """Columns of all SIGNALS, of [T, 9] each, with the meter's `trembling` [9]; those whose driver is still are left out."""
    made = {}
    for k, key in enumerate(KEYS):
        found = followed(times, driver[:, k], shown[:, k], float(trembling[k]))
        if found is not None:
            made |= {
                f"{key}_correlation": found.correlation,
                f"{key}_slope": found.slope,
                f"{key}_lag": found.lag,
            }
    return made


def _correlation(x: np.ndarray, y: np.ndarray, shift: int) -> float:
    a, b = (x[: len(x) - shift], y[shift:]) if shift >= 0 else (x[-shift:], y[:shift])
    scale = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / scale) if scale > 0 else 0.0
