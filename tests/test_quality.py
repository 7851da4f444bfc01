"""Quality: floors of the instruments, intervals by person, comparisons that refuse, pairs as data, and files that are checked."""

from __future__ import annotations

import socket
from pathlib import Path

import numpy as np
import pytest

from benchmarks.quality import bar, bootstrap, comparing, papers, pictures, protocols, set_up, tracking
from benchmarks.quality.blind import wilson
from benchmarks.quality.columns import BY_NAME, NAMES
from benchmarks.quality.driving import turned_back
from benchmarks.quality.instruments import catalogue, expression
from benchmarks.quality.instruments.catalogue import Instrument, InstrumentMissing, Member, Package
from benchmarks.quality.instruments.face import BLENDSHAPES, angles_of
from benchmarks.quality.media import Media, MediaUnusable, Pair, read_pairs, write_pairs
from benchmarks.quality.results import Rows, figures, with_kept_share
from engines.contract import FaceObservation
from pipeline.likeness import graph
from pipeline.puppet import scripted

RANDOM = np.random.default_rng(3)


def rows(values: dict[str, np.ndarray], people: list[str], kind: str = "cross", condition: str = "as run") -> Rows:
    """Of pairs with ten seconds each, a value a second."""
    count = len(people)
    table = np.full((count * 10, len(NAMES)), np.nan, np.float32)
    for name, one in values.items():
        table[:, NAMES.index(name)] = one
    return Rows(
        np.full(count * 10, kind),
        np.repeat(people, 10),
        np.repeat([f"{person} {number}" for number, person in enumerate(people)], 10),
        np.full(count * 10, condition, "U16"),
        np.tile(np.arange(10.0), count),
        table,
    )


def test_a_picture_beside_itself_is_the_floor_and_noise_is_not():
    picture = RANDOM.integers(0, 256, (96, 96, 3), np.uint8)
    noisy = np.clip(picture + RANDOM.normal(0, 8, picture.shape), 0, 255).astype(np.uint8)
    assert pictures.psnr(picture, picture) == pictures.IDENTICAL
    assert pictures.ssim(picture, picture) == pytest.approx(1.0)
    assert pictures.psnr(picture, noisy) == pytest.approx(20 * np.log10(255 / 8), abs=0.5)
    assert pictures.ssim(picture, noisy) < 0.998


def test_ssim_is_scikit_images():
    from skimage.metrics import structural_similarity

    a = RANDOM.integers(0, 256, (80, 80), np.uint8)
    b = np.clip(a + RANDOM.normal(0, 20, a.shape), 0, 255).astype(np.uint8)
    theirs = structural_similarity(a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255)
    assert pictures.ssim(np.dstack([a] * 3), np.dstack([b] * 3)) == pytest.approx(np.asarray(theirs).item(), abs=2e-3)


@pytest.mark.parametrize("late", [0.0, 0.033, 0.08, -0.06])
def test_a_lag_is_read_to_some_milliseconds(late: float):
    times = np.arange(0, 8, 1 / 25)

    def speech(t: np.ndarray) -> np.ndarray:
        return np.sin(2 * np.pi * 2.3 * t) * (1 + 0.5 * np.sin(2 * np.pi * 0.7 * t)) + 0.3 * np.sin(2 * np.pi * 3.7 * t)

    assert tracking.lag(times, speech(times), 0.8 * speech(times - late)) == pytest.approx(late, abs=0.006)


def test_a_still_driver_is_followed_by_nobody():
    times = np.arange(0, 4, 1 / 25)
    still, other = RANDOM.normal(0, 1e-3, len(times)), RANDOM.normal(0, 1, len(times))
    assert tracking.followed(times, still, other, trembling=1e-3) is None


def test_an_interval_is_of_people_and_not_of_frames():
    people = np.repeat(["a", "b", "c", "d"], 50)
    values = np.repeat([0.0, 1.0, 2.0, 3.0], 50) + RANDOM.normal(0, 0.01, 200)
    seconds = np.tile(np.arange(50), 4)
    found = bootstrap.interval(values, people, people, seconds)
    assert found is not None
    assert (found.people, found.pairs, found.values) == (4, 4, 200)
    assert found.low < 0.8
    assert found.high > 2.2
    alone = bootstrap.interval(values[:50], people[:50], people[:50], seconds[:50])
    assert alone is not None
    assert alone.half < 0.02


