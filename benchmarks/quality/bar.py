"""Bar: a minute's run on media that are made here, held against figures that are committed: whether an engine got worse.

A figure is worse where the paired difference on the same frames is certainly worse, and larger than the committed figure's own interval
and than SLACK. Of figures of whole films there are too few for an interval: they may differ by SLACK.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.quality import results
from benchmarks.quality.columns import BY_NAME, FID
from benchmarks.quality.compare import show_differences
from benchmarks.quality.comparing import FEW, Difference, differences
from benchmarks.quality.instruments import catalogue
from benchmarks.quality.results import Rows

EVERY = 15
"Frames between those that are scored."
LEFT_OUT = ("stlpips", FID)
"Instruments that take too long for a minute."
SLACK = {
    "_correlation": 0.05, "_slope": 0.1, "_lag": 20.0, "_faceres": 0.02, "_mobileface": 0.02, "rest_points": 1.5, "rest_pixels": 0.3,
    "moving": 0.3, "warped": 0.5, "mirror": 0.3, "holes": 0.05,
}  # fmt: skip
"Ending of a column -> by how much it may differ at any rate. Of others: five units of the last decimal."


def name_of(engine: str) -> str:
    """What the committed figures are called."""
    return f"quality_bar_{engine}"


def worse(committed: dict[str, Any], before: Rows, now: Rows) -> list[Difference]:
    """What got worse, of figures that both have."""
    return [one for one in differences(before, now, ("as run",)) if one.gain < 0 and _beyond(committed, one)]


def _beyond(committed: dict[str, Any], found: Difference) -> bool:
    cell = committed["figures"].get(found.kind, {}).get(found.condition, {}).get(found.column)
    if cell is None or BY_NAME[found.column].better == "none":
        return False
    units = 5 * 10 ** -BY_NAME[found.column].decimals
    slack = next((most for ending, most in SLACK.items() if found.column.endswith(ending)), units)
    certain = found.verdict.startswith("worse") or found.change.values < FEW
    return certain and -found.gain > max((cell["high"] - cell["low"]) / 2, slack)


def blind() -> bool:
    """Says that nothing can be compared where FaceLandmarker is missing: another eye sees other points."""
    if catalogue.here("blendshapes"):
        return False
    print(
        f"not held to anything: the committed figures are FaceLandmarker's, which was not brought: {catalogue.COMMAND}"
    )
    return True


def held(path: Path, result: dict[str, Any], rows: Rows) -> int:
    """Says what got worse than the committed figures at `path`, and returns an exit status."""
    if not path.is_file():
        print(f"{path} is not there: nothing to hold {result['engine']} to. Accept today's figures: --quick --accept")
        return 2
    committed, before = results.load(path)
    if missing := sorted(committed["instruments"].keys() - result["instruments"].keys()):
        print(f"not compared for want of instruments: {', '.join(missing)}: {catalogue.COMMAND}")
    found = worse(committed, before, rows)
    lost = len(result["failures"]) - len(committed["failures"])
    if lost > 0:
        print(f"{lost} more pictures without a face than at {committed['commit']}")
    if found:
        show_differences(found)
    if found or lost > 0:
        print(f"worse than at {committed['commit']}; if that is meant: python -m benchmarks.quality --quick --accept")
        return 1
    print(f"nothing is worse than at {committed['commit']}")
    return 0
