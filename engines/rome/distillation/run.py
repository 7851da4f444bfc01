"""Run: portraits in, a basis and its regressor out, and how near they come. May be stopped at any time and begun again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engines.contract import FaceObservation
from engines.loading import check_there
from engines.options import EngineOptions
from engines.rome import checkpoint, synthetic
from engines.rome.architecture import Architecture
from engines.rome.distillation import components
from engines.rome.distillation.components import coefficients
from engines.rome.distillation.regression import Regression
from engines.rome.distillation.samples import Samples, own_picture_error, sampled, stacked
from engines.rome.network import Rome
from engines.rome.offsets import Basis
from engines.runtime.eager import on as eagerly
from engines.weights import Progress

HELD_OUT = 10
"One portrait in so many is not trained with, where there are as many."
KEPT_EVERY = 50
"Steps between which training is written down."
FILES = ("linear_hair.pth", "u_full.pt", "mean_deform.pt")


class TooFewPortraits(ValueError):
    """The operator has to bring more portraits; the message says how many."""


@dataclass(frozen=True)
class Nearness:
    """How near the linear model comes to the full one, over some portraits."""

    portraits: int
    mean_mm: float
    "Root mean square over movable vertices, millimetres, where every head wore the mean."
    basis_mm: float
    "The same with the best coefficients there are."
    linear_mm: float
    "The same with the coefficients that the regressor reads off the picture."


@dataclass(frozen=True)
class Report:
    """What came of a distillation."""

    trained: Nearness
    held_out: Nearness | None
    full_picture: float
    "Mean absolute difference, 0..1, of the full model's pictures from the portraits, over those held out, or else all."
    linear_picture: float
    first_loss: float
    last_loss: float


class Distillation:
    """A folder that becomes a basis: `linear_hair.pth`, `u_full.pt`, `mean_deform.pt` and `report.json`."""

    def __init__(self, out: Path, options: EngineOptions = EngineOptions(), *, small: bool = False) -> None:
        """With the full model's imported weights, or synthetic ones where `options` say so. Raises WeightsMissing."""
        self.out, self._options, self._arch = out, options, synthetic.SMALL if small else Architecture()
        if not options.synthetic_weights:
            check_there("rome", [checkpoint.PUBLISHED], options.weights)
        self._samples = Samples(out / "samples")
        self._full: Rome | None = None
        self._photos: list[str] = []

    def has(self, photo: str) -> bool:
        """Whether the photo with this hash was looked at before; it then takes part."""
        if photo in self._samples and photo not in self._photos:
            self._photos.append(photo)
        return photo in self._samples

    def add(self, photo: str, portrait: FaceObservation) -> None:
        """Run the full model on a portrait. Raises PortraitRejected."""
        self._samples.keep(photo, sampled(self.full, portrait))
        self.has(photo)

    @property
    def full(self) -> Rome:
        """The full model, on a GPU where there is one; made when first wanted."""
        if self._full is None:
            self._full = self._made(self._tensors())
        return self._full

    def _tensors(self) -> dict[str, Tensor]:
        if self._options.synthetic_weights:
            return synthetic.tensors(self._arch)
        return checkpoint.imported(self._options.weights, linear=False)

    def _made(self, tensors: dict[str, Tensor]) -> Rome:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        return Rome.from_tensors(tensors, self._arch, device).run_by(eagerly(device))

    def finish(
        self, steps: int, portraits: Callable[[str], FaceObservation], progress: Progress = lambda *_: None
    ) -> Report:
        """Principal components, training, files and report. `portraits`: a photo's observation, for those that are shown again.

        Raises TooFewPortraits.
        """
        if len(self._photos) < components.FEWEST:
            raise TooFewPortraits(
                f"{len(self._photos)} usable portraits are too few for a basis; bring at least {components.FEWEST}, "
                "better some hundreds"
            )
        photos = sorted(self._photos)
        images, offsets, errors = stacked([self._samples.read(photo) for photo in photos])
        out = torch.tensor([k % HELD_OUT == HELD_OUT - 1 for k in range(len(photos))])
        basis = components.components(self.full.flame, offsets[~out])
        wanted = coefficients(basis, offsets)
        regression = Regression(self._arch, images[~out], wanted[~out], wanted[~out].std(0), self._start())
        losses = self._trained(regression, f"{steps} {photos}", steps, progress)
        self._write(basis, regression)
        read = regression.coefficients(images)
        shown = out if out.any() else ~out
        chosen = [photo for photo, taken in zip(photos, shown, strict=True) if taken]
        report = Report(
            self._nearness(basis, offsets[~out], read[~out]),
            self._nearness(basis, offsets[out], read[out]) if out.any() else None,
            float(errors[shown.numpy()].mean()),
            self._pictures(basis, regression, chosen, portraits, progress),
            losses[0],
            float(np.mean(losses[-10:])),
        )
        (self.out / "report.json").write_text(json.dumps(asdict(report), indent=1) + "\n")
        return report

    def _trained(self, regression: Regression, about: str, steps: int, progress: Progress) -> list[float]:
        """The losses of all steps, those of earlier runs `about` the same among them."""
        place, told = self.out / "training.pt", self.out / "losses.json"
        about = hashlib.sha256(about.encode()).hexdigest()
        losses = json.loads(told.read_text()) if regression.resume(place, about) else []
        losses = losses[: regression.step]
        for loss in regression.train(steps):
            losses.append(loss)
            progress(f"training, loss {np.mean(losses[-10:]):.3f}", regression.step, steps)
            if regression.step % KEPT_EVERY == 0 or regression.step == steps:
                told.write_text(json.dumps(losses))
                regression.keep(place, about)
        return losses

    def _start(self) -> dict[str, Tensor]:
        """DECA's ResNet-50, which reads faces already."""
        prefix = "deca.encoder."
        return {name.removeprefix(prefix): part for name, part in self._tensors().items() if name.startswith(prefix)}

    def _write(self, basis: Basis, regression: Regression) -> None:
        for name, held in zip(FILES, (regression.weights(), basis.directions, basis.mean), strict=True):
            torch.save(held, self.out / f".{name}.part")
            os.replace(self.out / f".{name}.part", self.out / name)

    def _nearness(self, basis: Basis, offsets: Tensor, read: Tensor) -> Nearness:
        """Of `offsets` [P, N, 3] metres, to the basis with the best coefficients and with those `read` [P, K] off pictures."""

        def apart(made: Tensor) -> float:
            """Millimetres, over movable vertices."""
            squared = (made - offsets).square().sum(2)[:, self.full.flame.movable.cpu().bool()]
            return 1e3 * float(squared.mean().sqrt())

        best = coefficients(basis, offsets)
        return Nearness(len(offsets), apart(basis.mean.expand_as(offsets)), apart(basis(best)), apart(basis(read)))

    def _pictures(
        self,
        basis: Basis,
        regression: Regression,
        photos: Sequence[str],
        portraits: Callable[[str], FaceObservation],
        progress: Progress,
    ) -> float:
        """The mean picture error of the linear model over these portraits."""
        learned = {f"linear.{name}": part for name, part in regression.weights().items()}
        learned |= {f"basis.{name}": part for name, part in basis.state_dict().items()}
        linear, errors = self._made(self._tensors() | learned), []
        for done, photo in enumerate(photos):
            progress("comparing pictures", done, len(photos))
            errors.append(own_picture_error(linear, portraits(photo)))
        progress("comparing pictures", len(photos), len(photos))
        return float(np.mean(errors))
