"""Executor: who runs the stages of a frame. The contract; knows nothing of what a stage does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Task:
    """One call on one device."""

    stage: str
    device: str
    run: Callable[[], None]


Step = Sequence[Task]
"Tasks that may run side by side. The next step begins when all of them have ended."


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

    def close(self) -> None:
        """Finish what was submitted, then let every thread go."""
        ...
