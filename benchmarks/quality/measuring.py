"""Measuring: one avatar driven by one clip, beside its yardsticks: rows of figures, and every frame without a face counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from benchmarks.quality import likeness, pictures, steadiness, tracking
from benchmarks.quality.bench import Bench, Subject
from benchmarks.quality.columns import FID
from benchmarks.quality.driving import Driver, turned_back
from benchmarks.quality.instruments import inception
from benchmarks.quality.seen import Picture
from pipeline.frame import Frame
from pipeline.preprocess.observer import Observer

DRIVEN = ("as run", "matched", "raw")
"Conditions under which an avatar moves by itself; the others are yardsticks."

FID_OF = ("as run", "matched")


@dataclass(frozen=True)
class Row:
    """Figures of one moment, film or fan under one condition."""

    condition: str
    at: float
    "Seconds; NaN where they are of a whole film, or of a fan at rest."
    values: dict[str, float]


@dataclass(frozen=True)
class Failure:
    """What could not be measured, in words."""

    condition: str
    at: float | None
    why: str


@dataclass
class Measured:
    """All that is known of one pair, or of one fan."""

    rows: list[Row] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    looked: int = 0
    "Pictures of the avatar that were looked at."
    tracks: dict[str, np.ndarray] = field(default_factory=dict)
    "times [T], and of the driver and each condition [T, 9] signals."
    sheet: dict[str, np.ndarray] = field(default_factory=dict)
    """Of the median and the worst frame as run: `at` [2] seconds, and reference, output and the views from both ends
    [2, 256, 256, 3] uint8; and the `source` [256, 256, 3]."""
    deep: dict[str, list[np.ndarray]] = field(default_factory=dict)
    "Condition, and `reference`, -> Inception's features [2048] of every frame that was scored, where it was brought."
    films: dict[str, np.ndarray] = field(default_factory=dict)
    "`driver` and `shown` [T, 256, 256, 3] uint8."

    def film(self, condition: str, values: dict[str, float]) -> None:
        """Figures of a whole film, or of a fan at rest."""
        known = next((row for row in self.rows if row.condition == condition and np.isnan(row.at)), None)
        if known is None:
            self.rows.append(Row(condition, np.nan, values))
        else:
            known.values.update(values)


def measure(
    bench: Bench,
    subject: Subject,
    driver: Driver,
    itself: bool,
    swap: Picture | None,
    without: Sequence[str] = (),
) -> Measured:
    """The avatar of `subject` by `driver`. `itself`: the driver is the same clip, so that its frames are references. `swap` is
    somebody else. Some columns may be left out, `without`. Raises PortraitRejected."""
    avatar = bench.engine.enrol(subject.portrait)
    yaw, pitch = bench.left_in(avatar, subject)
    played = {
        "as run": bench.played(avatar, driver, lambda moment: moment.seen),
        "matched": bench.played(avatar, driver, lambda moment: turned_back(moment.seen, yaw, pitch)),
    }
    if all(moment.raw for moment in driver.moments):
        played["raw"] = bench.played(avatar, driver, lambda moment: moment.raw or moment.seen)
    measured = Measured()
    for condition, shown in played.items():
        blind = [moment.at for moment, one in zip(driver.moments, shown, strict=True) if one.look is None]
        measured.failures += [Failure(condition, at, "no face in the output") for at in blind]
        measured.looked += len(shown)
    _films(bench, driver, played, measured)
    frozen = bench.picture(bench.front(avatar, replace(subject.portrait, presence=0.0)))
    for place, index in enumerate(driver.scored):
        other = driver.scored[(place + len(driver.scored) // 2) % len(driver.scored)]
        candidates = {condition: shown[index] for condition, shown in played.items()}
        candidates |= {"frozen": frozen, "shuffled": played["as run"][other]}
        candidates |= {"swap": swap} if swap else {}
        _score(bench, subject, driver, index, candidates, itself, measured, without)
    _tremble(bench, avatar, driver, measured)
    _keep(bench, avatar, subject, driver, played["as run"], measured)
    return measured


def _score(
    bench: Bench,
    subject: Subject,
    driver: Driver,
    index: int,
    candidates: dict[str, Picture],
    itself: bool,
    measured: Measured,
    without: Sequence[str],
) -> None:
    """One frame beside its reference."""
    moment = driver.moments[index]
    assert moment.reference is not None
    truth = Picture(moment.reference.pixels, moment.look)
    meter = bench.picture(pictures.recut(truth.pixels))
    if inception.here() and FID not in without:
        for condition, picture in [("reference", truth), *((one, candidates[one]) for one in FID_OF)]:
            measured.deep.setdefault(condition, []).append(picture.deep)
    for condition, picture in (candidates | {"meter": meter}).items():
        if picture.look is None and condition not in DRIVEN:
            measured.failures.append(Failure(condition, moment.at, "no face in the yardstick"))
        values = likeness.figures(subject.source, truth, moment.reference.matte, picture, itself, without)
        measured.rows.append(Row(condition, moment.at, values))


def _films(bench: Bench, driver: Driver, played: dict[str, list[Picture]], measured: Measured) -> None:
    """What whole films say: tracking, and steadiness while moving."""
    times = np.array([moment.at for moment in driver.moments])
    looks = [moment.look for moment in driver.moments]
    truth = likeness.signals(looks)
    measured.tracks |= {"times": times, "driver": truth}
    trembling, metered = _metered(bench, driver)
    for condition, shown in played.items():
        seen = likeness.signals([picture.look for picture in shown])
        measured.tracks[condition] = seen
        values = tracking.figures(times, truth, seen, trembling)
        values |= steadiness.moving(looks, [picture.look for picture in shown]) | _unexplained(driver, shown)
        measured.film(condition, values)
    shown = measured.tracks["as run"]
    measured.film("shuffled", tracking.figures(times, truth, np.roll(shown, len(shown) // 2, axis=0), trembling))
    measured.film("frozen", tracking.figures(times, truth, np.zeros_like(truth), trembling) | {"moving": 0.0})
    measured.film("meter", metered | {"moving": 1.0, "warped": 1.0})


def _metered(bench: Bench, driver: Driver) -> tuple[np.ndarray, dict[str, float]]:
    """[9] how far a signal differs between a reference and itself recut; and how the meter follows itself."""
    pairs = []
    for index in driver.scored:
        moment = driver.moments[index]
        assert moment.reference is not None
        assert moment.look is not None
        again = bench.looker.look(pictures.recut(moment.reference.pixels))
        if again is not None:
            pairs.append((moment.look.signals, again.signals))
    if len(pairs) < 2:
        return np.full(len(tracking.SIGNALS), 1e-3), {}
    one, other = (np.stack(side) for side in zip(*pairs, strict=True))
    values = {}
    for k, key in enumerate(tracking.KEYS):
        if len(pairs) > 5 and one[:, k].std() > 1e-6:
            values[f"{key}_correlation"] = float(np.corrcoef(one[:, k], other[:, k])[0, 1])
            values[f"{key}_slope"] = float(np.polyfit(one[:, k], other[:, k], 1)[0])
    return (other - one).std(0), values


def _tremble(bench: Bench, avatar: object, driver: Driver, measured: Measured) -> None:
    """A driver held still before a camera with noise, through an Observer of its own."""
    if driver.held is None:
        return
    inputs, outputs = steadiness.noisy(driver.held.pixels), []
    with Observer(bench.engine.wants) as observer:
        for number, pixels in enumerate(inputs):
            seen = observer.observe(Frame(pixels, number / steadiness.RATE, number))
            outputs.append(bench.front(avatar, seen))
    for condition, shown in (("as run", outputs), ("meter", inputs)):
        measured.film(condition, steadiness.at_rest(shown, [bench.looker.look(one) for one in shown]))
    measured.film("frozen", {"rest_points": 0.0, "rest_pixels": 0.0})


def _unexplained(driver: Driver, shown: list[Picture]) -> dict[str, float]:
    found = []
    for index in driver.scored:
        after = index + 1
        if after < len(shown) and driver.moments[after].look is not None:
            first, second = (driver.moments[k].small for k in (index, after))
            found.append(steadiness.unexplained(first, second, shown[index].small, shown[after].small))
    return {"warped": float(np.median(found))} if found else {}


def _keep(
    bench: Bench, avatar: object, subject: Subject, driver: Driver, shown: list[Picture], measured: Measured
) -> None:
    """What the sheet and the page show."""
    measured.films |= {
        "driver": np.stack([moment.small for moment in driver.moments]),
        "shown": np.stack([picture.small for picture in shown]),
    }
    if not driver.scored:
        return
    bad = {row.at: _badness(row.values) for row in measured.rows if row.condition == "as run" and not np.isnan(row.at)}
    ordered = sorted(driver.scored, key=lambda index: bad[driver.moments[index].at])
    chosen = [ordered[len(ordered) // 2], ordered[-1]]
    ends = [bench.beside(avatar, driver.moments[index].seen) for index in chosen]
    measured.sheet |= {
        "at": np.array([driver.moments[index].at for index in chosen]),
        "source": subject.source.small,
        "reference": np.stack([driver.moments[index].small for index in chosen]),
        "output": np.stack([shown[index].small for index in chosen]),
        "left": np.stack([one[0] for one in ends]),
        "right": np.stack([one[1] for one in ends]),
    }


def _badness(values: dict[str, float]) -> float:
    """By which frames are put in order: likeness to the reference where there is one, else what the face does; blind ones last."""
    return values.get("stlpips", values.get("expression", values.get("points", values.get("yaw", np.inf))))
