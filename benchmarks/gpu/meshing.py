"""A parametric head's surface on a GPU: coarse to fine at 256^3 on the full-size network, beside every point of the grid.

    python -m benchmarks.gpu.meshing
    python -m benchmarks.gpu.meshing --small        32^3 on the CPU, to see that everything works

Needs torch and numpy; triangles are counted where scikit-image is installed.
"""

from __future__ import annotations

from pathlib import Path

import torch

from benchmarks.geometry import meshing
from benchmarks.lib.harness import RESULTS, parser, show, write

THESIS_SECONDS = 3.717
"Of the thesis' own mesh at 256^3, on a device that it does not name."


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--small", action="store_true", help="few points, on the CPU")
    options.add_argument("--out", type=Path, default=RESULTS, help="folder for the JSON")
    wanted = options.parse_args()
    device = "cuda" if torch.cuda.is_available() and not wanted.small else "cpu"
    found = meshing.measured(
        device, *((32, 16, 2) if wanted.small else (meshing.SIDE, 1 if device == "cuda" else meshing.SLABS))
    )
    show("256^3 of the full-size network", ["", *found], [[device, *(f"{value:.4g}" for value in found.values())]])
    print(write("meshing", {"device": device, "thesis_seconds": THESIS_SECONDS} | found, wanted.out))


if __name__ == "__main__":
    main()
