"""Tables: a result as people read it: every group of columns, every condition, intervals, and how many people that is of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from benchmarks.lib.harness import show
from benchmarks.quality.columns import COLUMNS, CONDITIONS, GROUPS, MEANING, YARDSTICKS, Column


def show_all(result: dict[str, Any]) -> None:
    """Every table, then what failed and what was not measured."""
    for group, heading in GROUPS.items():
        for kind in ("self", "cross", "fan"):
            rows = table(result, kind, group)
            if rows:
                conditions = [one for one in CONDITIONS if one in result["figures"][kind]]
                show(f"{heading}: {_of(kind)} ({counts(result, kind)})", ["", *conditions], rows)
    print("\n".join(f"{name}: {meaning}" for name, meaning in MEANING.items()))
    print(failed(result))
    print("\n".join([*result["not_measured"], *result["not_run"]]))


def table(result: dict[str, Any], kind: str, group: str) -> list[list[str]]:
    """A row for every column of `group` that was measured of `kind`."""
    by_condition = result["figures"].get(kind, {})
    rows = []
    for column in COLUMNS:
        cells = {one: by_condition[one].get(column.name) for one in CONDITIONS if one in by_condition}
        if column.group == group and any(cells.values()):
            unit = f" ({column.unit})" if column.unit else ""
            said = (written(column, cell, one not in YARDSTICKS) for one, cell in cells.items())
            rows.append([f"{column.label}{unit}{_arrow(column)}", *said])
    return rows


def written(column: Column, cell: dict[str, Any] | None, whole: bool = True) -> str:
    """Mean, and the interval where `whole`."""
    if cell is None:
        return "-"
    mean, low, high = (f"{cell[key]:.{column.decimals}f}" for key in ("mean", "low", "high"))
    return mean if low == high or not whole else f"{mean} [{low}, {high}]"


def counts(result: dict[str, Any], kind: str) -> str:
    """How many people, pairs and scored frames a table is of."""
    cells: Iterable[dict[str, Any]] = result["figures"][kind].get("as run", {}).values()
    most = {key: max((cell[key] for cell in cells), default=0) for key in ("people", "pairs", "values")}
    what = "moments of fans" if kind == "fan" else "frames scored"
    return f"{_counted(most['people'], 'person', 'people')}, {_counted(most['pairs'], 'pair', 'pairs')}, {most['values']} {what}"


def _counted(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def failed(result: dict[str, Any]) -> str:
    """Failures by what they are."""
    counted: dict[str, int] = {}
    for one in result["failures"]:
        key = f"{one['why'].partition(':')[0]}, {one['condition']} ({one['kind']})"
        counted[key] = counted.get(key, 0) + 1
    said = "; ".join(f"{count} x {key}" for key, count in sorted(counted.items())) or "none"
    return f"failures, counted and never averaged, of {result['looked_at']} pictures looked at: {said}"


def _of(kind: str) -> str:
    return {"self": "driven by oneself", "cross": "driven by others", "fan": "at rest and driven"}[kind]


def _arrow(column: Column) -> str:
    return {"higher": " ↑", "lower": " ↓", "one": " → 1", "none": ""}[column.better]
