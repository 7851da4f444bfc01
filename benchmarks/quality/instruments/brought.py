"""Brought: instruments that the papers use and that nobody may hand on. Whoever has the published files lays them into FOLDER, under
their published names; they are checked there, and a result says what was found.

A file that is of the right shape but not the published one is measured with, said to be so, and kept out of the papers' tables.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from benchmarks.quality.instruments import catalogue
from benchmarks.quality.instruments.catalogue import InstrumentMissing, sha256

FOLDER = catalogue.FOLDER / "brought"
FACE, NUMBERS = 112, 512
"The side of ArcFace's picture, and how many numbers it makes of it."


@dataclass(frozen=True)
class Published:
    """One file, as its authors publish it."""

    name: str
    measures: str
    file: str
    sha256: str
    "Or its first digits, where the file's name holds them, as torch.hub checks them."
    where: str
    terms: str
    shapes: Mapping[str, tuple[int, ...]]
    "Some of its tensors by which the network is known; empty for ONNX, which is tried."


_TORCHVISION = "https://download.pytorch.org/models/"
_OF_IMAGENET = "torchvision's; learnt from ImageNet, whose terms are for research"
BROUGHT = (
    Published(
        "lpips_alex",
        "LPIPS by AlexNet",
        "alexnet-owt-7be5be79.pth",
        "7be5be79",
        _TORCHVISION,
        _OF_IMAGENET,
        {
            "features.0.weight": (64, 3, 11, 11),
            "features.3.weight": (192, 64, 5, 5),
            "features.10.weight": (256, 256, 3, 3),
        },
    ),
    Published(
        "lpips_vgg",
        "LPIPS by VGG",
        "vgg16-397923af.pth",
        "397923af",
        _TORCHVISION,
        _OF_IMAGENET,
        {
            "features.0.weight": (64, 3, 3, 3),
            "features.14.weight": (256, 256, 3, 3),
            "features.28.weight": (512, 512, 3, 3),
        },
    ),
    Published(
        "arcface",
        "CSIM by ArcFace",
        "w600k_r50.onnx",
        "4c06341c33c2ca1f86781dab0e829f88ad5b64be9fba56e56bc9ebdefc619e43",
        "buffalo_l.zip of https://github.com/deepinsight/insightface/releases/tag/v0.7",
        "InsightFace's, for research alone",
        {},
    ),
    Published(
        "inception",
        "FID",
        "pt_inception-2015-12-05-6726825d.pth",
        "6726825d",
        "https://github.com/mseitzer/pytorch-fid/releases/tag/fid_weights",
        "Apache-2.0 (TensorFlow's Inception of 2015); learnt from ImageNet",
        {
            "Conv2d_1a_3x3.conv.weight": (32, 3, 3, 3),
            "Mixed_6e.branch7x7_1.conv.weight": (192, 768, 1, 1),
            "Mixed_7c.branch_pool.conv.weight": (192, 2048, 1, 1),
            "Mixed_5b.branch_pool.conv.weight": (32, 192, 1, 1),
        },
    ),
)


def named(name: str) -> Published:
    """Raises KeyError."""
    return {one.name: one for one in BROUGHT}[name]


def here(name: str) -> bool:
    """Whether the file is there and is that network."""
    return not _wrong(name)


def as_published(name: str) -> bool:
    """Whether the file that is there is the published one, byte for byte as far as its hash is known."""
    one = named(name)
    return here(name) and sha256(FOLDER / one.file).startswith(one.sha256)


@cache
def weights(name: str) -> dict[str, Tensor]:
    """The state dict called `name`. Raises InstrumentMissing."""
    one = named(name)
    if wrong := _wrong(one.name):
        raise InstrumentMissing(f"not measured: {one.measures}: {wrong}")
    return _read(FOLDER / one.file)


@cache
def network(name: str) -> cv2.dnn.Net:
    """The ONNX called `name`. Raises InstrumentMissing."""
    one = named(name)
    if wrong := _wrong(one.name):
        raise InstrumentMissing(f"not measured: {one.measures}: {wrong}")
    return cv2.dnn.readNetFromONNX(str(FOLDER / one.file))


def lacking() -> list[tuple[str, str]]:
    """What is not measured for want of files, and why, with what mends it."""
    return [(one.measures, wrong) for one in BROUGHT if (wrong := _wrong(one.name))]


def used() -> dict[str, dict[str, object]]:
    """What a result says of the files that were there: `published` is False where one was known by its shapes alone."""
    return {
        one.name: {
            "brought": one.file,
            "licence": one.terms,
            "sha256": {one.file: sha256(FOLDER / one.file)},
            "published": as_published(one.name),
        }
        for one in BROUGHT
        if here(one.name)
    }


@cache
def _wrong(name: str) -> str:
    """Why it cannot be used; empty where it can."""
    one = named(name)
    path = FOLDER / one.file
    if not path.is_file():
        return f"lay {one.file} ({one.where}) into {_shown(path.parent)}; its terms are yours to keep ({one.terms})"
    if one.name.startswith("lpips") and not catalogue.here("lpips_heads"):
        return f"{one.file} is here, its linear heads are not: {catalogue.COMMAND}"
    try:
        return _unlike(one, path)
    except Exception as failure:  # of any reader, for a file that may be anything
        return f"{_shown(path)} cannot be read: {str(failure).splitlines()[0][:120] if str(failure) else type(failure).__name__}"


def _unlike(one: Published, path: Path) -> str:
    if not one.shapes:
        made = cv2.dnn.readNetFromONNX(str(path))
        made.setInput(np.zeros((1, 3, FACE, FACE), np.float32))
        size = made.forward().size
        return "" if size == NUMBERS else f"{_shown(path)} makes {size} numbers of a face, not {NUMBERS}"
    state = _read(path)
    for name, shape in one.shapes.items():
        found = tuple(state[name].shape) if name in state else None
        if found != shape:
            return f"{_shown(path)} is another network: {name} is {found or 'not there'}, not {shape}"
    return ""


def _read(path: Path) -> dict[str, Tensor]:
    return {name: value.float() for name, value in torch.load(path, weights_only=True, map_location="cpu").items()}


def _shown(path: Path) -> str:
    """From the repository's root, as everything is run there."""
    return re.sub(f"^{re.escape(str(catalogue.FOLDER.parents[1]))}/", "", str(path))
