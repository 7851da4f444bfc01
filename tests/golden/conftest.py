"""The golden outputs and the weights they come from lie beside the checkout; without them these tests are skipped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch

from engines.voodoo3d import checkpoint
from engines.voodoo3d.network import Voodoo3D
from tests.conftest import SHARED, module_at

FACTS = SHARED / "voodoo3d"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    asked = "golden" in (config.getoption("-m") or "")
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and not asked:
            item.add_marker(pytest.mark.skip(reason="full size: ask for it with -m golden"))


@pytest.fixture(scope="session")
def inputs() -> ModuleType:
    return module_at(FACTS / "inputs.py")


@pytest.fixture(scope="session")
def check() -> ModuleType:
    return module_at(FACTS / "check.py")


@pytest.fixture(scope="session")
def tensors() -> dict[str, torch.Tensor]:
    weights = module_at(FACTS / "synth_weights.py").synthesize(FACTS / "manifest.json")
    used = checkpoint.manifest().used
    return {name: torch.from_numpy(value) for name, value in weights.items() if name in used}


@pytest.fixture(scope="session")
def network(tensors: dict[str, torch.Tensor]) -> Callable[[str], Voodoo3D]:
    """The full-size network in a precision; the newest one is kept.

    float16 is weights rounded to it, which is how check.py's float16 limits were measured; arithmetic in halves is a GPU's.
    """
    kept: dict[str, Voodoo3D] = {}

    def of(precision: str) -> Voodoo3D:
        if precision not in kept:
            kept.clear()
            dtype = getattr(torch, precision)
            copies = {name: tensor.to(dtype).float() for name, tensor in tensors.items()}
            kept[precision] = Voodoo3D.from_tensors(copies, dtype=torch.float32 if precision == "float16" else dtype)
        return kept[precision]

    return of
