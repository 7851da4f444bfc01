"""Papers: the papers' own tables beside a run's, in two blocks, and why they are not one. Numbers are as printed there."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from benchmarks.lib.harness import show
from benchmarks.quality.columns import FID
from benchmarks.quality.instruments import brought, catalogue, inception

THEIRS = {"voodoo3d-hdtf": ("voodoo3d_tab1_self", "voodoo3d_tab1_cross"), "voodoo3d-celeba": ("voodoo3d_tab2",),
          "lpr-hdtf": ("voodoo3d_tab6",), "lpr-celeba": ("voodoo3d_tab7",)}  # fmt: skip
"Protocol -> the tables that were measured by it."
USUAL = ("voodoo3d_tab1_self", "voodoo3d_tab1_cross", "voodoo3d_tab2", "rome_slides_self", "rome_slides_cross")
OURS = {"PSNR": (("psnr", ""),), "SSIM": (("ssim", ""),), "LPIPS": (("lpips_alex", "lpips_alex"), ("lpips_vgg", "lpips_vgg")),
        "CSIM": (("source_arcface", "arcface"),), "FID": (("fid", "inception"),)}  # fmt: skip
"Of the papers' columns those that are exact, or made by an instrument of theirs: (our column, what has to be brought for it)."


def tables() -> dict[str, dict[str, Any]]:
    """Id -> table."""
    data = json.loads(files("benchmarks.quality").joinpath("papers.json").read_text())
    return {table["id"]: table for table in data["tables"]}


def why_apart(result: dict[str, Any]) -> list[str]:
    """Why this result's figures are not in one table with the papers'; empty where its columns of OURS may be."""
    reasons = []
    if result["protocol"] not in THEIRS:
        reasons.append(f"other data and pairs: {result['data']} by {result['protocol']}")
    elif not result.get("their_data"):
        reasons.append(f"other data: what lies in {result['data']} is not called as the paper's is")
    reasons += [f"{what}: {why}" for what, why in (*brought.lacking(), *catalogue.ELSEWHERE)]
    for column, columns in OURS.items():
        reasons += [
            f"{column} by {name}: {why}" for name, wants in columns if wants and (why := _kept_out(result, name, wants))
        ]
    reasons.append("the papers leave open crop, mask, size, and how frames are averaged (definitions: docs/quality.md)")
    return reasons


def joined(result: dict[str, Any]) -> list[tuple[str, list[str], list[list[str]]]]:
    """Of a run by a paper's protocol on that paper's data: its tables, this engine's row in them with what is exact or made by the
    published instrument, and a dash where an instrument is another."""
    made = []
    for name in THEIRS.get(result["protocol"], ()) if result.get("their_data") else ():
        table = tables()[name]
        kind = "self" if table["task"].startswith("self") else "cross"
        own = result["figures"].get(kind, {}).get("matched", {})
        found = [_ours(result, own, column) for column in table["columns"]]
        instruments = [wants for _, wants in found if wants]
        ours = f"{result['engine']}, matched" + (f", by {', '.join(instruments)}" if instruments else "")
        made.append((_title(table), table["columns"], [*_rows(table), [ours, *(cell for cell, _ in found)]]))
    return made


def _ours(result: dict[str, Any], own: dict[str, Any], column: str) -> tuple[str, str]:
    """This run's figure for a paper's column, or a dash, and by which instrument that was brought."""
    for name, wants in OURS.get(column, ()):
        if name in own and not _kept_out(result, name, wants):
            return f"{own[name]['mean']:.3f}", wants
    return "-", ""


def _kept_out(result: dict[str, Any], name: str, wants: str) -> str:
    """Why a figure that was measured may not stand in a paper's column; empty where it may, or was not measured."""
    if not wants or (used := result["instruments"].get(wants)) is None:
        return ""
    if not used["published"]:
        return f"{used['brought']} is not the published file, whatever it measures"
    most = [by["matched"][name]["values"] for by in result["figures"].values() if name in by.get("matched", {})]
    if name == FID and most and max(most) < inception.LEAST:
        return f"of {max(most)} pictures, of at least {inception.LEAST}: of fewer it says more of their number than of them"
    return ""


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
