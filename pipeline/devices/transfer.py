"""Transfer: tensors on their way between devices. The only file that waits for a GPU or copies from one.

A copy begins as soon as what it copies exists, on a stream of its own for each route, so that a slow renderer holds up nobody
else's. Whoever uses a copy has its own stream wait for it; the host waits only where the target is the host. There is a buffer
a frame, from the allocators' caches, and a caller has two frames under way: no frame is written over while it is being read.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import lru_cache
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

T = TypeVar("T")


def torch_device(device: str) -> torch.device:
    """Of a placement's device: "cpu:2" is a thread of ours, torch knows one CPU."""
    return torch.device("cpu") if device.startswith("cpu") else torch.device(device)


@contextmanager
def working_on(device: str) -> Iterator[None]:
    """This thread's work goes to `device` meanwhile, if that is a GPU; its own is the first one otherwise."""
    with ExitStack() as current:
        if device.startswith("cuda"):
            current.enter_context(torch.cuda.device(torch_device(device)))
        yield


class Fence:
    """A point in the work of GPUs: a set of CUDA events."""

    def __init__(self, events: Sequence[torch.cuda.Event]) -> None:
        self._events = events

    def wait(self) -> None:
        """Sleep until the GPUs have come so far. Raises what went wrong on them before."""
        for event in self._events:
            event.synchronize()


def fence(device: str, *also: Fence | None) -> Fence | None:
    """The end of all that this thread has given `device` to do, and `also`; None where nothing is to be waited for."""
    events = [event for one in also if one is not None for event in one._events]
    if device.startswith("cuda"):
        events.append(_recorded(torch.cuda.current_stream(torch_device(device))))
    return Fence(events) if events else None


class Replicated(Generic[T]):
    """One value on every device that wants it, copied once to each, however many use it there.

    Made on the thread and the stream that made the value. A value is a tensor, or dataclasses, tuples, lists and dicts of
    tensors; whatever else is in it, and on CPU devices all of it, stays the same object.
    """

    def __init__(self, value: T) -> None:
        self._value = value
        self._made = {device: _recorded(torch.cuda.current_stream(device)) for device in _gpus(value)}
        self._arrivals: dict[torch.device, _Arrival[T]] = {}
        self._lock = threading.Lock()

    @property
    def copies(self) -> int:
        """Tensors copied so far."""
        with self._lock:
            return sum(len(arrival.copied) for arrival in self._arrivals.values())

    def send(self, device: str) -> Fence | None:
        """Begin to copy to `device`, unless that has begun. What comes back tells when it is there."""
        arrival = self._arrival(torch_device(device))
        return Fence(arrival.events) if arrival.events else None

    def on(self, device: str) -> T:
        """The value on `device`: this thread's stream there waits for it; on a CPU, the thread does."""
        target = torch_device(device)
        arrival = self._arrival(target)
        if target.type == "cpu":
            Fence(arrival.events).wait()
        elif arrival.events:
            stream = torch.cuda.current_stream(target)
            for event in arrival.events:
                stream.wait_event(event)
            for tensor in arrival.copied:
                tensor.record_stream(stream)  # it was allocated on the route's stream, and is read on this one
        return arrival.value

    def _arrival(self, target: torch.device) -> _Arrival[T]:
        with self._lock:
            if target not in self._arrivals:
                self._arrivals[target] = self._begin(target)
            return self._arrivals[target]

    def _begin(self, target: torch.device) -> _Arrival[T]:
        if target.type == "cpu" and not self._made:
            return _Arrival(self._value, [], [])
        copied: list[Tensor] = []
        routes: dict[torch.cuda.Stream, None] = {}

        def move(tensor: Tensor) -> Tensor:
            if tensor.device == target:
                return tensor
            copied.append(_copied(tensor, target, self._made, routes))
            return copied[-1]

        value = _mapped(self._value, move)
        return _Arrival(value, copied, [_recorded(stream) for stream in routes])


@dataclass(frozen=True)
class _Arrival(Generic[T]):
    value: T
    copied: list[Tensor]
    events: list[torch.cuda.Event]


class Readback:
    """A tensor on its way into the host's memory: pinned, so that the copy runs beside everything else."""

    def __init__(self, tensor: Tensor) -> None:
        self._host, self._fence = tensor, None
        if tensor.device.type == "cuda":
            self._host = torch.empty_like(tensor, device="cpu", pin_memory=True)
            self._host.copy_(tensor, non_blocking=True)
            self._fence = Fence([_recorded(torch.cuda.current_stream(tensor.device))])

    def array(self) -> np.ndarray:
        """The same memory, once everything is in it. Waits for the GPU where that is not so yet."""
        if self._fence is not None:
            self._fence.wait()
        return self._host.numpy()


def _copied(
    tensor: Tensor,
    target: torch.device,
    made: dict[torch.device, torch.cuda.Event],
    routes: dict[torch.cuda.Stream, None],
) -> Tensor:
    """`tensor` on `target`, on the route's streams; the one at whose end it is there is added to `routes`."""
    source = tensor.device
    with ExitStack() as current:
        if source.type == "cuda":
            out = _route(source, source, target)
            out.wait_event(made[source])
            current.enter_context(torch.cuda.stream(out))
            tensor.record_stream(out)  # its memory is not used anew before the copy has been made
            routes[out] = None
        if target.type == "cuda":
            into = _route(target, source, target)
            current.enter_context(torch.cuda.stream(into))
            routes[into] = None
        if target.type == "cpu":
            return torch.empty_like(tensor, device="cpu", pin_memory=True).copy_(tensor, non_blocking=True)
        if source.type == "cpu" and target.type == "cuda":
            tensor = tensor.pin_memory()
        return tensor.to(target, non_blocking=True)


@lru_cache(maxsize=512)
def _route(at: torch.device, source: torch.device, target: torch.device) -> torch.cuda.Stream:
    """The stream on device `at` for copies from `source` to `target`."""
    return torch.cuda.Stream(at)


def _recorded(stream: torch.cuda.Stream) -> torch.cuda.Event:
    event = torch.cuda.Event(blocking=True)  # who waits sleeps, and leaves the core to others
    event.record(stream)
    return event


def _gpus(value: Any) -> set[torch.device]:
    """The GPUs on which parts of `value` lie."""
    found: set[torch.device] = set()

    def look(tensor: Tensor) -> Tensor:
        if tensor.device.type == "cuda":
            found.add(tensor.device)
        return tensor

    if torch.cuda.is_initialized():  # where no GPU has been used none holds anything
        _mapped(value, look)
    return found


def _mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """`value` with every tensor in it changed; parts in which none changes are the same objects."""
    if isinstance(value, Tensor):
        return change(value)
    if is_dataclass(value) and not isinstance(value, type):
        before = {one.name: getattr(value, one.name) for one in fields(value) if one.init}
        after = {name: _mapped(part, change) for name, part in before.items()}
        new = {name: part for name, part in after.items() if part is not before[name]}
        return replace(value, **new) if new else value
    if isinstance(value, tuple | list):
        parts = [_mapped(part, change) for part in value]
        if all(a is b for a, b in zip(parts, value, strict=True)):
            return value
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    if isinstance(value, dict):
        mapped = {name: _mapped(part, change) for name, part in value.items()}
        return value if all(mapped[name] is part for name, part in value.items()) else mapped
    return value
