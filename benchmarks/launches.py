"""Launches: what a driven frame asks of a GPU's queue: kernels, copies, what is sent there and what is waited for.

Counted without a GPU: every operation of the frame's real way runs on torch's meta device, which knows shapes and no numbers, so
that anything which would have to look at a number (and wait for it) raises. A recorded component counts as the one launch it is.

    python -m benchmarks.launches              writes benchmarks/results/launches_voodoo3d.json
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from benchmarks.kernel_resources import META, AsCudnn, Launch, noted
from benchmarks.lib.harness import RESULTS, show, write
from display import optics
from display.colour import Layout
from display.label import mark
from display.optics import fan
from display.planar import converted
from display.quilt import on_device
from display.screen import PRODUCT, screen
from display.views import ViewSet
from engines.contract import CROP, FaceObservation
from engines.runtime import Component, Run, Runtime
from engines.runtime.eager import Called, Eager
from engines.runtime.graphs import Recording, Replayed, Turn, channels_last
from engines.shared_volume import Sampling
from engines.voodoo3d.architecture import Architecture
from engines.voodoo3d.drive import Voodoo3dState, drive
from engines.voodoo3d.enrol import Samples, Voodoo3dAvatar
from engines.voodoo3d.fused import FusedSuperResolution
from engines.voodoo3d.network import VIEWS_AT_ONCE, Voodoo3D
from engines.voodoo3d.render import render
from engines.voodoo3d.superres import SuperResolution

_COPIES = {"copy_", "clone", "_to_copy", "cat", "stack"}
_FREE = {"lift_fresh", "_unsafe_view", "empty", "new_empty", "empty_like", "empty_strided"}
"Neither launches nor copies: names for memory."
_WAITED_FOR = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}


@dataclass(frozen=True)
class Launches:
    """Of one piece of work."""

    kernels: int
    copies: int
    "From device memory to device memory."
    replays: int
    "Recorded graphs, one launch each."
    sent: int
    "Arrays from the host."
    fetched: int
    "Arrays to the host."
    waits: int
    "Numbers that the host has to have before it can go on."

    @property
    def total(self) -> int:
        return self.kernels + self.copies + self.replays + self.sent + self.fetched

    def __add__(self, other: Launches) -> Launches:
        return Launches(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))


class Counting(TorchDispatchMode):
    """Counts what would reach the device while it is entered."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()
        self._lists = _Lists(self.seen)

    def __enter__(self) -> Counting:
        self._lists.__enter__()
        return super().__enter__()

    def __exit__(self, *failure: Any) -> None:
        super().__exit__(*failure)
        self._lists.__exit__(*failure)

    @property
    def launches(self) -> Launches:
        return Launches(**{kind.name: self.seen[kind.name] for kind in fields(Launches)})

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kind = _kind(func, tree_flatten((args, kwargs))[0])
        if kind:
            self.seen[kind] += 1
        if kind == "fetched":
            return args[0]  # there is nothing to be copied
        return func(*args, **(kwargs or {}))


class _Lists(TorchFunctionMode):
    """Sees Python's lists of numbers on their way to the device, which no operation shows."""

    def __init__(self, seen: Counter[str]) -> None:
        super().__init__()
        self._seen = seen

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in (Tensor.__getitem__, Tensor.__setitem__):
            indices = args[1] if isinstance(args[1], tuple) else (args[1],)
            self._seen["sent"] += any(isinstance(index, list | np.ndarray) for index in indices)
        elif func in (torch.tensor, torch.as_tensor):
            self._seen["sent"] += result.device == META
        return result


def _kind(func: Any, given: list[Any]) -> str | None:
    name = func.name().removeprefix("aten::").partition(".")[0]
    if _WAITED_FOR & set(func.tags):
        return "waits"
    if func.is_view or name in _FREE:
        return None
    tensors = [each for each in given if isinstance(each, Tensor)]
    if name == "copy_" and tensors[0].device != META and tensors[1].device == META:
        return "fetched"
    there = META in given or any(tensor.device == META for tensor in tensors)
    if any(tensor.device != META and tensor.dim() for tensor in tensors):
        return "sent" if there else None  # else: the host's own affair
    return "copies" if name in _COPIES else "kernels"


class Counted:
    """A runtime for the meta device that replays recordings as `graphs` does; each is counted and computes nothing."""

    name: ClassVar[str] = "graphs"

    def __init__(self, counting: Counting) -> None:
        self._counting = counting

    def prepare(self, component: Component) -> Run:
        if not component.often:
            return Called(component.module)
        inputs = component.example()
        output = Called(component.module)(*inputs)

        def replay() -> None:
            self._counting.seen["replays"] += 1

        return Replayed(Recording(inputs, output, replay), Turn(META), self.name)


def driven(runtime: str, arch: Architecture = Architecture(), samples: Samples = Samples()) -> Launches:
    """Of one driven frame up to its state."""
    with_network = _network(runtime, arch)
    draw = np.random.default_rng(1)
    points = np.zeros((478, 3), np.float32)
    crop, matte = draw.integers(0, 256, (CROP, CROP, 3), np.uint8), np.ones((CROP, CROP), np.float32)
    seen = FaceObservation(points, points, points, optics.orbit(3), 1.0, crop=crop, matte=matte)
    avatar = Voodoo3dAvatar(_planes(arch), torch.empty(1, arch.width, arch.tokens, arch.tokens, device=META))
    return with_network(lambda network: drive(network, avatar, seen, samples))


