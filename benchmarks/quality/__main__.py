"""Quality: whether an avatar looks like who it shows and does what its driver does; every figure beside four yardsticks.

    python -m benchmarks.quality                                    relief on ../shared/media, about half an hour of one core
    python -m benchmarks.quality --sources frontal_sharp_woman --drivers talk_frontal      one pair, under a minute
    python -m benchmarks.quality --data FOLDER --protocol voodoo3d-hdtf                    your own, as a paper pairs it
    python -m benchmarks.quality --quick                            a minute, on media made here, against the committed figures
    python -m benchmarks.quality.compare BEFORE.json AFTER.json     two results, frame by frame

A run that was stopped goes on where it stopped. Instruments that are missing are named: `make quality-instruments` brings them.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.lib.harness import RESULTS, write
from benchmarks.quality import bar, page, papers, protocols, tables, tracks
from benchmarks.quality.columns import COLUMNS, MEANING
from benchmarks.quality.instruments import brought, catalogue, expression, inception
from benchmarks.quality.made import Made
from benchmarks.quality.measuring import FID_OF
from benchmarks.quality.media import Media, MediaUnusable, Pair, write_pairs
from benchmarks.quality.results import KINDS, Rows, add_fid, figures, with_kept_share
from benchmarks.quality.running import WORK, Done, Run, tasks_of
from engines import catalogue as engines
from engines.contract import AnyEngine, WeightsMissing
from engines.parametric.train.anny import HeadsMissing

MEDIA = Path(__file__).parents[3] / "shared" / "media"


def main() -> int:
    wanted = _parser().parse_args()
    torch.set_num_threads(1)
    if not wanted.quick and not wanted.data.is_dir():
        print(f"{wanted.data} is not here: name a folder with portraits/ and clips/ by --data, or run --quick")
        return 2
    try:
        engine = engines.load(wanted.engine)
    except WeightsMissing as missing:
        print(f"not run: {missing}")
        return 2
    engine.warm_up()
    try:
        media = Made() if wanted.quick else Media(wanted.data)
        pairs = _pairs(media, wanted)
    except (MediaUnusable, HeadsMissing) as failure:
        print(failure)
        return 2
    return _quick(engine, media, pairs, wanted) if wanted.quick else _whole(engine, media, pairs, wanted)


def _whole(engine: AnyEngine, media: Media, pairs: list[Pair], wanted: argparse.Namespace) -> int:
    name = wanted.name or f"quality_{engine.name}_{media.root.name}"
    write_pairs(pairs, wanted.out / f"{name}_pairs.csv")
    run = Run(engine, media, wanted.every)
    done = list(run.measure(tasks_of(pairs, media, wanted.only)))
    result, rows = resulting(engine.name, media, wanted.protocol, wanted.every, done)
    path = _kept(name, result, rows, wanted.out)
    tables.show_all(result)
    papers.show_beside(result)
    _told(path, done)
    return 0


def _told(path: Path, done: list[Done]) -> None:
    """Curves beside the result at `path`, and the page."""
    written = json.loads(path.read_text())
    tracks.write(path.with_name(f"{path.stem}_tracks.png"), done, f"{written['engine']}, commit {written['commit']}")
    print(f"\n{path}, and beside it every frame's row (.npz), and curves (_tracks.png)")
    print(f"films, sheet and figures to look at: {page.write(WORK / 'pages' / path.stem, written, done)}")


def _quick(engine: AnyEngine, media: Media, pairs: list[Pair], wanted: argparse.Namespace) -> int:
    if bar.blind():
        return 0
    run = Run(engine, media, bar.EVERY, bar.LEFT_OUT)
    tasks = [task for task in tasks_of(pairs, media, wanted.only) if task.kind != "fan" or task.pair.source == "hopper"]
    done = list(run.measure(tasks))
    result, rows = resulting(engine.name, media, "quick", bar.EVERY, done)
    if wanted.accept:
        _told(_kept(bar.name_of(engine.name), result, rows, wanted.out), done)
        return 0
    return bar.held(wanted.out / f"{bar.name_of(engine.name)}.json", result, rows)


def _kept(name: str, result: dict[str, Any], rows: Rows, folder: Path) -> Path:
    path = write(name, result, folder)
    rows.save(path.with_suffix(".npz"))
    return path


def resulting(engine: str, media: Media, protocol: str, every: int, done: list[Done]) -> tuple[dict[str, Any], Rows]:
    """What a run comes to, and its rows."""
    rows = with_kept_share(Rows.joined([one.rows for one in done]))
    failures = [{"kind": one.task.kind, "pair": one.task.name} | failure for one in done for failure in one.failures]
    result: dict[str, Any] = {
        "engine": engine,
        "data": media.root.name,
        "protocol": protocol,
        "their_data": protocols.of_their_data(protocol, media),
        "every": every,
        "instruments": catalogue.used() | brought.used(),
        "not_measured": not_measured(),
        "not_run": not_run(engine),
        "people": len(set(rows.people.tolist())),
        "pairs": len({one.task.name for one in done if one.task.kind != "fan"}),
        "looked_at": sum(one.looked for one in done),
        "failures": failures,
        "yardsticks": MEANING,
        "columns": {one.name: {"label": one.label, "unit": one.unit, "better": one.better} for one in COLUMNS},
        "figures": figures(rows, failures),
    }
    _put_fid(result["figures"], done)
    return result, rows


def _put_fid(figured: dict[str, Any], done: list[Done]) -> None:
    """Of each kind's pictures and their references, where Inception was brought."""
    for kind in ("self", "cross"):
        mine = [one for one in done if one.task.kind == kind and one.deep]
        for condition in FID_OF if mine else ():
            shown, truth = (np.concatenate([one.deep[name] for one in mine]) for name in (condition, "reference"))
            people = len({one.rows.people[0] for one in mine})
            if len(shown) > 1:
                of = {"people": people, "pairs": len(mine), "values": len(shown)}
                add_fid(figured, kind, condition, round(inception.frechet(shown, truth), 3), of)


