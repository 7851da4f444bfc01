"""Distil on the command line: `python -m server distil`, from a folder of portraits to a quicker engine's files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from server.commands import terminal
from server.commands.options import SyntheticWeights, engine_options

if TYPE_CHECKING:
    from engines.contract import FaceObservation
    from engines.rome.distillation.run import Distillation, Nearness, Report

PICTURES = {".jpg", ".jpeg", ".png", ".webp"}


def distil(
    photos: Annotated[
        list[Path], typer.Argument(help="Portraits, or folders of them; better some hundreds than dozens.")
    ],
    out: Annotated[Path, typer.Option(help="The folder for the basis; what is in it already is gone on with.")],
    engine: Annotated[str, typer.Option(help="The engine that is distilled.")] = "rome",
    steps: Annotated[int, typer.Option(min=1, help="Of training the regressor, 16 portraits each.")] = 2000,
    synthetic_weights: SyntheticWeights = False,
) -> None:
    """Distil the linear ROME model out of the full one, over portraits of your own: its frames are driven 17 times faster (docs/rome.md).

    May be stopped and begun again: portraits that were looked at are not looked at twice, and training goes on where it was.

    python -m server distil --engine rome portraits/ --out basis/
    """
    from rich.progress import MofNCompleteColumn, TimeRemainingColumn

    from engines import catalogue
    from engines.contract import UnknownEngine, WeightsMissing

    with terminal.explained(UnknownEngine):
        module = catalogue.distillation(engine)
    with (
        terminal.explained(module.TooFewPortraits, WeightsMissing, OSError),
        terminal.progress(MofNCompleteColumn(), TimeRemainingColumn()) as told,
    ):
        found = {hashlib.sha256(path.read_bytes()).hexdigest(): path for path in _pictures(photos)}
        out.mkdir(parents=True, exist_ok=True)
        run = module.Distillation(out, engine_options(synthetic_weights=synthetic_weights))
        passed = _looked_at(run, found, told)
        report = run.finish(steps, lambda photo: _observed(found[photo]), told)
    _tell(report, out, passed)


def _looked_at(run: Distillation, found: Mapping[str, Path], told: terminal.Told) -> list[str]:
    """Have the full model look at each photo, by its hash. Those that it cannot use, and why."""
    from engines.contract import PortraitRejected
    from server.media.portraits import PortraitUnreadable

    passed = []
    for done, (photo, path) in enumerate(found.items()):
        told("running the full model", done, len(found))
        try:
            if not run.has(photo):
                run.add(photo, _observed(path))
        except (PortraitRejected, PortraitUnreadable) as refused:
            passed.append(f"{path}: {refused}")
    return passed


def _observed(path: Path) -> FaceObservation:
    from pipeline.preprocess.observer import observe_portrait
    from server.media import portraits

    return observe_portrait(portraits.from_file(path))


def _pictures(given: Iterable[Path]) -> list[Path]:
    """Every picture that is named, or lies in a folder that is. Raises FileNotFoundError."""
    found: list[Path] = []
    for path in given:
        if not path.exists():
            raise FileNotFoundError(f"there is no {path}")
        inside = sorted(each for each in path.rglob("*") if each.suffix.lower() in PICTURES)
        found += inside if path.is_dir() else [path]
    return found


def _tell(report: Report, out: Path, passed: list[str]) -> None:
    from rich.table import Table

    for line in passed:
        typer.echo(f"left out: {line}", err=True)
    table = Table(
        "hair and shoulders, RMS in mm", "portraits", "mean head", "best of the basis", "linear model", box=None
    )
    for name, near in {"trained with": report.trained, "held out": report.held_out}.items():
        if near is not None:
            table.add_row(name, *_row(near))
    terminal.console(highlight=False).print(table)
    typer.echo(
        f"pictures differ from the portraits by {report.full_picture:.3f} (full) and {report.linear_picture:.3f} (linear)"
    )
    typer.echo(
        f"loss {report.first_loss:.3f} at first, {report.last_loss:.3f} in the end; all in {out / 'report.json'}"
    )
    typer.echo(f"next:  python -m server weights import {out / 'linear_hair.pth'}")


def _row(near: Nearness) -> tuple[str, ...]:
    return str(near.portraits), f"{near.mean_mm:.2f}", f"{near.basis_mm:.2f}", f"{near.linear_mm:.2f}"
