"""Sitter: whom a command shows: an avatar made of a photo, or one that was made elsewhere and is brought as a zip."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from engines import catalogue
from engines.contract import EXPRESSION_KEPT, AnyEngine, AvatarRefused, FaceObservation
from server.channels.services import observed
from server.media import portraits

MOST_BYTES = 256 << 20
"Of such a file: what is larger is not read at all."


@dataclass(frozen=True)
class Sitter:
    """An avatar, and what a film states of it."""

    avatar: Any
    weights: Mapping[str, str] = field(default_factory=dict)
    "What it was made of besides the engine's own, by name: SHA-256."
    licence: str = ""
    "What made it and on which terms, in a line for people; empty where that was here."


def engine_for(portrait: Path, asked: str | None) -> str:
    """Which engine shows what is at `portrait`: that which was asked for, else the one for such files.

    Raises UnknownEngine, OSError, and AvatarRefused where the one that was asked for shows none of them.
    """
    if not brought(portrait):
        return asked or catalogue.DEFAULT
    if asked is not None and not catalogue.abilities(asked).brought:
        raise AvatarRefused(
            "wrong-engine",
            f"{portrait.name} is an avatar that was made elsewhere, which the engine {catalogue.TAKING} alone shows: leave --engine out",
        )
    return asked or catalogue.TAKING


def brought(portrait: Path) -> bool:
    """Whether it is an avatar that was made elsewhere. Raises OSError."""
    with portrait.open("rb") as file:
        return file.read(len(catalogue.TAKEN)) == catalogue.TAKEN


def sitter(portrait: Path, engine: AnyEngine, expression: float | None = None, also: Sequence[Path] = ()) -> Sitter:
    """What `engine`, which engine_for() chose, makes of `portrait`; of a photo with the share `expression` 0..1 of its own, and of what
    `also` shows the same person.

    Raises PortraitRejected, PortraitUnreadable, AvatarRefused or OSError.
    """
    if not brought(portrait):
        return Sitter(engine.enrol(seen_in([portrait, *also], engine, expression)))
    if also:
        raise AvatarRefused(
            "no-photo", f"{portrait.name} was made elsewhere and takes no further photos: leave --also out"
        )
    if portrait.stat().st_size > MOST_BYTES:
        raise AvatarRefused("too-large", f"{portrait.name} is larger than any avatar: {MOST_BYTES >> 20} MB at most")
    taking: Any = engine
    data = portrait.read_bytes()
    read = taking.bring(data)
    return Sitter(taking.made(read.arrays), {"avatar": hashlib.sha256(data).hexdigest()}, read.licence)


def seen_in(photos: Sequence[Path], engine: AnyEngine, expression: float | None = None) -> FaceObservation:
    """The portrait that one photo shows, or several of the same person, which keeps the share `expression` 0..1 of its own.

    Raises PortraitRejected, PortraitUnreadable or OSError.
    """
    found = observed([portraits.from_file(photo).pixels for photo in photos], engine)
    return replace(found, expression_kept=EXPRESSION_KEPT if expression is None else expression)
