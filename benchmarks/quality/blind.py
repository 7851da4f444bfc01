"""Blind: which of two results people prefer, without knowing which is which. Nothing is sent anywhere: votes are a file.

    python -m benchmarks.quality.blind PAGE_A PAGE_B --out study            study/index.html asks; a rater saves a csv
    python -m benchmarks.quality.blind --count votes/*.csv                  wins with intervals; no claim from fewer than ten raters

Pages are the folders that benchmarks.quality wrote (build/quality/pages). The two films stand left and right at random.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import shutil
import sys
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from benchmarks.lib.harness import show

QUESTIONS = {
    "same": "Which looks more like the person in the photo?",
    "does": "Which does more nearly what the caller does?",
    "real": "Which looks more real?",
}
RATERS = 10
"Fewer allow no claim."
SURE = 1.96
"Of a normal distribution, for 95 %."


def main() -> int:
    options = argparse.ArgumentParser(
        prog="python -m benchmarks.quality.blind",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument("pages", nargs="*", type=Path, metavar="PAGE", help="two folders with films.json")
    options.add_argument("--out", type=Path, default=Path("build/quality/study"), help="folder of the study")
    options.add_argument("--count", nargs="+", type=Path, metavar="CSV", help="votes to count")
    wanted = options.parse_args()
    if wanted.count:
        lacking = [str(path) for path in wanted.count if not path.is_file()]
        if lacking:
            options.error(f"there is no {', '.join(lacking)}: raters save a csv at the end of the study's page")
        count(wanted.count)
        return 0
    if len(wanted.pages) != 2 or not all((page / "films.json").is_file() for page in wanted.pages):
        options.error(
            "two folders with films.json are wanted: python -m benchmarks.quality writes them to build/quality/pages"
        )
    first, second = wanted.pages
    if _said(first) == _said(second):
        options.error(f"both pages are of {_said(first)}: two results are wanted, of two engines or commits")
    if not _pairs(first) & _pairs(second):
        options.error("these two results have no pair in common: run both on the same portraits and clips")
    print(f"open {make(first, second, wanted.out)}")
    return 0


def make(first: Path, second: Path, out: Path) -> Path:
    """The study of the pairs that both pages have; returns its index.html."""
    one, other = (json.loads((page / "films.json").read_text()) for page in (first, second))
    theirs = {film["pair"]: film for film in other["films"]}
    (out / "films").mkdir(parents=True, exist_ok=True)
    trials = []
    for number, film in enumerate(film for film in one["films"] if film["pair"] in theirs):
        sources = {
            "driver": first / film["driver"],
            "a": first / film["shown"],
            "b": second / theirs[film["pair"]]["shown"],
        }
        for name, path in sources.items():
            shutil.copy(path, out / "films" / f"{number}{name}.mp4")
        shutil.copy(first / film["source"], out / "films" / f"{number}source.png")
        trials.append({"pair": film["pair"], "number": number})
    names = [_said(page) for page in (first, second)]
    page = files("benchmarks.quality").joinpath("blind.html").read_text()
    (out / "index.html").write_text(
        page.replace("{{trials}}", json.dumps(trials))
        .replace("{{names}}", json.dumps(names))
        .replace("{{questions}}", json.dumps(QUESTIONS))
    )
    return out / "index.html"


def _said(page: Path) -> str:
    known = json.loads((page / "films.json").read_text())
    return f"{known['engine']} {known['commit']}"


def _pairs(page: Path) -> set[str]:
    return {film["pair"] for film in json.loads((page / "films.json").read_text())["films"]}


def count(votes: Sequence[Path]) -> None:
    """Wins of each question by rater, and over raters, with Wilson's interval."""
    rows = [row for path in votes for row in csv.DictReader(path.open(newline=""))]
    raters = sorted({row["rater"] for row in rows})
    if not rows:
        print("no votes in these files")
        return
    first = rows[0]["first"]
    table = []
    for question, words in QUESTIONS.items():
        asked = [row for row in rows if row["question"] == question]
        for rater in [*raters, None]:
            chosen = [row for row in asked if rater in (None, row["rater"])]
            wins = sum(row["choice"] == first for row in chosen)
            low, high = wilson(wins, len(chosen))
            table.append([words, rater or "all", f"{wins} of {len(chosen)}", f"{low:.0%} to {high:.0%}"])
    show(f"How often {first} is chosen over {rows[0]['second']}", ["question", "rater", "wins", "95 %"], table)
    if len(raters) < RATERS:
        print(f"{len(raters)} of them voted: no claim is made from fewer than {RATERS}.")


def wilson(wins: int, trials: int) -> tuple[float, float]:
    """The interval of a share (E. B. Wilson, JASA 22, 1927)."""
    if not trials:
        return 0.0, 1.0
    share, z = wins / trials, SURE
    middle = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return max(0.0, middle - half), min(1.0, middle + half)


if __name__ == "__main__":
    sys.exit(main())
