"""Kernel resources: what each kernel takes of a GPU's multiprocessor, compiled ahead for a GPU that is not there.

    python -m benchmarks.kernel_resources                      writes benchmarks/results/kernel_resources_sm90.json
    python -m benchmarks.kernel_resources --capability 80      for an A100
    python -m benchmarks.kernel_resources --every-tuning       all that the sweep may try

Marches, super-resolution, rasteriser and splatting run at full size on torch's meta device, and what they would launch is compiled instead,
with the arguments, and so the alignments, that they would launch it with. Needs Triton, whose wheel brings the assembler.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch.overrides import TorchFunctionMode

from benchmarks.lib.harness import RESULTS, parser, show, write

META = torch.device("meta")
REGISTERS, WARP, MOST_THREADS = 65536, 32, 2048
"Of a multiprocessor from compute capability 8.0 to 9.0 (CUDA C++ Programming Guide, technical specifications)."
TYPES = {
    torch.float32: "fp32",
    torch.float16: "fp16",
    torch.bfloat16: "bf16",
    torch.int8: "i8",
    torch.int32: "i32",
    torch.int64: "i64",
}
TOLD_APART = ("EVEN", "SPARSE", "COUNT", "FINE", "BENDS", "STYLED", "ADDS", "ADDED", "LEAKY", "EXACT")
"By which of its constants a kernel is named here."


@dataclass(frozen=True)
class Launch:
    """One launch as the product would make it."""

    kernel: Any
    grid: tuple[int, ...]
    given: tuple[object, ...]
    warps: int
    fixed: dict[str, Any]
    kept: torch.dtype
    "Of the planes or pictures."

    @property
    def signature(self) -> tuple[dict[str, str], dict[str, Any], dict[tuple[int, ...], list[list[object]]]]:
        """The types of a kernel's arguments, its constants, and what is known of the rest: as Triton does it at a launch."""
        types, constants, known = {}, dict(self.fixed), {}
        for place, name in enumerate(self.kernel.arg_names):
            if name in self.fixed:
                types[name] = "constexpr"
                continue
            value = self.given[place]
            if isinstance(value, torch.Tensor):
                types[name], sixteenths = f"*{TYPES[value.dtype]}", value.storage_offset() * value.itemsize % 16 == 0
            elif value == 1:
                types[name], constants[name], sixteenths = "constexpr", 1, False
            else:
                assert isinstance(value, int), (name, value)
                types[name], sixteenths = "i32" if abs(value) < 1 << 31 else "i64", value % 16 == 0
            if sixteenths:
                known[(place,)] = [["tt.divisibility", 16]]
        return types, constants, known


@dataclass(frozen=True)
class Resources:
    """What one kernel takes."""

    kernel: str
    kept: str
    "What planes or pictures are kept in."
    warps: int
    registers: int
    "Of a thread."
    spilled_bytes: int
    "Of a thread: what did not fit into registers and goes through memory."
    shared_bytes: int
    "Of a program."
    programs: int
    "How many may be on a multiprocessor at once by their registers and threads."


def main() -> None:
    wanted = _parsed()
    if os.environ.get("TRITON_INTERPRET") == "1":
        raise SystemExit("TRITON_INTERPRET=1 is set, under which nothing can be compiled; unset it")
    begun, found = time.perf_counter(), []
    for launch in launches(wanted.every_tuning):
        resources = compiled(launch, wanted.capability)
        if resources not in found:
            found.append(resources)
    rows = [list(asdict(one).values()) for one in found]
    headings = ["kernel", "kept in", "warps", "registers", "spilled bytes", "shared bytes", "programs a multiprocessor"]
    show(f"Kernels at full size, compiled for sm_{wanted.capability}", headings, rows)
    result = {"capability": wanted.capability, "seconds": round(time.perf_counter() - begun, 1), "kernels": found}
    print(write(f"kernel_resources_sm{wanted.capability}", result, wanted.out))


def _parsed() -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument(
        "--capability", type=int, default=90, help="of the GPU: 80 A100, 89 L4 and Ada, 90 H100 and H200"
    )
    options.add_argument(
        "--every-tuning", action="store_true", help="all ways of cutting marches up (engines/kernels/march.py)"
    )
    options.add_argument("--out", type=Path, default=RESULTS, help="folder for the JSON")
    return options.parse_args()


def launches(every_tuning: bool = False) -> Iterator[Launch]:
    """All that a frame of 24 views launches, with both kinds of planes; views super-resolved six at a time."""
    from engines.kernels.march import Tuning, tunings

    for dtype in (torch.float16, torch.float32):
        for tuning in tunings() if every_tuning else [Tuning()]:
            yield from _marching(dtype, tuning)
        yield from _super_resolving(dtype)
    yield from _rasterising()
    yield from _splatting()