def rendered(
    views: int, runtime: str, sampling: Sampling, arch: Architecture = Architecture(), samples: Samples = Samples()
) -> Launches:
    """Of `views` neighbouring views of our own quilt, up to 8-bit pictures in the screen's shape."""
    cameras = fan(screen(PRODUCT)).split(screen(PRODUCT).views // views)[0]
    assert len(cameras) == views, f"{views} does not divide {screen(PRODUCT).views} views"
    state = Voodoo3dState(_planes(arch), optics.orbit(0))
    return _network(runtime, arch)(lambda network: render(network, [(state, cameras)], samples, sampling))


def pictured() -> Launches:
    """Of the views of our own quilt, composed, marked, converted for an encoder and brought to the host."""
    target = screen(PRODUCT)
    its_mark = mark(target, META.type)
    shape = target.views, target.tile_height, target.tile_width, 4
    views = ViewSet(torch.empty(shape, dtype=torch.uint8, device=META), 0)
    with torch.no_grad(), Counting() as counting:
        picture = converted(on_device([views], target, its_mark), Layout.NV12)
        torch.empty_like(picture, device="cpu").copy_(picture)  # as pipeline/devices/transfer.py lands it
    return counting.launches


def frame(
    runtime: str, sampling: Sampling, arch: Architecture = Architecture(), samples: Samples = Samples()
) -> Launches:
    """Of a whole driven frame on one GPU: driven, every view of our own quilt rendered, the quilt brought to the host."""
    views = screen(PRODUCT).views
    return driven(runtime, arch, samples) + rendered(views, runtime, sampling, arch, samples) + pictured()


def super_resolved(fused: bool, arch: Architecture = Architecture()) -> Launches:
    """Of what a recorded batch of super-resolution holds, its module's operations or with kernels of our own; cuDNN adds biases
    by one more each, of which only the module has any."""
    with META, torch.no_grad():
        network = SuperResolution(arch).half()
        channels_last(network)
        run = FusedSuperResolution(network) if fused else network
        pictures = torch.empty(VIEWS_AT_ONCE["cuda"], 3, arch.marched, arch.marched, dtype=torch.float16)
        with _kernels(fused) as ours, Counting() as counting, AsCudnn():
            run(pictures)
    return replace(counting.launches, kernels=counting.launches.kernels + len(ours))


@contextmanager
def _kernels(fused: bool) -> Iterator[list[Launch]]:
    """Our own that would be launched meanwhile."""
    if not fused:
        yield []
        return
    from engines.kernels import convolved, modulated  # need Triton

    with noted(torch.float16, convolved, modulated) as ours:
        yield ours


def _network(runtime: str, arch: Architecture) -> Callable[[Callable[[Voodoo3D], object]], Launches]:
    with META:
        network = Voodoo3D(arch)
    counting = Counting()
    chosen: Runtime = Eager() if runtime == "eager" else Counted(counting)
    network.run_by(chosen, VIEWS_AT_ONCE["cuda"])

    def counted(work: Callable[[Voodoo3D], object]) -> Launches:
        with torch.no_grad():
            work(network)  # prepares its components, which is not of a frame
            counting.seen.clear()
            with counting:
                work(network)
        return counting.launches

    return counted


def _planes(arch: Architecture) -> Tensor:
    return torch.empty(1, 3, 32, arch.planes, arch.planes, device=META)


_WAYS = (("torch", False), ("kernels", True)) if find_spec("triton") else (("torch", False),)
"Of doing super-resolution that can be counted here."


def main() -> None:
    """Count them at full size; print a table and write JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.launches", description="Counts the launches of a driven frame, without a GPU."
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the JSON")
    wanted = parser.parse_args()
    rows: list[tuple[str, str, int, Launches]] = []
    for runtime in ("eager", "graphs"):
        rows.append((runtime, "drive", 1, driven(runtime)))
        for sampling in Sampling:
            work = f"render, {sampling.value}"
            rows += [(runtime, work, views, rendered(views, runtime, sampling)) for views in (1, 6, 24)]
            rows.append((runtime, f"whole frame, {sampling.value}", 24, frame(runtime, sampling)))
        rows.append((runtime, "quilt", 24, pictured()))
    within = "within a recorded super-resolution"
    rows += [(by, within, VIEWS_AT_ONCE["cuda"], super_resolved(fused)) for by, fused in _WAYS]
    kinds = [part.name for part in fields(Launches)]
    show(
        "Launches of a driven frame",
        ("work", "runtime", "views", *kinds, "launches"),
        [(work, runtime, views, *astuple(found), found.total) for runtime, work, views, found in rows],
        "VOODOO 3D at full size, counted by shape: kernels of torch's operations (its fused kernels are fewer), copies on the device,"
        " graphs replayed, arrays sent there and fetched, waits; views super-resolved six at a time",
    )
    counted = [
        {"runtime": r, "work": work, "views": v, **vars(found), "launches": found.total} for r, work, v, found in rows
    ]
    print(
        write(
            "launches_voodoo3d",
            {"what": "launches of a driven frame, VOODOO 3D, full size", "rows": counted},
            wanted.out,
        )
    )


if __name__ == "__main__":
    main()
