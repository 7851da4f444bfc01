"""Runtime: how one network is run on one device. The contract; imports nothing heavy.

`eager` defines correct: torch, operation by operation. `graphs` records a component once and replays it. `trt` builds it ahead with
TensorRT. Each agrees with eager within what a component states, and gives way to the next slower one, aloud, where it cannot run.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

_log = logging.getLogger(__name__)

RUNTIMES = ("trt", "graphs", "eager")
"Fastest first, on a GPU."
AUTO = "auto"
"The best that is ready on a device; of TensorRT's engines, those that were built ahead."


class UnknownRuntime(ValueError):
    """The operator named a way of running networks that does not exist; the message lists those that do."""


class Precision(Enum):
    """What networks compute in. Rays, compositing and everything between components are float32 whatever this is."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"

    @property
    def dtype(self) -> torch.dtype:
        """Torch's name of it."""
        import torch

        return getattr(torch, self.value)


@dataclass(frozen=True)
class Component:
    """What a runtime prepares: a network, or a march or a warp between two, at the only shapes it is ever asked to do it at."""

    name: str
    module: nn.Module
    "Float32 tensors in, one float32 tensor out. What it gives when called is what is correct."
    fused: nn.Module | None = field(default=None, kw_only=True)
    "The same by kernels written for the device, where it has them."
    example: Callable[[], tuple[Tensor, ...]]
    "Makes inputs on the component's device: the same every time, of those shapes, in the range they have in use."
    network: bool = True
    "Whether torch can export it whole; a march is kernels and loops, which it cannot."
    often: bool = True
    "Whether it is done for every frame, and so worth preparing; not what is done once per portrait."
    agreement: Mapping[Precision, float] = field(default_factory=dict)
    "Decibels below the reference's span that a runtime's error must stay, by the precision of its networks."


class Run(Protocol):
    """A prepared component. May be called from any thread, on any stream of its device; never waits for the device.

    What it gives is the caller's own: no later call writes to it. With `out` it is written there and nowhere else.
    """

    by: str
    "The runtime that really runs it, after any falling back."

    def __call__(self, *inputs: Tensor, out: Tensor | None = None) -> Tensor:
        """The component's output, [B, ...] as its module gives it; of the shapes of its example, unless the runtime says otherwise."""
        ...


class Runtime(Protocol):
    """What prepares components for one device."""

    name: ClassVar[str]

    def prepare(self, component: Component) -> Run:
        """Everything slow, once: tracing, compiling, recording. Falls back, aloud, rather than raise."""
        ...


@runtime_checkable
class HasComponents(Protocol):
    """An engine whose networks a runtime can run."""

    def components(self, device: torch.device, precision: Precision) -> Sequence[Component]:
        """All of its components, in the order of a frame."""
        ...

    @classmethod
    def on_trial(cls, small: bool = False) -> HasComponents:
        """The engine with invented weights, to try runtimes with; `small`: the same code at a fraction of its size."""
        ...


def available(device: str | torch.device) -> list[str]:
    """The runtimes that `device` can have here, best first. On a CPU eager is: what compiling takes it never earns back."""
    import torch

    if torch.device(device).type != "cuda" or not torch.cuda.is_available():
        return ["eager", "graphs"]
    return list(RUNTIMES if not lacking() else RUNTIMES[1:])


def lacking() -> list[str]:
    """The packages that `trt` needs and this machine has not."""
    return [package for package in ("tensorrt", "torch_tensorrt") if find_spec(package) is None]


def choose(name: str, device: str | torch.device, built: Path | None = None) -> Runtime:
    """The runtime called `name` on `device`, or the best that there is, aloud. Raises UnknownRuntime.

    `built`: the folder where engines that were built ahead are kept (EngineOptions.built); the default one if None.
    """
    here = available(device)
    runs = name if check(name) in here else here[0]
    if name not in (AUTO, runs):
        say_once(f"runtime {name!r} is not to be had on {device}, so {runs!r} runs there instead")
    return import_module(f"engines.runtime.{runs}").on(device, ahead_only=name == AUTO, built=built)


def check(name: str) -> str:
    """`name`, if it is a runtime's or "auto". Raises UnknownRuntime."""
    if name not in (AUTO, *RUNTIMES):
        raise UnknownRuntime(f"no runtime is called {name!r}; there are: {', '.join((AUTO, *RUNTIMES))}")
    return name


def check_precision(name: str) -> str:
    """`name`, if it is a precision's or "auto". Raises UnknownRuntime."""
    known = AUTO, *(each.value for each in Precision)
    if name not in known:
        raise UnknownRuntime(f"no precision is called {name!r}; there are: {', '.join(known)}")
    return name


def chosen_precision(name: str, device: str | torch.device) -> Precision:
    """The precision called `name`; "auto" is half precision on a GPU and float32 on a CPU. Raises UnknownRuntime."""
    import torch

    if check_precision(name) == AUTO:
        return Precision.FLOAT16 if torch.device(device).type == "cuda" else Precision.FLOAT32
    return Precision(name)


_said: set[str] = set()


def say_once(message: str, failure: BaseException | None = None) -> None:
    """A warning that is not repeated frame by frame."""
    if message not in _said:
        _said.add(message)
        _log.warning(message, exc_info=failure)
