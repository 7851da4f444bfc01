"""Executor: who runs the stages of a frame. The contract; knows nothing of what a stage does."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, overload

from pipeline.executors.health import DeviceReport

if TYPE_CHECKING:
    from pipeline.devices.transfer import Fence


@dataclass(frozen=True)
class Task:
    """One call on one device."""

    stage: str
    device: str
    run: Callable[[], None]
    kind: Callable[[], Hashable] = lambda: None
    "Tasks of one stage and kind take about as long on one device. Asked when its turn has come: what there is to do is known then."


Step = Sequence[Task]
"Tasks that may run side by side. The next step begins when all of them have ended."


@dataclass(frozen=True, eq=False)
class FanOut(Sequence[Task]):
    """The step in which renderers share out one frame's views.

    It is a step like any other, a task for each renderer, and an executor may run it so: that is what it means. One that knows
    of it gives views to whichever renderer is free, those of a renderer that fails to the others, and may fill up the batches
    of an engine with views of several callers.
    """

    tasks: tuple[Task, ...]
    caller: Hashable
    "Whose frame: callers take fair turns."
    kind: Hashable
    "Views of the same kind may be rendered together."
    views: int
    at_once: Callable[[], int | None]
    "Views of a full batch on the device whose thread asks; None where batches are not filled up."
    send: Callable[[str], object]
    "Begins to bring to a device what rendering there needs. Waits for nothing; may raise where that device is broken."
    frame: Any
    "What `run` is given of it."
    run: Callable[[str, Sequence[tuple[Any, range]]], Rendered]
    "Renders views of several frames of this kind, on the device that is named and whose thread it is."
    keep: Callable[[range, Any], None]
    "Takes what `run` made of these views of this spread."

    @property
    def stage(self) -> str:
        return self.tasks[0].stage

    def __len__(self) -> int:
        return len(self.tasks)

    @overload
    def __getitem__(self, index: int) -> Task: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Task, ...]: ...

    def __getitem__(self, index: int | slice) -> Task | tuple[Task, ...]:
        return self.tasks[index]


@dataclass(frozen=True)
class Rendered:
    """A batch, told to a device."""

    parts: Sequence[Any]
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
