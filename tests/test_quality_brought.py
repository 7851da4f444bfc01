"""Instruments that users bring: what is wrong with a file is said, and nothing but the published ones reach the papers' tables.
Whether their networks are the authors': tests/test_brought_instruments.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.quality import papers, protocols
from benchmarks.quality.instruments import brought, catalogue, inception, lpips
from benchmarks.quality.media import Media
from tests.synthetic_weights import ALEXNET, HEADS, filled, pictures


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty one for what is brought, beside which the heads are."""
    monkeypatch.setattr(brought, "FOLDER", tmp_path)
    monkeypatch.setattr(catalogue, "here", lambda name: True)
    for cached in (brought.weights, brought.network, brought._wrong):
        cached.cache_clear()
        monkeypatch.setattr(brought, cached.__name__, cached)
    return tmp_path


def test_lpips_is_what_its_authors_code_makes_of_the_same_weights(folder: Path, monkeypatch: pytest.MonkeyPatch):
    torch.save(filled(ALEXNET, 3), folder / "alexnet-owt-7be5be79.pth")
    heads = {name: value.abs() for name, value in filled(HEADS, 6).items()}
    monkeypatch.setattr(lpips, "_heads", lambda backbone: heads)
    assert lpips.here() == ["lpips_alex"]
    one, other = (lpips.features("lpips_alex", picture) for picture in pictures(96))
    assert lpips.distance("lpips_alex", one, one) == 0
    assert lpips.distance("lpips_alex", one, other) == pytest.approx(
        0.0254923, rel=1e-3
    )  # lpips 0.1.4 on torchvision 0.29.1


def test_of_what_lacks_or_is_another_file_it_is_said_what_to_do(folder: Path):
    why = dict(brought.lacking())
    assert set(why) == {"LPIPS by AlexNet", "LPIPS by VGG", "CSIM by ArcFace", "FID"}
    assert "lay w600k_r50.onnx (buffalo_l.zip of https://" in why["CSIM by ArcFace"]
    brought._wrong.cache_clear()
    torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3)}, folder / "alexnet-owt-7be5be79.pth")
    (folder / "vgg16-397923af.pth").write_text("Not Found")
    (folder / "w600k_r50.onnx").write_bytes(b"\x08\x06nothing")
    why = dict(brought.lacking())
    assert "is another network: features.0.weight is (64, 3, 3, 3), not (64, 3, 11, 11)" in why["LPIPS by AlexNet"]
    assert "cannot be read" in why["LPIPS by VGG"]
    assert "cannot be read" in why["CSIM by ArcFace"]
    assert brought.used() == {}
    with pytest.raises(catalogue.InstrumentMissing, match="not measured: LPIPS by AlexNet"):
        brought.weights("lpips_alex")


def test_a_file_of_the_right_shape_is_said_to_be_not_the_published_one(folder: Path, monkeypatch: pytest.MonkeyPatch):
    place = folder / "alexnet-owt-7be5be79.pth"
    torch.save(filled(ALEXNET, 3), place)
    assert brought.used()["lpips_alex"]["published"] is False
    monkeypatch.setattr(brought, "sha256", lambda path: "7be5be79" + "0" * 56)
    assert brought.used()["lpips_alex"]["published"] is True


def run(published: bool, pictures: int) -> dict[str, Any]:
    """A result by VOODOO 3D's protocol on its data, with all that can be brought."""
    cells = {name: {"mean": 0.5, "values": pictures} for name in ("psnr", "ssim", "lpips_vgg", "source_arcface", "fid")}
    used = {name: {"brought": f"{name}.file", "published": published} for name in ("lpips_vgg", "arcface", "inception")}
    return {
        "protocol": "voodoo3d-hdtf",
        "their_data": True,
        "data": "hdtf",
        "engine": "relief",
        "instruments": used,
        "figures": {"self": {"matched": cells}, "cross": {"matched": cells}},
    }


def test_what_was_measured_with_the_published_files_stands_in_the_papers_table():
    (_, columns, own), (_, across, cross) = papers.joined(run(True, 2048))
    assert columns == ["PSNR", "SSIM", "LPIPS", "NAKD", "ECMD", "FID"]
    assert own[-1] == ["relief, matched, by lpips_vgg, inception", "0.500", "0.500", "0.500", "-", "-", "0.500"]
    assert across == ["CSIM", "ECMD", "FID"]
    assert cross[-1] == ["relief, matched, by arcface, inception", "0.500", "-", "0.500"]


def test_what_was_measured_with_other_weights_or_of_too_few_pictures_stays_out_with_the_reason():
    assert papers.joined(run(False, 4000))[0][2][-1] == ["relief, matched", "0.500", "0.500", "-", "-", "-", "-"]
    assert "CSIM by source_arcface: arcface.file is not the published file, whatever it measures" in papers.why_apart(
        run(False, 4000)
    )
    few = run(True, 2047)
    assert papers.joined(few)[1][2][-1][1:] == ["0.500", "-", "-"]
    assert any(reason.startswith("FID by fid: of 2047 pictures, of at least 2048") for reason in papers.why_apart(few))


def test_data_are_a_papers_where_every_file_is_called_so(tmp_path: Path):
    (tmp_path / "clips").mkdir()
    for name in ("RD_Radio1_000", "WRA_EricCantor_000"):
        (tmp_path / "clips" / f"{name}.mp4").touch()
    assert protocols.of_their_data("voodoo3d-hdtf", Media(tmp_path))
    assert not protocols.of_their_data("all-pairs", Media(tmp_path))
    (tmp_path / "clips" / "talk_frontal.mp4").touch()
    assert not protocols.of_their_data("lpr-hdtf", Media(tmp_path))


def test_the_distance_of_two_heaps_is_that_of_two_normal_distributions():
    numbers = np.random.RandomState(8)
    one = numbers.normal(size=(4000, 3)) * [1, 2, 3]
    assert inception.frechet(one, one) == pytest.approx(0, abs=1e-6)
    moved = one * [2, 1, 1] + [0, 0, 5]  # covariances that commute: |m|^2 + sum (s - s')^2
    spread = one.std(0, ddof=1)
    away = (one.mean(0) - moved.mean(0)) @ (one.mean(0) - moved.mean(0)) + ((spread - moved.std(0, ddof=1)) ** 2).sum()
    assert inception.frechet(one, moved) == pytest.approx(away, rel=0.02)
