"""Lane: a device worker: one device's thread, and its stream where the device is a GPU.

A GPU works behind the thread that tells it what to do. So a task on it has ended when the GPU has come to its end, for which a
second thread waits: the first goes on telling.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Protocol

from pipeline.devices.transfer import Fence, fence, torch_device
from pipeline.executors import DeviceGone

_log = logging.getLogger(__name__)

Arrived = Callable[[Exception | None], None]


class Stream(Protocol):
    """How a device is told to work, from its lane's thread."""

    ahead: int
    "Batches that it may be given at once: one to work on, the others so that it never waits for us."

    def open(self) -> None:
        """Once, at first."""
        ...

    def fence(self) -> Fence | None:
        """The end of all that it has been told; None where that has been done already."""
        ...


class HostStream:
    """A CPU does as it is told at once."""

    ahead = 1

    def open(self) -> None:
        pass

    def fence(self) -> None:
        return None


class GpuStream:
    """A stream of its own: the default one would wait for all others."""

    ahead = 2

    def __init__(self, device: str) -> None:
        self._device = device

    def open(self) -> None:
        import torch  # only where there is a GPU to choose: the CPU's threads need none of it

        torch.cuda.set_device(torch_device(self._device))
        torch.cuda.set_stream(torch.cuda.Stream())

    def fence(self) -> Fence | None:
        return fence(self._device)


def stream_of(device: str) -> Stream:
    return GpuStream(device) if device.startswith("cuda") else HostStream()


class Lane:
    """A device worker's queue: what a device is to do next. Bounded by its users: a Flow has at most `depth` frames under way."""

    def __init__(self, device: str, stream: Stream) -> None:
        self.device, self.stream = device, stream
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._landings: SimpleQueue[tuple[Fence, Arrived] | None] = SimpleQueue()
        self._tried = threading.Event()
        self._failure: Exception | None = None
        self._threads = [_thread(f"stage-{device}", self._work)]
        if stream.ahead > 1:
            self._threads.append(_thread(f"stage-{device}-ends", self._land))

    @property
    def opening(self) -> bool:
        """Whether its device is still being opened."""
        return not self._tried.is_set()

    def check(self) -> None:
        """Raises DeviceGone where the device could not be opened. From its thread."""
        if self._failure is not None:
            raise DeviceGone(f"{self.device} cannot be opened: {self._failure}; see `python -m server doctor`")

    def put(self, job: Callable[[], None]) -> None:
        self._jobs.put(job)

    def arrive(self, fence: Fence | None, arrived: Arrived) -> None:
        """Call `arrived` when the device has come to `fence`, or with what went wrong on it; at once where there is none."""
        if fence is None:
            arrived(None)
        else:
            self._landings.put((fence, arrived))

    def close(self, patience: float) -> bool:
        """Finish what was put here. False where the thread has not done so after `patience` seconds; it is left behind."""
        self._jobs.put(None)
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(patience)
        return not any(thread.is_alive() for thread in self._threads if thread is not threading.current_thread())

    def _work(self) -> None:
        try:
            self.stream.open()
        except Exception as failure:  # met in check(): what is put here would wait for ever for a thread that ended
            _log.exception("%s cannot be opened", self.device)
            self._failure = failure
        self._tried.set()
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except Exception:  # a done callback that raises must not stop the device for every other caller
                _log.exception("a finished frame could not be settled")
        self._landings.put(None)

    def _land(self) -> None:
        while (landing := self._landings.get()) is not None:
            end, arrived = landing
            error: Exception | None = None
            try:
                end.wait()
            except Exception as failure:
                error = failure
            try:
                arrived(error)
            except Exception:
                _log.exception("a finished frame could not be settled")


def _thread(name: str, target: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=target, name=name, daemon=True)
    thread.start()
    return thread
