"""Papers: the papers' own tables beside a run's, in two blocks, and why they are not one. Numbers are as printed there."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from benchmarks.lib.harness import show
from benchmarks.quality.instruments import catalogue

THEIRS = {"voodoo3d-hdtf": ("voodoo3d_tab1_self", "voodoo3d_tab1_cross"), "voodoo3d-celeba": ("voodoo3d_tab2",),
          "lpr-hdtf": ("voodoo3d_tab6",), "lpr-celeba": ("voodoo3d_tab7",)}  # fmt: skip
"Protocol -> the tables that were measured by it."
USUAL = ("voodoo3d_tab1_self", "voodoo3d_tab1_cross", "voodoo3d_tab2", "rome_slides_self", "rome_slides_cross")
OURS = {"PSNR": "psnr", "SSIM": "ssim"}
"Of the papers' columns those that are exact whatever instrument computes them."


def tables() -> dict[str, dict[str, Any]]:
    """Id -> table."""
    data = json.loads(files("benchmarks.quality").joinpath("papers.json").read_text())
    return {table["id"]: table for table in data["tables"]}


def why_apart(result: dict[str, Any]) -> list[str]:
    """Why this result's figures are not in one table with the papers'; empty where its columns of OURS may be."""
    reasons = []
    if result["protocol"] not in THEIRS:
        reasons.append(f"other data and pairs: {result['data']} by {result['protocol']}")
    reasons += [f"{what}: {why}" for what, why in catalogue.ELSEWHERE]
    reasons.append("the papers leave open crop, mask, size, and how frames are averaged (definitions: docs/quality.md)")
    return reasons


def joined(result: dict[str, Any]) -> list[tuple[str, list[str], list[list[str]]]]:
    """Of a run by a paper's protocol: its tables, this engine's row in them with what is exact, and a dash where an instrument is
    another."""
    made = []
    for name in THEIRS.get(result["protocol"], ()):
        table = tables()[name]
        kind = "self" if table["task"].startswith("self") else "cross"
        own = result["figures"].get(kind, {}).get("matched", {})
        cells = [own.get(OURS.get(column, ""), {}).get("mean") for column in table["columns"]]
        rows = [
            *_rows(table),
            [f"{result['engine']}, matched", *("-" if cell is None else f"{cell:.3f}" for cell in cells)],
        ]
        made.append((_title(table), table["columns"], rows))
    return made


def beside(result: dict[str, Any]) -> list[tuple[str, list[str], list[list[str]]]]:
    """Title, columns and rows of the tables that stand beside a result: its own protocol's, or the usual ones."""
    known = tables()
    return joined(result) or [(_title(known[name]), known[name]["columns"], _rows(known[name])) for name in USUAL]


def show_beside(result: dict[str, Any]) -> None:
    """The papers' block on the terminal."""
    for title, columns, rows in beside(result):
        show(title, ["", *columns], rows)
    print("The papers' figures stand apart from this run's, since:")
    print("\n".join(f"  {reason}" for reason in why_apart(result)))


def _rows(table: dict[str, Any]) -> list[list[str]]:
    return [
        [name, *("-" if value is None else str(value) for value in values)] for name, values in table["rows"].items()
    ]


def _title(table: dict[str, Any]) -> str:
    return f"Published in {table['paper']}, {table['where']}: {table['task']}, {table['dataset'] or 'data not said'}"
