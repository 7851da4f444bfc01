"""Runtimes: every runtime and precision that a device can have, held against eager in float32, component by component.

    python -m benchmarks.runtimes --synthetic-weights
    python -m benchmarks.runtimes --small                    a small network, to see that everything works

Needs torch and numpy alone, unlike `python -m server engines verify`, which says the same. 1 where a component does not agree.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import Any

import torch

from benchmarks.lib.harness import RESULTS, parser, show, write
from engines.runtime import Precision
from engines.runtime.verify import Verdict, verify
from engines.voodoo3d.engine import Voodoo3d


def main() -> None:
    wanted = _parsed()
    device = torch.device("cuda", 0) if torch.cuda.is_available() and not wanted.cpu else torch.device("cpu")
    machine = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    precisions = [Precision(name) for name in wanted.precision]
    verdicts: list[Verdict] = []
    engine = Voodoo3d.on_trial(wanted.small) if wanted.small or wanted.synthetic_weights else Voodoo3d()
    for verdict in verify(engine, device, wanted.runtime, precisions):
        verdicts.append(verdict)
        print(
            f"{verdict.component}: {verdict.runtime}, {verdict.precision.value}: {_level(verdict.decibels)} dB",
            flush=True,
        )
    what = f"voodoo3d{', small' if wanted.small else ''}, {machine}"
    show(
        f"runtimes against eager in float32: {what}",
        ["component", "runtime", "ran by", "precision", "worst", "dB", "at least", "ms", "agrees"],
        [_row(verdict) for verdict in verdicts],
        "dB: how far the mean error lies below the span of what is right; ms: median of one call",
    )
    print(write("runtimes_voodoo3d", {"what": what, "verdicts": [_facts(verdict) for verdict in verdicts]}, wanted.out))
    sys.exit(not all(verdict.passed for verdict in verdicts))


def _parsed() -> argparse.Namespace:
    options = parser(__doc__)
    add = options.add_argument
    add("--runtime", nargs="+", help="eager, graphs, trt; all that the device can have if none is named")
    add("--precision", nargs="+", default=[], help="float32, bfloat16, float16; all if none is named")
    add("--synthetic-weights", action="store_true", help="run without weights")
    add("--small", action="store_true", help="a small network, to see that everything works")
    add("--cpu", action="store_true", help="leave a GPU alone")
    add("--out", type=Path, default=RESULTS, help="folder for the JSON")
    return options.parse_args()


def _row(verdict: Verdict) -> list[str]:
    return [
        verdict.component,
        verdict.runtime,
        verdict.by,
        verdict.precision.value,
        f"{verdict.worst:.1e}",
        _level(verdict.decibels),
        _level(verdict.least),
        f"{verdict.milliseconds:.2f}",
        "yes" if verdict.passed else "NO",
    ]


def _level(decibels: float) -> str:
    return "same" if decibels == math.inf else f"{decibels:.0f}"


def _facts(verdict: Verdict) -> dict[str, Any]:
    finite = {name: None for name in ("decibels", "least") if not math.isfinite(getattr(verdict, name))}
    return vars(verdict) | {"precision": verdict.precision.value} | finite


if __name__ == "__main__":
    main()