def _rasterising() -> list[Launch]:
    from engines.kernels import raster

    with META, noted(torch.float32, raster) as found:
        raster.rasterised(torch.empty(24, 5023, 3), torch.empty(10006, 3, dtype=torch.int32), 256)
    return found


def _splatting() -> list[Launch]:
    from engines.kernels import splatting

    count, views, rules = 20018, 24, splatting.Rules(0.3, 1 / 255, 0.999, 0.05, 0.3)
    with META, noted(torch.float32, splatting) as found:
        points, covariances, colours = torch.empty(count, 3), torch.empty(count, 6), torch.empty(count, 3)
        whose, look, lens = torch.empty(views, 2, dtype=torch.int32), torch.empty(views, 12), torch.empty(views, 4)
        for exact in (False, True):
            splatting.draw(
                points, covariances, torch.empty(count), colours, whose, look, lens, count, 512, 512, rules, exact
            )
    return found


def _marching(dtype: torch.dtype, tuning: Any) -> list[Launch]:
    from engines.kernels import march
    from engines.shared_volume import Budget
    from engines.voodoo3d.network import FieldDecoder

    with META:
        planes, decoder = torch.empty(3, 32, 256, 256), FieldDecoder().requires_grad_(False).scaled()
        cameras = torch.empty(24, 4, 4), torch.empty(24, 3, 3)
    field = march.prepare(planes, decoder, dtype)
    with noted(dtype, march) as found:
        march.march(field, *cameras, channels=3, tuning=tuning)
        march.shared_march(field, *cameras, 128, Budget(), tuning=tuning)
    return found


def _super_resolving(dtype: torch.dtype) -> list[Launch]:
    from engines.kernels import convolved, modulated
    from engines.runtime.graphs import channels_last
    from engines.voodoo3d.architecture import Architecture
    from engines.voodoo3d.fused import FusedSuperResolution
    from engines.voodoo3d.superres import SuperResolution

    with META, torch.no_grad():
        network = SuperResolution(Architecture()).to(dtype)
        channels_last(network)
        with noted(dtype, convolved, modulated) as found, AsCudnn():
            FusedSuperResolution(network)(torch.empty(6, 3, 128, 128, dtype=dtype))
    return found


class AsCudnn(TorchFunctionMode):
    """Has convolutions leave their pictures channels last, as cuDNN does; the meta device leaves them row by row."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if func is not torch.conv2d:
            return made
        return torch.empty(made.shape, dtype=made.dtype, device=META, memory_format=torch.channels_last)


@contextmanager
def noted(dtype: torch.dtype, *modules: Any) -> Iterator[list[Launch]]:
    """What `modules` of engines/kernels would launch meanwhile."""
    found: list[Launch] = []

    def launch(kernel: Any, grid: tuple[int, ...], *given: object, warps: int, **fixed: object) -> None:
        found.append(Launch(kernel, grid, given, warps, fixed, dtype))

    with ExitStack() as patched:
        for module in modules:
            patched.enter_context(patch.object(module, "launch", launch))
        yield found


def compiled(launch: Launch, capability: int) -> Resources:
    """What a launch's kernel takes on a GPU of this compute capability. Raises what Triton and its assembler raise."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    source = ASTSource(launch.kernel, *launch.signature)
    options = {"num_warps": launch.warps, "num_stages": 1}
    made: Any = triton.compile(source, target=GPUTarget("cuda", capability, WARP), options=options)
    registers, spilled = _measured(made.asm["cubin"])
    by_registers = REGISTERS // (-(-registers // 8) * 8 * WARP * launch.warps)  # given out by the eight
    constants = ", ".join(f"{name} {launch.fixed[name]}" for name in TOLD_APART if name in launch.fixed)
    return Resources(
        f"{launch.kernel.__name__.strip('_')} {constants}".strip(),
        TYPES[launch.kept],
        launch.warps,
        registers,
        spilled,
        made.metadata.shared,
        min(by_registers, MOST_THREADS // (WARP * launch.warps)),
    )


def _measured(cubin: bytes) -> tuple[int, int]:
    """Registers of a thread, and the bytes of its stack: kernels here have no arrays, so what is there was spilled."""
    from triton import knobs

    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        command = [knobs.nvidia.cuobjdump.path, "--dump-resource-usage", file.name]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    usage = {name: int(count) for name, count in re.findall(r"(REG|STACK|LOCAL):(\d+)", said)}
    return usage["REG"], usage["STACK"] + usage["LOCAL"]


if __name__ == "__main__":
    main()
