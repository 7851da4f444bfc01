"""Loop: a training from its begin to the end of its plan. Can be stopped and goes on where it was.

What a step does is the Learner's; here are time, the run's folder and who is told.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engines.parametric.architecture import SMALL, Architecture
from engines.parametric.train.dataset import Heads
from engines.parametric.train.steps import Learner, Plan, Trained

Progress = Callable[[str, int, int], None]
"Told (what is being trained, seconds spent, of how many)."


class RunRejected(ValueError):
    """The operator's folder keeps a run that cannot go on here; the message says why and what would help."""


class Trainer:
    """One run. `folder`, where given, gets its state every minute or so, and the curves as a table."""

    def __init__(
        self,
        heads: Heads,
        arch: Architecture = SMALL,
        plan: Plan = Plan(),
        folder: Path | None = None,
        device: str = "cpu",
    ) -> None:
        self.learner = Learner(heads, arch, plan, device)
        self.plan, self.folder = plan, folder
        self.spent = {"identity": 0.0, "expression": 0.0}
        self.steps = {"identity": 0, "expression": 0}

    def run(self, progress: Progress = lambda *_: None) -> Trained:
        """Both networks to the end of the plan; what was reached is kept, however it ends."""
        try:
            self._run(progress)
        finally:
            self.save()
        return self.learner.trained

    def _run(self, progress: Progress) -> None:
        for part, minutes, step in (
            ("identity", self.plan.identity_minutes, self.learner.identity_step),
            ("expression", self.plan.expression_minutes, self.learner.expression_step),
        ):
            for done in self._until(part, minutes * 60, progress):
                terms = step(done)
                if self.steps[part] % 50 == 0 or self.steps[part] == 1:
                    self._note(part, terms)

    def save(self) -> None:
        """All that going on needs, to the run's folder."""
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.folder / ".state.part"
        torch.save(self.learner.state() | {"spent": self.spent, "steps": self.steps}, part)
        part.replace(self.folder / "state.pt")

    def resume(self) -> bool:
        """Go on from the folder's state; False where there is none. Its random numbers are new ones. Raises RunRejected."""
        path = self.folder and self.folder / "state.pt"
        if not path or not path.is_file():
            return False
        try:
            self._restore(torch.load(path, map_location=self.learner.device, weights_only=True))
        except Exception as failure:
            reason = str(failure).strip().splitlines()[-1].strip() if str(failure) else type(failure).__name__
            raise RunRejected(
                f"{path} is no run of these heads and sizes ({reason}): name another --folder, or the options it was begun with"
            ) from None
        return True

    def _restore(self, state: dict[str, Any]) -> None:
        self.learner.restore(state)
        self.spent, self.steps = state["spent"], state["steps"]
        self.learner.rng = np.random.default_rng([self.plan.seed, *self.steps.values()])

    def _until(self, part: str, seconds: float, progress: Progress) -> Iterator[float]:
        """The share of its training that is done before each step of a part, until its time is spent; tells progress, saves."""
        now = time.process_time if self.learner.device.type == "cpu" else time.monotonic
        saved = now()
        while self.spent[part] < seconds:
            begun = now()
            self.steps[part] += 1
            yield self.spent[part] / seconds
            self.spent[part] += now() - begun
            progress(part, round(self.spent[part]), round(seconds))
            if now() - saved > 60:
                self.save()
                saved = now()

    def _note(self, part: str, terms: dict[str, float]) -> None:
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{part}.csv"
        fresh = not path.exists()
        with path.open("a", newline="") as file:
            rows = csv.writer(file)
            if fresh:
                rows.writerow(["step", "seconds", *terms])
            rows.writerow([self.steps[part], round(self.spent[part], 1), *(f"{term:.6g}" for term in terms.values())])
