"""What several tests share: the folder of test media beside the checkout, the puppet's portrait, engines and executors.

Imports nothing beyond pytest, since GPU tests run on machines that have little more (benchmarks/on_gpu.sh).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from engines.contract import FaceObservation
    from engines.relief.engine import Relief
    from pipeline.executors.threads import Threads
    from pipeline.placement import Placement
    from tests.renderer_bench import Bench

_CHECKOUT = Path(__file__).parents[1]
_PLACES = (os.environ.get("TELEQUILT_SHARED", ""), _CHECKOUT.parent / "shared", _CHECKOUT / "shared")
SHARED = next((Path(place) for place in _PLACES if place and Path(place).is_dir()), _CHECKOUT.parent / "shared")
"Test media and golden outputs: where TELEQUILT_SHARED says, beside the checkout, or in it."

if not any(Path(device).exists() for device in ("/dev/nvidiactl", "/dev/dxg")):
    os.environ.setdefault(
        "TRITON_INTERPRET", "1"
    )  # before anything imports Triton: kernels' tests run without a GPU too


@pytest.fixture(scope="session")
def media() -> Path:
    """The folder with `portraits` and `clips`; tests that need it are skipped where it is absent."""
    folder = SHARED / "media"
    if not folder.is_dir():
        pytest.skip("../shared/media is not beside this checkout")
    return folder


@pytest.fixture(scope="session")
def relief() -> Relief:
    from engines.relief.engine import Relief

    engine = Relief()
    engine.warm_up()
    return engine


@pytest.fixture(scope="session")
def sample_portrait() -> FaceObservation:
    """The puppet's public-domain photo as enrol() takes it."""
    from pipeline.preprocess.observer import observe_portrait
    from pipeline.puppet import puppet_portrait

    return observe_portrait(puppet_portrait())


@pytest.fixture
def no_gradients() -> Iterator[None]:
    import torch

    with torch.no_grad():
        yield


@pytest.fixture
def threads() -> Iterator[Callable[..., Threads]]:
    """Makes threads executors, which are closed at the end."""
    from pipeline.executors.threads import Threads

    def make(placement: Placement, **more: Any) -> Threads:
        return made.enter_context(closing(Threads(placement, **more)))

    with ExitStack() as made:
        yield make


@pytest.fixture
def bench() -> Iterator[Callable[..., Bench]]:
    """Makes benches for renderers, which are closed at the end."""
    from tests.renderer_bench import FOUR, Bench

    def make(placement: Placement = FOUR, at_once: int | None = None, **more: Any) -> Bench:
        one = Bench(placement, at_once, **more)
        made.callback(one.executor.close)
        return one

    with ExitStack() as made:
        yield make
