"""Loading: networks that are read from files: whether those are there, one network for each device, each component prepared once.

From any thread. What is slow is done once, by whoever is first; others who want the same wait for it, and nobody else does.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import torch

from engines.contract import Needs, WeightsMissing
from engines.runtime import Component, Run, Runtime
from engines.weights import Published

T = TypeVar("T")


def check_there(engine: str, published: Sequence[Published], folder: Path) -> None:
    """Raises WeightsMissing, with the command that imports it, for the first that is not in `folder`."""
    for wanted in published:
        place = wanted.place(folder)
        if not place.is_file():
            raise WeightsMissing(engine, Needs(f"{wanted.file} ({wanted.where})", str(place), wanted.command))


class EachDevice(Generic[T]):
    """One network for each device, made when first wanted there; devices do not wait for each other."""

    def __init__(self, make: Callable[[torch.device], T], given: dict[torch.device, T] | None = None) -> None:
        """`given`: what is there already; where that is on a CPU alone, everybody works there."""
        self._make, self._on = make, given or {}
        self._on_cpu = bool(given) and all(device.type == "cpu" for device in self._on)
        self._loading: defaultdict[torch.device, threading.Lock] = defaultdict(threading.Lock)

    def here(self) -> T:
        """That of this thread's GPU, or of the CPU. Raises what making it does."""
        device = torch.device("cpu")
        if torch.cuda.is_available() and not self._on_cpu:
            device = torch.device("cuda", torch.cuda.current_device())
        if device not in self._on:
            with self._loading[device]:
                if device not in self._on:
                    self._on[device] = self._make(device)
        return self._on[device]


class Prepared:
    """A network's components as its runtime runs them."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self._runs: dict[object, Run] = {}
        self._preparing = threading.Lock()

    def run(self, key: object, component: Callable[[], Component]) -> Run:
        """The component that `key` stands for; prepared now if nobody wanted it before."""
        if key not in self._runs:
            with self._preparing:
                if key not in self._runs:
                    self._runs[key] = self.runtime.prepare(component())
        return self._runs[key]

    def has(self, key: object) -> bool:
        """Whether it was wanted before."""
        return key in self._runs

    def count(self, kind: type) -> int:
        """How many were prepared whose keys are of this type."""
        return sum(type(key) is kind for key in tuple(self._runs))