def test_a_difference_is_called_better_only_where_its_interval_does_not_hold_zero():
    people = [f"person {k}" for k in range(8)]
    before = RANDOM.normal(1.0, 0.3, 80)
    small, large = before + RANDOM.normal(0, 0.3, 80) * np.repeat(RANDOM.choice([-1, 1], 8), 10), before - 0.2
    base = rows({"expression": before, "source_faceres": before}, people)
    by_name = {
        one.column: one
        for one in comparing.differences(base, rows({"expression": large, "source_faceres": large}, people))
    }
    assert by_name["expression"].verdict == "better"  # millimetres: lower
    assert by_name["source_faceres"].verdict == "worse"  # likeness: higher
    assert by_name["expression"].won == 1.0
    one, other = (rows({"expression": some[:20]}, people[:2]) for some in (before, large))
    assert comparing.differences(one, other)[0].verdict == "better here"
    slopes = before * 0 + np.tile([0.9, 1.1], 40)  # off by a tenth on either side, and then by three
    (slope,) = comparing.differences(
        rows({"mouth_slope": slopes}, people), rows({"mouth_slope": 3 * slopes - 2}, people)
    )
    assert slope.verdict == "not shown", "its own interval holds zero"
    (unsure,) = comparing.differences(base, rows({"expression": small}, people))
    assert unsure.verdict == "not shown"


def test_the_bar_stops_what_got_worse_and_lets_pass_what_did_not():
    people = [f"person {k}" for k in range(3)]
    before = rows({"expression": RANDOM.normal(1.0, 0.1, 30), "mouth_lag": np.repeat(5.0, 30)}, people)
    committed = {"figures": figures(before, [])}

    def now(expression: float, lag: float) -> list[str]:
        values = {"expression": before.column("expression") + expression, "mouth_lag": before.column("mouth_lag") + lag}
        return [one.column for one in bar.worse(committed, before, rows(values, people))]

    assert now(0.02, 10.0) == []
    assert now(-0.5, 0.0) == []
    assert now(0.3, 0.0) == ["expression"]
    assert now(0.0, 40.0) == ["mouth_lag"]


def test_rows_survive_the_disk_and_columns_that_come_and_go(tmp_path: Path):
    made = rows({"yaw": np.arange(20.0)}, ["a", "b"])
    made.save(tmp_path / "rows.npz")
    again = Rows.load(tmp_path / "rows.npz")
    assert (again.column("yaw") == made.column("yaw")).all()
    assert np.isnan(again.column("pitch")).all()


def test_the_kept_share_lies_between_others_and_oneself():
    own = rows({"source_faceres": np.full(10, 0.9), "apart_faceres": np.full(10, 0.9)}, ["a"], kind="self")
    cross = rows({"source_faceres": np.full(10, 0.6), "apart_faceres": np.full(10, 0.3)}, ["a"])
    shared = with_kept_share(Rows.joined([own, cross]))
    assert shared.column("kept_faceres")[:10] == pytest.approx(1.0)
    assert shared.column("kept_faceres")[10:] == pytest.approx(0.5, abs=1e-5)


def test_a_failure_is_counted_and_never_averaged():
    values = np.full(10, 2.0)
    values[3] = np.nan
    made = rows({"expression": values, "holes": np.zeros(10)}, ["a"])
    worst = rows({"expression": np.full(10, 8.0), "holes": np.zeros(10)}, ["a"], condition="swap")
    cell = figures(Rows.joined([made, worst]), [])["cross"]["as run"]["expression"]
    assert cell["mean"] == pytest.approx(2.0)
    assert cell["failed"] == 1
    assert cell["mean_with_failures"] == pytest.approx((9 * 2.0 + 8.0) / 10)


def media(tmp_path: Path, portraits: list[str], clips: list[str]) -> Media:
    for folder, names in (("portraits", portraits), ("clips", clips)):
        for name in names:
            (tmp_path / folder / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / folder / name).touch()
    return Media(tmp_path)


def test_pairs_are_made_as_the_papers_say(tmp_path: Path):
    found = media(tmp_path, ["0.jpg", "10.jpg", "2.jpg", "3.jpg"], ["id1/v/a.mp4", "id1/v/b.mp4", "id2/v/c.mp4"])
    assert list(found.portraits) == ["0", "2", "3", "10"]
    assert [(p.source, p.driver) for p in protocols.voodoo3d_celeba(found)] == [("0", "3"), ("2", "10")]
    assert [(p.source, p.driver) for p in protocols.lpr_celeba(found)] == [("0", "2"), ("3", "10")]
    hdtf = protocols.voodoo3d_hdtf(found)
    assert [p for p in hdtf if p.source == p.driver] == [Pair(c, 0, c, 1) for c in found.clips]
    crossed = [p for p in hdtf if p.source != p.driver]
    assert all(found.person(p.source) != found.person(p.driver) and p.driver_count == 200 for p in crossed)
    assert len(crossed) == 4
    with pytest.raises(MediaUnusable, match="EricCantor"):
        protocols.lpr_hdtf(found)


