"""Executor: who runs the stages of a frame. The contract; knows nothing of what a stage does.

inline    at once, in the calling thread: offline rendering, tests, and the definition of the others
chain     a thread a device, one renderer on the processor: the default
pool      several renderers, or GPUs: views shared out, batches filled up, a device that fails stood in for
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from pipeline.executors.health import DeviceReport

if TYPE_CHECKING:
    from pipeline.devices.transfer import Fence

FrameT = TypeVar("FrameT")
MadeT = TypeVar("MadeT")


@dataclass(frozen=True, eq=False)
class Task:
    """One stage of one frame on one device."""

    stage: str
    device: str
    run: Callable[[], None]
    kind: Callable[[], Hashable] = lambda: None
    "Tasks of one stage and kind take about as long on one device. Asked when its turn has come: what there is to do is known then."


@dataclass(frozen=True, eq=False)
class FanOut(Generic[FrameT, MadeT]):
    """The step in which renderers share out one frame's views.

    It means tasks(): an even share for each renderer, at the same time. A pool gives views to whichever renderer is free, those of
    a renderer that fails to the others, and may fill up the batches of an engine with views of several callers.
    """

    stage: str
    devices: tuple[str, ...]
    "The renderers."
    caller: Hashable
    "Whose frame: callers take fair turns."
    kind: Hashable
    "Views of the same kind may be rendered together."
    views: int
    at_once: Callable[[], int | None]
    "Views of a full batch on the device whose thread asks; None where batches are not filled up."
    send: Callable[[str], object]
    "Begins to bring to a device what rendering there needs. Waits for nothing; may raise where that device is broken."
    frame: FrameT
    "What `run` is given of it."
    run: Callable[[str, Sequence[tuple[FrameT, range]]], Rendered[MadeT]]
    "Renders views of several frames of this kind, on the device that is named and whose thread it is."
    keep: Callable[[range, MadeT], None]
    "Takes what `run` made of these views."

    def tasks(self) -> list[Task]:
        """The plain way: neighbouring views in equal numbers, one task for each renderer that gets any."""
        count = len(self.devices)
        bounds = [self.views * part // count for part in range(count + 1)]
        shares = zip(self.devices, map(range, bounds, bounds[1:]), strict=True)
        return [Task(self.stage, device, partial(self._share, device, share)) for device, share in shares if share]

    def _share(self, device: str, views: range) -> None:
        rendered = self.run(device, [(self.frame, views)])
        if rendered.fence is not None:
            rendered.fence.wait()
        self.keep(views, rendered.parts[0])


Step = Task | FanOut
"What a frame does next. The next step begins when it has ended."


@dataclass(frozen=True)
class Rendered(Generic[MadeT]):
    """A batch, told to a device."""

    parts: Sequence[MadeT]
    "What was made of each part, in their order."
    fence: Fence | None
    "When it is there; None where it is."


class DeviceGone(RuntimeError):
    """No frame can be finished: what has failed or does not answer has nobody to stand in for it. For the operator to mend."""


@dataclass(frozen=True)
class Failure:
    """The first task of a frame that raised; the steps after it did not run."""

    stage: str
    error: Exception


Done = Callable[[Failure | None], None]


class Executor(Protocol):
    def submit(self, steps: Sequence[Step], done: Done) -> None:
        """Run `steps` in order, then call `done` once, from any thread. Tasks on one device run one after another,
        in the order in which they became ready, so frames submitted in order stay in order."""
        ...

    def devices(self) -> list[DeviceReport]:
        """How each device is doing; none where they are not watched."""
        ...

    def close(self) -> None:
        """Finish what was submitted, then let every thread go."""
        ...
