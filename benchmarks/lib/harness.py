"""Harness: what every benchmark says about itself (machine, versions, commit, load) and how it is written down."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "results"
_PACKAGES = ("telequilt", "torch", "triton", "numpy", "mediapipe", "numba", "aiortc", "av", "opencv-contrib-python")
COLOURS = {"preprocess": "#0072b2", "drive": "#009e73", "render": "#e69f00", "compose": "#cc79a7", "encode": "#56b4e9"}
"Of each stage, in the order of a frame's way; told apart by the colour-blind too (M. Okabe, K. Ito, jfly.uni-koeln.de/color)."


def circumstances() -> dict[str, Any]:
    """Where and on what a measurement was made."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "command": " ".join(["python", "-m", _module(), *_asked(sys.argv[1:])]),
        "machine": {
            "processor": _processor(),
            "cores": len(os.sched_getaffinity(0)),
            "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
            "gpu": _gpu(),
            "system": platform.platform(terse=True),
        },
        "load_before": [round(value, 2) for value in os.getloadavg()],
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in _PACKAGES},
    }


def parser(doc: str | None) -> argparse.ArgumentParser:
    """For the command line of the benchmark whose docstring this is. argparse, since GPU machines may have nothing else."""
    return argparse.ArgumentParser(prog=f"python -m {_module()}", description=(doc or "").partition("\n")[0])


def write(name: str, result: dict[str, Any], folder: Path = RESULTS) -> Path:
    """Write `result` with its circumstances to `folder`/`name`.json."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(circumstances() | result, indent=2, default=_plain) + "\n")
    return path


def show(title: str, headings: Sequence[str], rows: Iterable[Sequence[object]], caption: str = "") -> None:
    """Print a table: by rich, or in plain text on a machine that lacks it. The first column is text, the others numbers."""
    cells = [[str(cell) for cell in row] for row in rows]
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        widths = [max(map(len, column)) for column in zip(headings, *cells, strict=True)]
        print(f"\n{title}")
        for row in (headings, ["-" * width for width in widths], *cells):
            first, *others = (
                cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
            )
            print("  ".join((first, *others)).rstrip())
        print(caption)
        return
    table = Table(title=title, caption=caption)
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number else "left")
    for row in cells:
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 120).print(table)


def pyplot() -> Any:
    """matplotlib's drawing surface without a screen, or None where it is not installed: results then come without pictures."""
    try:
        import matplotlib
    except ImportError:
        return None
    matplotlib.use("Agg")
    from matplotlib import pyplot as surface

    return surface


def _plain(value: object) -> object:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else str(value)


def _asked(words: list[str]) -> list[str]:
    """A command line without where its result goes, which is nobody else's."""
    return [
        word
        for before, word in zip(["", *words], words, strict=False)
        if "--out" not in (before, word) and not word.startswith("--out=")
    ]


def _module() -> str:
    spec = sys.modules["__main__"].__spec__
    return spec.name.removesuffix(".__main__") if spec else Path(sys.argv[0]).name


def _commit() -> str:
    """The commit, marked where the working tree differs from it."""
    here = Path(__file__).parent
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty=+changes", "--abbrev=12"],
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _gpu() -> str:
    import torch

    names = Counter(torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count()))
    return ", ".join(f"{count} x {name}" for name, count in names.items()) or "none"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