def not_measured() -> list[str]:
    """A line for everything that the papers measure and nothing here did."""
    lines = [f"not measured: {one.measures}: {catalogue.COMMAND}" for one in catalogue.missing()]
    lines += [f"not measured: {what}: {why}" for what, why in brought.lacking()]
    lines += [
        f"{name}: {one['brought']} is not the published file"
        for name, one in brought.used().items()
        if not one["published"]
    ]
    if not expression.here():
        lines.append(f"not measured: expression in mm on Anny's head: {expression.COMMAND}")
    return lines + [f"not measured: {what}: {why}" for what, why in catalogue.ELSEWHERE]


def not_run(measured: str) -> list[str]:
    """Engines that cannot be measured, since random networks have no quality."""
    return [
        f"{one.name}: not run: {one.failure.partition(': ')[2].replace(str(Path.home()), '~')}"
        for one in engines.listing()
        if one.name != measured and one.failure
    ]


def _pairs(media: Media, wanted: argparse.Namespace) -> list[Pair]:
    pairs = media.pairs() if wanted.quick or wanted.protocol == "all-pairs" else None
    if pairs is None:
        pairs = protocols.PROTOCOLS[wanted.protocol](media)
    chosen = [
        replace(pair, driver_count=min(pair.driver_count or wanted.frames, wanted.frames)) if wanted.frames else pair
        for pair in pairs
        if (not wanted.sources or pair.source in wanted.sources)
        and (not wanted.drivers or pair.driver in wanted.drivers)
    ]
    if not chosen:
        raise MediaUnusable(f"no pair is left: {media.root} has {[*media.portraits, *media.clips]}")
    return chosen


def _parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        prog="python -m benchmarks.quality",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = options.add_argument
    add("--engine", default=engines.DEFAULT, choices=engines.names(), help="whose avatars (default: relief)")
    add("--data", type=Path, default=MEDIA, help="folder with portraits/ and clips/ (default: ../shared/media)")
    add(
        "--protocol",
        default="all-pairs",
        choices=protocols.PROTOCOLS,
        help="which pairs; all-pairs reads pairs.csv if there is one",
    )
    add("--sources", nargs="+", help="only these portraits and clips are shown")
    add("--drivers", nargs="+", help="only these clips drive")
    add("--only", nargs="+", choices=KINDS, default=list(KINDS), help="self, cross, fan: which kinds of task")
    add("--frames", type=int, help="at most so many frames of each driver; all unless given")
    add("--every", type=int, default=25, help="every so manieth frame is scored; all of them are tracked (default: 25)")
    add("--quick", action="store_true", help="a minute on media made here, against the committed figures of the engine")
    add("--accept", action="store_true", help="with --quick: today's figures become the committed ones")
    add("--name", help="of the result's files")
    add("--out", type=Path, default=RESULTS, help="folder for them (default: benchmarks/results)")
    return options


if __name__ == "__main__":
    sys.exit(main())