def test_pairs_are_data(tmp_path: Path):
    pairs = [Pair("a", None, "b", 3, 50), Pair("c", 7, "c", 8, None)]
    write_pairs(pairs, tmp_path / "pairs.csv")
    assert read_pairs(tmp_path / "pairs.csv") == pairs
    (tmp_path / "pairs.csv").write_text("who,whom\n1,2\n")
    with pytest.raises(MediaUnusable, match="source_frame"):
        read_pairs(tmp_path / "pairs.csv")


def test_a_pose_is_turned_back_by_so_many_degrees(sample_portrait: FaceObservation):
    seen = scripted(sample_portrait, yaw=14, pitch=-6, roll=5)
    before, after = (angles_of(one.head_rotation) for one in (seen, turned_back(seen, 10, -4)))
    assert after - before == pytest.approx([-10, 4, 0], abs=1e-3)
    assert (turned_back(seen, 10, -4).shape == seen.shape).all()


def test_expression_is_in_millimetres_of_annys_head():
    if not expression.here():
        pytest.skip(expression.COMMAND)
    jaw = np.eye(len(BLENDSHAPES))[BLENDSHAPES.index("jawOpen")]
    assert expression.distance(jaw, 0 * jaw) == pytest.approx(5.52, abs=0.01)  # as the CC0 data have it
    assert expression.distance(jaw, jaw) == 0.0


def test_a_graph_pads_right_and_below_as_tensorflow_does():
    import torch

    same = {"padding": {"s": "U0FNRQ=="}, "strides": {"list": {"i": ["1", "2", "2", "1"]}}}
    ones = torch.ones(1, 4, 4, 1)
    made = graph._convolved(same, ones, torch.ones(3, 3, 1, 1))[0, :, :, 0]
    assert made.tolist() == [[9, 6], [6, 4]]  # TensorFlow pads one pixel, at the end


def test_an_instrument_that_is_missing_or_another_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    thing = Instrument("thing", "something", Package("pypi", "x", "1"), "MIT", (Member("a/thing.bin", "0" * 64),))
    monkeypatch.setattr(catalogue, "INSTRUMENTS", (thing,))
    monkeypatch.setattr(catalogue, "FOLDER", tmp_path)
    catalogue.missing.cache_clear()
    try:
        with pytest.raises(InstrumentMissing, match="not measured: something: make quality-instruments"):
            catalogue.files("thing")
        (tmp_path / "thing.bin").write_bytes(b"else")
        with pytest.raises(InstrumentMissing, match="not the file that was pinned"):
            catalogue.files("thing")
        with pytest.raises(set_up.NotBrought, match="not the pinned"):
            set_up._keep(b"else", thing.members[0])
    finally:
        catalogue.missing.cache_clear()


def test_looking_opens_no_socket(monkeypatch: pytest.MonkeyPatch, sample_portrait: FaceObservation):
    from benchmarks.quality.instruments.face import Looker
    from benchmarks.quality.seen import Picture

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was asked for")

    monkeypatch.setattr(socket, "socket", refuse)
    assert sample_portrait.crop is not None
    look = Looker().look(sample_portrait.crop)
    assert look is not None
    picture = Picture(sample_portrait.crop, look)
    assert picture.natural["sharpness"] > 0
    assert set(picture.faces) <= {"faceres", "mobileface", "arcface"}


def test_the_papers_tables_stand_apart_unless_the_protocol_is_theirs():
    run = {"protocol": "all-pairs", "data": "media", "engine": "relief", "figures": {}, "instruments": {}}
    assert papers.joined(run) == []
    assert len(papers.why_apart(run)) > 3
    own = {"self": {"matched": {"psnr": {"mean": 20.0}, "ssim": {"mean": 0.7}}}}
    theirs = run | {"protocol": "voodoo3d-hdtf", "figures": own}
    assert papers.joined(theirs) == [], "on other data"
    title, columns, table = papers.joined(theirs | {"their_data": True})[0]
    assert "HDTF" in title
    assert table[-1] == ["relief, matched", "20.000", "0.700", *["-"] * (len(columns) - 2)]


def test_votes_want_raters():
    low, high = wilson(8, 10)
    assert (low, high) == (pytest.approx(0.490, abs=0.002), pytest.approx(0.943, abs=0.002))
    assert wilson(0, 0) == (0.0, 1.0)


def test_every_column_has_one_name():
    assert len(BY_NAME) == len(NAMES)
