"""Distillation of the linear model, small and synthetic, over procedural portraits: what is learned, kept, and gone on with."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from engines.contract import FaceObservation, WeightsMissing
from engines.options import EngineOptions
from engines.rome import synthetic
from engines.rome.distillation import components, samples
from engines.rome.distillation.regression import Regression
from engines.rome.distillation.run import FILES, Distillation, Report, TooFewPortraits
from engines.rome.flame import Flame
from engines.rome.network import Rome
from engines.rome.offsets import Basis
from tests.test_rome_engine import face

INVENTED = EngineOptions(synthetic_weights=True)

pytestmark = pytest.mark.usefixtures("one_thread")

PORTRAITS, STEPS = 16, 60


def portraits() -> dict[str, FaceObservation]:
    return {hashlib.sha256(bytes([k])).hexdigest(): face(k) for k in range(PORTRAITS)}


@pytest.fixture(scope="module")
def distilled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Distillation, Report]:
    torch.set_num_threads(1)
    run = Distillation(tmp_path_factory.mktemp("basis"), INVENTED, small=True)
    known = portraits()
    for photo, portrait in known.items():
        assert not run.has(photo)
        run.add(photo, portrait)
    return run, run.finish(STEPS, known.__getitem__)


def read(folder: Path) -> tuple[dict[str, torch.Tensor], Basis]:
    regressor, directions, mean = (torch.load(folder / name, weights_only=True) for name in FILES)
    return regressor, Basis(directions, mean)


def test_the_loss_falls_and_the_report_says_how_near(distilled: tuple[Distillation, Report]) -> None:
    run, report = distilled
    assert report.last_loss < 0.7 * report.first_loss
    assert report.held_out is not None
    assert (report.trained.portraits, report.held_out.portraits) == (15, 1)
    assert report.trained.basis_mm < 0.7 * report.trained.mean_mm  # of the neck it keeps half the directions
    assert report.trained.basis_mm < report.trained.linear_mm < report.trained.mean_mm
    assert abs(report.linear_picture - report.full_picture) < 0.1
    assert json.loads((run.out / "report.json").read_text())["last_loss"] == report.last_loss


def test_the_basis_is_orthonormal_and_hair_is_not_neck(distilled: tuple[Distillation, Report]) -> None:
    run, _ = distilled
    _, basis = read(run.out)
    torch.testing.assert_close(basis.directions.T @ basis.directions, torch.eye(60), atol=1e-5, rtol=0)
    flame = run.full.flame
    moved = basis.directions.view(-1, 3, 60).abs().amax(1)
    hair, movable = flame.hair.bool(), flame.movable.bool()
    assert moved[~hair][:, :50].max() == 0
    assert moved[hair | ~movable][:, 50:].max() == 0


def test_coefficients_give_the_training_meshes_again(distilled: tuple[Distillation, Report]) -> None:
    """Where there are no more portraits than directions; of the neck only as many are kept."""
    run, _ = distilled
    _, basis = read(run.out)
    kept = sorted(portraits())[0]
    sample = run._samples.read(kept)
    made = basis(components.coefficients(basis, sample.offsets[None]))[0]
    hair = run.full.flame.hair.bool()
    assert (made - sample.offsets)[hair].norm() < 1e-3 * sample.offsets[hair].norm()


def test_it_loads_as_the_linear_model(distilled: tuple[Distillation, Report]) -> None:
    run, _ = distilled
    regressor, basis = read(run.out)
    learned = {f"linear.{name}": part for name, part in regressor.items()}
    learned |= {f"basis.{name}": part for name, part in basis.state_dict().items()}
    linear = Rome.from_tensors(synthetic.tensors(synthetic.SMALL) | learned, synthetic.SMALL)
    sample = run._samples.read(sorted(portraits())[0])
    with torch.no_grad():
        offsets = basis(linear.coefficients(sample.image[None].float() / 255))
    apart = (offsets[0] - sample.offsets).norm()
    assert apart < (basis.mean - sample.offsets).norm()


def test_what_was_done_is_not_done_again(
    distilled: tuple[Distillation, Report], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, report = distilled
    again = Distillation(run.out, INVENTED, small=True)
    monkeypatch.setattr(samples, "sampled", lambda *_: pytest.fail("a portrait was looked at twice"))
    monkeypatch.setattr(Regression, "train", lambda *_: iter(()))
    known = portraits()
    assert all(again.has(photo) for photo in known)
    assert again.finish(STEPS, known.__getitem__) == report


def test_training_goes_on_where_it_was(tmp_path: Path) -> None:
    draw = torch.Generator().manual_seed(5)
    images = torch.randint(0, 256, (6, 3, 64, 64), generator=draw, dtype=torch.uint8)
    wanted = torch.randn(6, 60, generator=draw)

    def fresh() -> Regression:
        return Regression(synthetic.SMALL, images, wanted, wanted.std(0))

    whole = fresh()
    losses = list(whole.train(4))
    half = fresh()
    first = [loss for _, loss in zip(range(2), half.train(4), strict=False)]
    half.keep(tmp_path / "training.pt", "these")
    other = fresh()
    assert not other.resume(tmp_path / "training.pt", "others")
    assert other.resume(tmp_path / "training.pt", "these")
    np.testing.assert_allclose([*first, *other.train(4)], losses, rtol=1e-4)


def test_components_of_few_portraits_are_still_a_basis() -> None:
    flame = Flame({name.removeprefix("flame."): part for name, part in synthetic.tensors(synthetic.SMALL).items()
                   if name.startswith("flame.")}, 32)  # fmt: skip
    offsets = 0.01 * torch.randn(5, len(flame.template), 3, generator=torch.Generator().manual_seed(1))
    offsets *= flame.movable[:, None]
    basis = components.components(flame, offsets)
    torch.testing.assert_close(basis.directions.T @ basis.directions, torch.eye(60), atol=1e-5, rtol=0)
    again = basis(components.coefficients(basis, offsets))
    torch.testing.assert_close(again, offsets, atol=1e-6, rtol=0)
    spread = components.coefficients(basis, offsets).std(0)
    assert (spread[:49].diff() <= 1e-6).all()


def test_too_few_are_told(tmp_path: Path) -> None:
    run = Distillation(tmp_path, INVENTED, small=True)
    with pytest.raises(TooFewPortraits, match="at least 4"):
        run.finish(1, portraits().__getitem__)


def test_without_weights_it_says_which(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match=r"rome\.pth"):
        Distillation(tmp_path / "out", EngineOptions(tmp_path))
