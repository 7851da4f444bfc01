"""Media: portraits and clips in a folder, whose they are, and which pairs are measured. Pairs are data: a csv that can be read.

    ROOT/portraits/*.jpg|png        ROOT/clips/<name>.mp4        ROOT/clips/<name>/000000.png ...
    ROOT/people.csv                 name,person: which of them show the same person; else every top folder or file is a person
    ROOT/pairs.csv                  source,source_frame,driver,driver_first,driver_count: in the place of a protocol

CelebA-HQ's N.jpg are portraits, HDTF's *.mp4 and VoxCeleb2's idXXXXX/<video>/<utterance>.mp4 are clips, below ROOT by themselves.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2

from pipeline.frame import Frame
from server.media import clips

PHOTOS, FILMS = (".jpg", ".jpeg", ".png"), (".mp4", ".mov", ".mkv", ".webm")
FRAME_RATE = 25.0
"Of a clip that is a folder of pictures."
SAME = {"talk_frontal_lowres_qcif": "talk_frontal"}
"Of shared/media: one person in two files."


class MediaUnusable(ValueError):
    """Whoever runs this named a folder or a csv that cannot be measured; the message says what is wrong."""


@dataclass(frozen=True)
class Pair:
    """Who is shown, and who drives."""

    source: str
    source_frame: int | None
    "Of a clip; None for the first that can be enrolled."
    driver: str
    driver_first: int = 0
    driver_count: int | None = None
    "None for all."

    @property
    def name(self) -> str:
        return f"{self.source} by {self.driver}"


@dataclass(frozen=True)
class Media:
    """What lies in a folder."""

    root: Path

    @cached_property
    def portraits(self) -> dict[str, Path]:
        return self._named("portraits", PHOTOS)

    @cached_property
    def clips(self) -> dict[str, Path]:
        folders = [one for one in (self.root / "clips").glob("*") if one.is_dir() and any(one.glob("*.png"))]
        return self._named("clips", FILMS) | {one.name: one for one in sorted(folders)}

    def _named(self, folder: str, endings: tuple[str, ...]) -> dict[str, Path]:
        inside = self.root / folder if (self.root / folder).is_dir() else self.root
        found = [one for one in inside.rglob("*") if one.suffix.lower() in endings]
        found = [one for one in found if not (folder == "portraits" and "clips" in one.parts)]
        names = [one.relative_to(inside).with_suffix("").as_posix() for one in found]
        return dict(sorted(zip(names, found, strict=True), key=lambda item: _in_order(item[0])))

    @cached_property
    def _people(self) -> dict[str, str]:
        path = self.root / "people.csv"
        return {row["name"]: row["person"] for row in _rows(path)} if path.is_file() else SAME

    def person(self, name: str) -> str:
        """Whom `name` shows."""
        return self._people.get(name, name.partition("/")[0])

    def frames(self, name: str) -> Iterator[Frame]:
        """Every picture of a clip, or the one of a portrait. Raises MediaUnusable, ClipUnreadable."""
        if name in self.portraits:
            return iter([Frame(_read(self.portraits[name]), 0.0)])
        if name not in self.clips:
            raise MediaUnusable(f"{self.root} has no portrait and no clip called {name!r}")
        path = self.clips[name]
        return _pictures(path) if path.is_dir() else clips.frames(path)

    def pairs(self) -> list[Pair] | None:
        """Those of pairs.csv, if there is one. Raises MediaUnusable."""
        path = self.root / "pairs.csv"
        return read_pairs(path) if path.is_file() else None


def read_pairs(path: Path) -> list[Pair]:
    """Raises MediaUnusable."""
    try:
        return [
            Pair(
                row["source"],
                _number(row["source_frame"]),
                row["driver"],
                _number(row["driver_first"]) or 0,
                _number(row["driver_count"]),
            )
            for row in _rows(path)
        ]
    except (KeyError, ValueError) as failure:
        raise MediaUnusable(
            f"{path} wants the columns source,source_frame,driver,driver_first,driver_count: {failure!r}"
        ) from failure


def write_pairs(pairs: list[Pair], path: Path) -> None:
    """As `read_pairs` reads them; what is None is left empty."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["source", "source_frame", "driver", "driver_first", "driver_count"])
        for one in pairs:
            writer.writerow([one.source, one.source_frame, one.driver, one.driver_first, one.driver_count])


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _number(text: str | None) -> int | None:
    return int(text) if text else None


def _in_order(name: str) -> tuple[int, str]:
    return (int(name), "") if name.isdigit() else (-1, name)


def _read(path: Path):
    pixels = cv2.imread(str(path))
    if pixels is None:
        raise MediaUnusable(f"{path} is no picture that can be read")
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def _pictures(folder: Path) -> Iterator[Frame]:
    for number, path in enumerate(sorted(folder.glob("*.png"))):
        yield Frame(_read(path), number / FRAME_RATE, number)
