"""Signed: films and stills with content credentials, for tests of what is signed and read back."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from server.provenance.credentials import Signer
from server.provenance.keys import Keys
from server.provenance.statement import Consent, Engine, Statement
from server.recordings.archive import Archive, Facts
from server.recordings.film import Film
from tests.films import SMALL, units


def stated(**more: Any) -> Statement:
    made = Statement(
        "a-session", time.time(), Engine("relief", "ab" * 32), Consent("me", time.time()), "AI avatar", **more
    )
    return made.of(6, 4, 24, 1.0)


def signer_in(folder: Path) -> Signer:
    return Signer(Keys(folder / "provenance"))


def archive_in(folder: Path, signer: Signer | None = None) -> Archive:
    return Archive(folder / "recordings", signer=signer or signer_in(folder))


def filmed(archive: Archive, pictures: int = 50, told: dict[str, Any] | None = None, *, ended: bool = True) -> Facts:
    """A film of noise; with `ended` False as a killed server leaves it."""
    facts, file = archive.begin("room", "a" * 22, "telequilt", "_qs6x4a1", told or stated().told())
    made = units(pictures)
    with file:
        film = Film(file, SMALL, made[0], False, "note", "whose")
        for unit in made:
            film.picture(unit)
        film.close()
    return archive.finish(facts, pictures, "asked to") if ended else facts


def still() -> bytes:
    noise, file = np.random.default_rng(5).integers(0, 255, (48, 64, 3), np.uint8), io.BytesIO()
    Image.fromarray(noise).save(file, "PNG")
    return file.getvalue()


def flipped(path: Path, at: int = -500) -> Path:
    """A copy of which one bit is another."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    changed = path.with_name(f"changed-{path.name}")
    changed.write_bytes(data)
    return changed


def coded_anew(path: Path) -> Path:
    """What an editor makes of a film: the same pictures, encoded again."""
    again = path.with_name(f"again-{path.name}")
    with av.open(str(path)) as source, av.open(str(again), "w") as target:
        video = source.streams.video[0]
        stream = target.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = video.width, video.height, "yuv420p"
        for frame in source.decode(video):
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return again
