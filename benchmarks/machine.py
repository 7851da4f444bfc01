"""Machine: what this machine is, and how fast each GPU multiplies: the yardstick of benchmarks/lib/floor.py, read off anew."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.lib.floor import FLOPS
from benchmarks.lib.harness import RESULTS, circumstances, parser, show, write

SIDE = {"cuda": 8192, "cpu": 512}
"Of the square matrices that are multiplied."
PRODUCTS = 10


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--out", type=Path, default=RESULTS, help="folder for the JSON")
    wanted = options.parse_args()
    gpus = [torch.device("cuda", number) for number in range(torch.cuda.device_count())]
    devices = [_facts(device) for device in gpus or [torch.device("cpu")]]
    here = circumstances()
    rows = [[name, value] for part in ("machine", "versions") for name, value in here[part].items()]
    show("this machine", ["", ""], rows)
    headings = ["device", "name", "GiB", "free", "TFLOP/s, bfloat16", "of the floor's"]
    show("its devices", headings, [list(device.values()) for device in devices])
    print(write("machine", {"devices": devices}, wanted.out))


def _facts(device: torch.device) -> dict[str, Any]:
    speed = multiplied(device)
    free, total = torch.cuda.mem_get_info(device) if device.type == "cuda" else (0, 0)
    return {
        "device": str(device),
        "name": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "gib": round(total / 2**30, 1),
        "free_gib": round(free / 2**30, 1),
        "tflops": round(speed / 1e12, 3),
        "of_floor": f"{speed / FLOPS:.1%}",
    }


def multiplied(device: torch.device) -> float:
    """Operations a second over bfloat16 matrices of random numbers; the median of PRODUCTS."""
    side = SIDE[device.type]
    draw = torch.Generator(device).manual_seed(1)
    one, other = (torch.randn(side, side, generator=draw, device=device).bfloat16() for _ in range(2))
    seconds = []
    for _ in range(3 + PRODUCTS):
        _wait(device)
        begun = time.perf_counter()
        torch.mm(one, other)
        _wait(device)
        seconds.append(time.perf_counter() - begun)
    return 2 * side**3 / median(seconds[3:])


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
