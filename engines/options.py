"""Options: what an operator may choose of engines, in one object that is handed in. Nothing in engines/ reads the environment for it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path


def default_data_dir() -> Path:
    """Where everything is kept unless told otherwise (XDG Base Directory specification)."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "telequilt"


@dataclass(frozen=True)
class EngineOptions:
    """The same for every engine; each takes what concerns it. An engine is made once for each set of them."""

    data_dir: Path = field(default_factory=default_data_dir)
    "Imported weights and built engines lie in folders of it."
    runtime: str = "auto"
    "How networks are run: a name from engines/runtime, or auto."
    precision: str = "auto"
    "What networks compute in: float32, bfloat16, float16, or auto."
    superresolved: str = "every"
    "Which of neighbouring views are super-resolved, where an engine does that: every, second, third."
    parametric_model: Path | None = None
    "A head model of `python -m server train` for the parametric engine; the one that comes with it if None."
    synthetic_weights: bool = False
    "Run networks without training, for benchmarks and tests: every picture then says that it is noise."

    @property
    def weights(self) -> Path:
        """Where imported weights lie."""
        return self.data_dir / "weights"

    @property
    def built(self) -> Path:
        """Where TensorRT's engines lie."""
        return self.data_dir / "engines"
