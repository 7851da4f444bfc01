"""Graphs: a component compiled, recorded into a CUDA graph at fixed shapes, and replayed from fixed buffers by one launch.

A CPU has no graphs, so there a replay calls what would have been recorded; all else is the same, and can be tested there.

Lifetimes. A recording reads and writes the same memory every time, and several threads and streams may use it. So a call takes
its turn on the host (a lock) and on the device (each turn waits there for the one before), copies its inputs in, replays, and
copies the result out, to where the caller wants it or into memory of its own. That one copy makes the result the caller's: it
takes 0.012 ms for a tri-plane (25 MB at an H200's 4.3 TB/s), and for batches of views it is the concatenation that follows anyway.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from engines.runtime import Component, Run, say_once
from engines.runtime.eager import Called, whole_float32

WARM_UPS = 3
"Runs before a recording: compiling, choosing algorithms and first allocations must not be recorded."
COMPILED = frozenset({"lift", "expression"})
"Components whose many pointwise steps between convolutions are worth fusing. Super-resolution has kernels that do (Component.fused), ready"
"in seconds where compiling takes minutes; which is faster has not been measured: benchmarks.views_per_second --seams does."

_recording = threading.Lock()
"One at a time in a process, on whatever device: torch's rule (torch.cuda.graph)."


class Graphs:
    """The runtime that records each component once and replays it."""

    name: ClassVar[str] = "graphs"

    def __init__(self, device: torch.device, compiled: Collection[str] = COMPILED) -> None:
        """`compiled`: names of the components that torch.compile gets to see."""
        self._device, self._compiled = device, compiled
        whole_float32()
        torch.backends.cudnn.benchmark = True  # shapes are fixed, so the quickest algorithm is looked for once

    def prepare(self, component: Component) -> Run:
        """`component` recorded, the quickest way that works; as its module, where none does or it is not done often."""
        if not component.often:
            return Called(component.module)
        channels_last(component.module)
        for way, make in self._ways(component):
            try:
                return Replayed(recorded(make(), component.example(), self._device), Turn(self._device), way)
            except Exception as failure:
                say_once(
                    f"{component.name} cannot run on {self._device} by {way}; the next slower way is taken", failure
                )
        return Called(component.module)

    def _ways(self, component: Component) -> Iterator[tuple[str, Callable[[], Callable[..., Tensor]]]]:
        """What is worth trying, quickest first, and how to get it."""
        if component.network and component.name in self._compiled:
            yield "graphs, compiled", lambda: compiled(component)
        if component.fused is not None:
            yield "graphs, fused", lambda: component.fused  # type: ignore[return-value]
        yield self.name, lambda: component.module


def on(device: str | torch.device, ahead_only: bool = False, built: Path | None = None) -> Graphs:
    """The runtime for `device`, a torch name; `ahead_only` and `built` concern others."""
    return Graphs(whole(device))


def whole(device: str | torch.device) -> torch.device:
    """The device with its number: "cuda" alone is the calling thread's."""
    device = torch.device(device)
    if device.type != "cuda" or device.index is not None:
        return device
    return torch.device("cuda", torch.cuda.current_device())


def compiled(component: Component) -> Callable[..., Tensor]:
    """The component's exported program through torch.compile. Each program is code of its own, so none evicts another's."""
    program = torch.export.export(component.module, component.example(), strict=True)
    return torch.compile(program.module(), fullgraph=True, dynamic=False)


def channels_last(module: nn.Module) -> None:
    """Lay filters [O, I, k, k] out as tensor cores read them, so that nothing is turned around from frame to frame.

    Filters of modulated convolutions stand as [1, O, I, k, k] in their checkpoint and keep that shape.
    """
    for weight in module.parameters():
        if weight.dim() == 4:
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)
        elif weight.dim() == 5 and len(weight) == 1:
            weight.data = weight.data[0].contiguous(memory_format=torch.channels_last)[None]


@dataclass(frozen=True)
class Recording:
    """Work at fixed addresses."""

    inputs: tuple[Tensor, ...]
    "What it reads."
    output: Tensor
    "What it writes."
    replay: Callable[[], object]
    "Puts the work onto the current stream."


def recorded(run: Callable[..., Tensor], example: tuple[Tensor, ...], device: torch.device) -> Recording:
    """`run` as a CUDA graph with memory of its own, for inputs of the shapes of `example`."""
    inputs = tuple(tensor.clone() for tensor in example)
    if device.type != "cuda":
        return _called(run, inputs)
    with torch.no_grad(), torch.cuda.device(device):
        aside = torch.cuda.Stream(device)  # torch's own recording stream stays on the device that was first
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_UPS):
                run(*inputs)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        # other threads go on allocating and copying meanwhile, on this device and on others
        with _recording, torch.cuda.graph(graph, stream=aside, capture_error_mode="thread_local"):
            output = run(*inputs)
    return Recording(inputs, output, _Replay(graph, run))


def _called(run: Callable[..., Tensor], inputs: tuple[Tensor, ...]) -> Recording:
    with torch.no_grad():
        output = run(*inputs)
    return Recording(inputs, output, lambda: output.copy_(run(*inputs)))


class _Replay:
    """Holds what was recorded alive: a graph knows where its constants lay, and does not keep them from being freed."""

    def __init__(self, graph: torch.cuda.CUDAGraph, run: Callable[..., Tensor]) -> None:
        self._graph, self._run = graph, run

    def __call__(self) -> None:
        self._graph.replay()


class Turn:
    """The mutex of a graph's fixed buffers: one user at a time, on the host, and on the device by letting each stream wait for
    the one before."""

    def __init__(self, device: torch.device) -> None:
        self._lock, self._device = threading.Lock(), device
        self._over = torch.cuda.Event() if device.type == "cuda" else None

    @contextmanager
    def taken(self) -> Iterator[None]:
        """The buffers for as long as the context lasts; waits for whoever has them."""
        with self._lock:
            if self._over is None:
                yield
                return
            with torch.cuda.device(self._device):
                self._over.wait()
                try:
                    yield
                finally:
                    self._over.record()


class Replayed:
    """A recording as a component: see Lifetimes above."""

    def __init__(self, recording: Recording, turn: Turn, by: str) -> None:
        self._recording, self._turn, self.by = recording, turn, by

    def __call__(self, *inputs: Tensor, out: Tensor | None = None) -> Tensor:
        """Run.__call__, of inputs of exactly the recorded shapes [B, ...]."""
        fixed = self._recording.inputs
        assert [given.shape for given in inputs] == [into.shape for into in fixed], [given.shape for given in inputs]
        output = self._recording.output
        with torch.no_grad(), self._turn.taken():
            for into, given in zip(fixed, inputs, strict=True):
                into.copy_(given, non_blocking=True)
            self._recording.replay()
            return output.clone() if out is None else out.copy_(output)
