"""Compare: two results of benchmarks.quality, on the frames that both scored.

    python -m benchmarks.quality.compare BEFORE.json AFTER.json

Differences are AFTER less BEFORE, with the 95 % interval of a bootstrap over people, their pairs and seconds of film. Where that
interval holds zero nothing is called better or worse; of fewer than three people it is `better here`, of these films alone. Ends
with 1 if anything got worse.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.lib.harness import show
from benchmarks.quality import results
from benchmarks.quality.columns import BY_NAME, GROUPS
from benchmarks.quality.comparing import Difference, differences


def main() -> int:
    options = argparse.ArgumentParser(
        prog="python -m benchmarks.quality.compare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument("before", type=Path, help="a result's JSON, its .npz beside it")
    options.add_argument("after", type=Path)
    options.add_argument("--all", action="store_true", help="also what did not change demonstrably")
    wanted = options.parse_args()
    for path in (wanted.before, wanted.after):
        if not path.with_suffix(".npz").is_file():
            options.error(f"{path.with_suffix('.npz')} is not there: the rows of {path.name} are needed to compare")
    (before, first), (after, second) = results.load(wanted.before), results.load(wanted.after)
    print(f"before: {_said(before)}\nafter:  {_said(after)}")
    if before["instruments"] != after["instruments"]:
        print("The instruments differ: figures that they make are not to be compared.")
    found = differences(first, second)
    show_differences(found if wanted.all else [one for one in found if one.verdict != "not shown"])
    counted = {
        verdict: sum(one.verdict.startswith(verdict) for one in found) for verdict in ("better", "worse", "not shown")
    }
    print(", ".join(f"{verdict}: {count}" for verdict, count in counted.items()), f"of {len(found)} figures")
    print(
        f"Were nothing different, about {len(found) / 20:.0f} of them would be called so by chance: intervals are of 95 %."
    )
    return 1 if counted["worse"] else 0


def show_differences(found: list[Difference]) -> None:
    """A table for each group and kind."""
    headings = ["", "condition", "before", "after", "difference", "pairs won", ""]
    for group, heading in GROUPS.items():
        for kind in results.KINDS:
            chosen = [one for one in found if one.kind == kind and BY_NAME[one.column].group == group]
            if chosen:
                size = f"{max(one.change.people for one in chosen)} people, {max(one.change.pairs for one in chosen)} pairs"
                show(f"{heading}: {kind} ({size})", headings, [_row(one) for one in chosen])


def _row(one: Difference) -> list[str]:
    column = BY_NAME[one.column]
    number = f".{column.decimals}f"
    change = f"{one.change.mean:+{number}} [{one.change.low:+{number}}, {one.change.high:+{number}}]"
    won = "-" if one.won != one.won else f"{one.won:.0%}"
    label = column.label + (f" ({column.unit})" if column.unit else "")
    return [label, one.condition, f"{one.first:{number}}", f"{one.second:{number}}", change, won, one.verdict]


def _said(result: dict) -> str:
    return f"{result['engine']} at {result['commit']} of {result['date']} on {result['data']}, {result['pairs']} pairs"


if __name__ == "__main__":
    sys.exit(main())
