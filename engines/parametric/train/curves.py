"""Curves: how the terms of a training fell, as a picture."""

from __future__ import annotations

import csv
from pathlib import Path


def drawn(folder: Path) -> Path | None:
    """`curves.png` of the tables in a run's folder; None where there are none yet."""
    tables = [path for path in (folder / "identity.csv", folder / "expression.csv") if path.is_file()]
    if not tables:
        return None
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6 * len(tables), 4), layout="constrained")
    for k, path in enumerate(tables):
        with path.open() as file:
            rows = list(csv.DictReader(file))
        axes = figure.add_subplot(1, len(tables), k + 1)
        for name in list(rows[0])[2:]:
            points = [(int(row["step"]), float(row[name])) for row in rows if row.get(name)]
            axes.semilogy(*zip(*points, strict=True), label=name)
        axes.set(title=path.stem, xlabel="step")
        axes.legend()
    out = folder / "curves.png"
    figure.savefig(out)
    return out
