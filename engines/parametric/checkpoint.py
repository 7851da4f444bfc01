"""Checkpoint: a head model as one safetensors file: networks, prior, expressions, landmarks, and how they were made.

The file that comes with this engine was trained on Anny's heads (CC0); larger ones are made by `python -m server train`.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from importlib.resources import as_file, files
from pathlib import Path

import torch
from torch import Tensor

from engines.parametric.architecture import Architecture
from engines.parametric.deform import Deformation
from engines.parametric.head import HeadModel
from engines.parametric.network import Identity
from engines.weights import CheckpointRejected

SHIPPED = "anny_small.safetensors"
PARTS = ("identity", "expression", "model")


def save(model: HeadModel, path: Path, half: bool = True) -> None:
    """To `path`, whole or not at all; halves take half the place and change a surface by some hundredths of a millimetre."""
    from safetensors.torch import save_file

    tensors = {f"identity/{name}": value for name, value in model.identity.state_dict().items()}
    tensors |= {f"expression/{name}": value for name, value in model.deformation.state_dict().items()}
    own = {"mean": model.mean, "basis": model.basis, "expressions": model.expressions, "landmarks": model.landmarks}
    tensors |= {f"model/{name}": value for name, value in own.items()}
    kept = {name: _halved(value) if half else value.contiguous() for name, value in tensors.items()}
    about = {
        "architecture": json.dumps(asdict(_sizes(model))),
        "expression_names": json.dumps(model.expression_names),
        "landmark_indices": json.dumps(model.landmark_indices),
        "note": json.dumps(model.note),
    }
    part = path.with_name(f".{path.name}.part")
    try:
        save_file(kept, part, metadata=about)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def check_there(path: Path | None) -> None:
    """Whether `load` will find a file. Raises FileNotFoundError."""
    if path is not None and not path.is_file():
        raise FileNotFoundError(f"there is no head model {path}: set TELEQUILT_PARAMETRIC_MODEL to a file, or unset it")


def load(path: Path | None = None) -> HeadModel:
    """The model at `path`; by default the one that comes with the engine.

    Raises CheckpointRejected or FileNotFoundError.
    """
    if path is None:
        with as_file(files("engines.parametric").joinpath(SHIPPED)) as place:
            return _read(place)
    return _read(path)


def _read(path: Path) -> HeadModel:
    from safetensors import safe_open

    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}: make one with  python -m server train --out {path}")
    try:
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118  (not a dict)
        arch = Architecture(**json.loads(about["architecture"]))
        state = {part: _part(tensors, part) for part in PARTS}
        identity = Identity.from_state(state["identity"], arch.side, arch.reach)
        deformation = Deformation.from_state(state["expression"], arch.z_id)
        model = HeadModel(
            identity,
            deformation,
            **state["model"],
            expression_names=tuple(json.loads(about["expression_names"])),
            landmark_indices=tuple(json.loads(about["landmark_indices"])),
            note=json.loads(about["note"]),
        )
        _check(model, arch)
    except Exception as failure:
        reason = str(failure).splitlines()[0] if str(failure) else type(failure).__name__
        raise CheckpointRejected(
            f"{path.name} is not a parametric head model: {reason}; make one with  python -m server train --out FILE.safetensors, or "
            "leave the model out to use the engine's own"
        ) from None
    for parameter in (*identity.parameters(), *deformation.parameters()):
        parameter.requires_grad_(False)
    return model


def _sizes(model: HeadModel) -> Architecture:
    """Both networks' sizes: each knows its own."""
    moves = model.deformation.arch
    return replace(
        model.identity.arch, z_ex=moves.z_ex, deform_hidden=moves.deform_hidden, deform_layers=moves.deform_layers
    )


def _part(tensors: dict[str, Tensor], part: str) -> dict[str, Tensor]:
    return {name.removeprefix(f"{part}/"): value for name, value in tensors.items() if name.startswith(f"{part}/")}


def _check(model: HeadModel, arch: Architecture) -> None:
    wanted = {
        "mean": (arch.z_id,),
        "basis": (len(model.basis), arch.z_id),
        "expressions": (len(model.expression_names), arch.z_ex),
        "landmarks": (1 + arch.z_id, len(model.landmark_indices), 3),
    }
    for name, shape in wanted.items():
        found = tuple(getattr(model, name).shape)
        if found != shape:
            raise ValueError(f"{name} is {found} instead of {shape}")
    tensors = (*model.identity.state_dict().values(), *model.deformation.state_dict().values())
    if not all(torch.isfinite(value).all() for value in tensors):
        raise ValueError("it holds values that are not finite")


def _halved(value: Tensor) -> Tensor:
    """Of the same shape, in half precision where it is no whole number."""
    return (value.half() if value.is_floating_point() else value).contiguous()
