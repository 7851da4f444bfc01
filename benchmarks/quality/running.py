"""Running: every pair of a run, one after another, each kept on disk as soon as it is measured; a run that was stopped goes on where
it stopped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.quality import driving, fans, measuring
from benchmarks.quality.bench import Bench, Subject
from benchmarks.quality.driving import Driver
from benchmarks.quality.instruments import brought, catalogue
from benchmarks.quality.instruments.face import Looker
from benchmarks.quality.measuring import Failure, Measured
from benchmarks.quality.media import Media, Pair
from benchmarks.quality.results import Rows
from benchmarks.quality.seen import Picture
from engines.contract import AnyEngine, PortraitRejected

ROOT = Path(__file__).parents[2]
WORK = ROOT / "build" / "quality"
FAN = "the 24 views of "
REPORTING = {
    "__main__",
    "bar",
    "blind",
    "bootstrap",
    "compare",
    "comparing",
    "page",
    "papers",
    "protocols",
    "results",
} | {"set_up", "sheet", "tables", "tracks", "columns"}
"Files of this folder that change nothing of what is measured, only how it is told."


@dataclass(frozen=True)
class Task:
    """One thing that is measured at a time."""

    kind: str
    "self, cross or fan."
    pair: Pair

    @property
    def name(self) -> str:
        return FAN + self.pair.source if self.kind == "fan" else self.pair.name

    @property
    def file(self) -> str:
        return f"{self.kind}_{hashlib.sha256(repr(self).encode()).hexdigest()[:12]}"


@dataclass(frozen=True)
class Done:
    """What was measured of one task."""

    task: Task
    rows: Rows
    failures: list[dict[str, Any]]
    looked: int
    tracks: dict[str, np.ndarray]
    sheet: dict[str, np.ndarray]
    deep: dict[str, np.ndarray]
    "Condition -> [N, 2048] as Measured.deep."
    films: dict[str, Path]
    "Of the driver and of the avatar, H.264."


def tasks_of(pairs: Sequence[Pair], media: Media, only: Sequence[str]) -> list[Task]:
    """The pairs, those of one driver together; then the fan of every source, with the first that drives it."""
    kinds = [("self" if media.person(pair.source) == media.person(pair.driver) else "cross", pair) for pair in pairs]
    ordered = sorted(
        (Task(kind, pair) for kind, pair in kinds), key=lambda task: (task.pair.driver, task.kind != "self")
    )
    fans = {pair.source: Task("fan", pair) for _, pair in reversed(kinds)}
    every = ordered + sorted(fans.values(), key=lambda task: (task.pair.driver, task.pair.source))
    return [task for task in every if task.kind in only]


class Run:
    """An engine on some media."""

    def __init__(self, engine: AnyEngine, media: Media, every: int, without: Sequence[str] = ()) -> None:
        """Every `every`-th frame is scored; `without` some columns."""
        self.engine, self.media, self.every, self.without = engine, media, every, without
        self.bench = Bench(engine, Looker())
        self.folder = WORK / f"{engine.name}_{self._digest()}"
        self._driver: tuple[tuple[str, int, int | None, bool], Driver] | None = None
        self._subjects: dict[tuple[str, int | None], Subject | str] = {}
        self._numbers: dict[tuple[str, int | None], int] = {}

    def _digest(self) -> str:
        """Of all that figures depend on: our code, the instruments, the media, how often frames are scored."""
        sources = [
            path for folder in ("engines", "pipeline", "display") for path in sorted((ROOT / folder).rglob("*.py"))
        ]
        sources += [path for path in sorted(Path(__file__).parent.rglob("*.py")) if path.stem not in REPORTING]
        digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources))
        known = [sorted(catalogue.used()), brought.used(), str(self.media.root.resolve()), self.every, self.without]
        digest.update(json.dumps(known).encode())
        return digest.hexdigest()[:12]

    def measure(self, tasks: Sequence[Task]) -> Iterator[Done]:
        """Everything, with a bar; what was measured before is read."""
        self.folder.mkdir(parents=True, exist_ok=True)
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        with Progress(*columns) as progress:
            whole = progress.add_task("", total=len(tasks))
            for task in tasks:
                progress.update(whole, description=task.name)
                yield self._kept(task) or self._measured(task)
                progress.advance(whole)

    def _kept(self, task: Task) -> Done | None:
        facts, arrays = self.folder / f"{task.file}.json", self.folder / f"{task.file}.npz"
        if not facts.is_file():
            return None
        rows = Rows.load(self.folder / f"{task.file}_rows.npz")
        with np.load(arrays) as file:
            kept = {name: file[name] for name in file.files}
        tracks = {name[6:]: value for name, value in kept.items() if name.startswith("track_")}
        sheet = {name[6:]: value for name, value in kept.items() if name.startswith("sheet_")}
        deep = {name[5:]: value for name, value in kept.items() if name.startswith("deep_")}
        said = json.loads(facts.read_text())
        films = {name: self.folder / file for name, file in said["films"].items()}
        return Done(task, rows, said["failures"], said["looked"], tracks, sheet, deep, films)

    def _measured(self, task: Task) -> Done:
        measured = self._look(task)
        done = Done(
            task,
            Rows.of(task.kind, self.media.person(task.pair.source), task.name, measured),
            [asdict(failure) for failure in measured.failures],
            measured.looked,
            measured.tracks,
            measured.sheet,
            {name: np.stack(features) for name, features in measured.deep.items()},
            self._films(task, measured),
        )
        done.rows.save(self.folder / f"{task.file}_rows.npz")
        tracks = {f"track_{name}": value for name, value in measured.tracks.items()}
        sheet = {f"sheet_{name}": value for name, value in measured.sheet.items()}
        deep = {f"deep_{name}": value for name, value in done.deep.items()}
        np.savez_compressed(self.folder / f"{task.file}.npz", **tracks, **sheet, **deep)
        films = {name: path.name for name, path in done.films.items()}
        said = {"task": asdict(task), "failures": done.failures, "looked": done.looked, "films": films}
        facts = json.dumps(said)
        (self.folder / f"{task.file}.json").write_text(facts)  # last: what has this is whole
        return done

    def _films(self, task: Task, measured: Measured) -> dict[str, Path]:
        """A driver's film is made once for all who are driven by it."""
        if not measured.films:
            return {}
        mine = measured.tracks["times"]
        rate = round((len(mine) - 1) / max(float(mine[-1] - mine[0]), 1e-3)) if len(mine) > 1 else 1
        whose = hashlib.sha256(f"{task.pair.driver} {mine[0]} {len(mine)}".encode()).hexdigest()[:12]
        paths = {"driver": self.folder / f"driver_{whose}.mp4", "shown": self.folder / f"{task.file}.mp4"}
        for name, path in paths.items():
            if name == "shown" or not path.is_file():
                write_film(path, measured.films[name], rate)
        return paths

    def _look(self, task: Task) -> Measured:
        subject = self.subject(task.pair)
        if isinstance(subject, str):
            return Measured(failures=[Failure("as run", None, subject)])
        pair = task.pair
        itself = pair.source == pair.driver
        number = self._numbers.get((pair.source, pair.source_frame), 0)
        driver = self.driver(pair, number + 1 if itself else pair.driver_first)
        try:
            if task.kind == "fan":
                return fans.measure(self.bench, subject, driver, self._swap(pair))
            return measuring.measure(self.bench, subject, driver, itself, self._swap(pair), self.without)
        except PortraitRejected as refused:
            return Measured(failures=[Failure("as run", None, f"{refused.reason}: {refused}")])

    def driver(self, pair: Pair, first: int) -> Driver:
        """The pair's driver, observed once for all pairs that follow each other with it."""
        key = pair.driver, first, pair.driver_count, pair.source == pair.driver
        if self._driver is None or self._driver[0] != key:
            frames = self.media.frames(pair.driver)
            made = driving.observe(
                pair.driver,
                frames,
                first,
                pair.driver_count,
                self.every,
                self.engine.wants,
                self.bench.looker,
                raw=pair.source == pair.driver,
            )
            self._driver = key, made
        return self._driver[1]

    def subject(self, pair: Pair) -> Subject | str:
        """The pair's source, or why there is none."""
        key = pair.source, pair.source_frame
        if key not in self._subjects:
            try:
                portrait, self._numbers[key] = driving.source_of(self.media.frames(pair.source), pair.source_frame)
                found = self.bench.subject(pair.source, portrait)
                self._subjects[key] = found or "the meter sees no face in the source"
            except PortraitRejected as refused:
                self._subjects[key] = f"{refused.reason}: {refused}"
        return self._subjects[key]

    def _swap(self, pair: Pair) -> Picture | None:
        """Somebody who is neither shown nor drives."""
        taken = {self.media.person(pair.source), self.media.person(pair.driver)}
        for name in [*self.media.portraits, *self.media.clips]:
            if self.media.person(name) not in taken:
                other = self.subject(Pair(name, None, name))
                if isinstance(other, Subject):
                    return other.source
        return None


def write_film(path: Path, pictures: np.ndarray, rate: int) -> None:
    """[T, H, W, 3] uint8 as H.264, whole or not at all."""
    part = path.with_name(path.name + ".part")
    with av.open(str(part), "w", format="mp4", options={"movflags": "faststart"}) as container:
        film: Any = container.add_stream("libx264", rate=max(rate, 1))
        film.height, film.width = pictures.shape[1:3]
        film.pix_fmt, film.options = "yuv420p", {"crf": "20", "preset": "veryfast"}
        for picture in pictures:
            container.mux(film.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(film.encode(None))
    part.replace(path)
