"""What several tests share: where golden outputs lie, the puppet's portrait, engines and executors.

Imports nothing beyond pytest, since GPU tests run on machines that have little more (benchmarks/on_gpu.sh). There, files
that need more are skipped.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from engines.contract import FaceObservation
    from engines.relief.engine import Relief
    from pipeline.devices.placement import Placement
    from pipeline.executors.pool import Pool
    from tests.renderer_bench import Bench

_CHECKOUT = Path(__file__).parents[1]
_PLACES = (_CHECKOUT.parent / "shared", _CHECKOUT / "shared")
SHARED = Path(os.environ.get("TELEQUILT_SHARED") or next((place for place in _PLACES if place.is_dir()), _PLACES[0]))
"""Outputs of official code, clips and portraits, for tests marked golden alone: where TELEQUILT_SHARED says, else beside the
checkout, or in it. Nothing else may want it."""

# before anything imports Triton: kernels' tests run without a GPU too
if not any(Path(device).exists() for device in ("/dev/nvidiactl", "/dev/dxg")):
    os.environ.setdefault("TRITON_INTERPRET", "1")

# servers of tests make all detail unless adapt is asked for: how busy the machine is that tests run on is no part of them
os.environ.setdefault("TELEQUILT_ADAPT", "0")

# one worker for each core (make test): whose pool of threads is no larger than its core
if "PYTEST_XDIST_WORKER" in os.environ:
    for pool in ("OMP_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"):
        os.environ.setdefault(pool, "1")
MOST_WORKERS = 4
"Each comes to two gigabytes, and one may take as long over the longest file as the others over all that is left."
WAITING = 1
"Workers more than there are cores: while tests wait, for peers, browsers and time limits, half of what two could use lies idle."

BARE = find_spec("aiortc") is None
"Whether this machine has not what a server needs, so that packages are lacking on purpose."
OURS = {"benchmarks", "display", "engines", "pipeline", "server", "tests"}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Cores that this process may use, and WAITING. Without this it were those that psutil calls physical, one on many a virtual
    machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores + WAITING, MOST_WORKERS)


def pytest_sessionstart() -> None:
    gc.disable()


def pytest_collection_finish() -> None:
    """What is loaded by now stays, as in a server (server/app.py): looking through it for garbage took a quarter of a worker's way
    to its first test, 3.5 s of a core, and a part of every test after."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """A file that cannot be imported for want of a package is an error, but on a bare machine it is skipped."""
    report = yield
    call: pytest.CallInfo[Any] | None = report.__dict__.get(
        "call"
    )  # none where pytest leaves a file out (--last-failed)
    lacking = call and call.excinfo and call.excinfo.value.__cause__
    if BARE and isinstance(lacking, ModuleNotFoundError) and str(lacking.name).partition(".")[0] not in OURS:
        report.outcome, report.longrepr = (
            "skipped",
            (str(collector.path), 0, f"Skipped: {lacking.name} is not installed"),
        )
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """What lacks as a whole is said in one line, since all skip here."""
    if item.get_closest_marker("golden") and not SHARED.is_dir():
        pytest.skip(f"golden outputs are not here ({SHARED})")
    if item.get_closest_marker("gpu") and not _has_gpu():
        pytest.skip("no CUDA device")


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def module_at(path: Path) -> ModuleType:
    """A module that lies with the golden outputs; whoever asks is skipped where it is absent."""
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    spec = spec_from_file_location(f"{path.parent.name}_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def exported_sample() -> bytes:
    """The one public avatar that LAM exported, for golden tests, which are skipped where it is absent."""
    file = SHARED / "splats" / "sample_lam_avatar.zip"
    if not file.is_file():
        pytest.skip(f"{file} is not here")
    return file.read_bytes()


@pytest.fixture(scope="session")
def media() -> Path:
    """The folder with `portraits` and `clips`, for golden tests, which are skipped where it is absent."""
    folder = SHARED / "media"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here")
    return folder


@pytest.fixture(scope="session")
def relief() -> Relief:
    from engines.relief.engine import Relief

    engine = Relief()
    engine.warm_up()
    return engine


@pytest.fixture(scope="session")
def sample_portrait() -> FaceObservation:
    """The puppet's public-domain photo as enrol() takes it, framed as the crop is."""
    from pipeline.preprocess.observer import observe_portrait
    from pipeline.puppet import puppet_portrait

    return replace(observe_portrait(puppet_portrait()), around=None)


@pytest.fixture(scope="session", autouse=True)
def one_film_of_the_puppet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Drawn and coded by one worker for all: four seconds of a core."""
    module = sys.modules.get("server.routes.puppet")
    if module is None or "PYTEST_XDIST_WORKER" not in os.environ:
        yield
        return
    whole, kept = module.film, tmp_path_factory.getbasetemp().parent / "puppet.mp4"

    def film() -> bytes:
        if not kept.exists():
            part = kept.with_suffix(f".{os.getpid()}")
            part.write_bytes(whole())
            part.replace(kept)
        return kept.read_bytes()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "film", film)
        yield


@pytest.fixture(autouse=True)
def nobody_visits_any_more() -> Iterator[None]:
    """After each test, where browsers are used at all; whom a fixture of wider scope brought stays."""
    browsing = sys.modules.get("tests.browsing")
    before = browsing.leave(sys.maxsize) if browsing else 0
    yield
    if browsing:
        browsing.leave(before)


@pytest.fixture
def no_gradients() -> Iterator[None]:
    import torch

    with torch.no_grad():
        yield


@pytest.fixture
def one_thread() -> Iterator[None]:
    """For networks so small that sharing one out, on a busy machine, takes twenty times as long as running it."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def threads() -> Iterator[Callable[..., Pool]]:
    """Makes threads executors, which are closed at the end. Where no clock is given none goes on: whom a busy machine keeps waiting
    hangs in no test that does not ask for it."""
    from pipeline.executors.pool import Pool

    def make(placement: Placement, **more: Any) -> Pool:
        return made.enter_context(closing(Pool(placement, **{"now": lambda: 0.0, **more})))

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


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    """The warnings of a test, none of them held back because an earlier test had said it."""
    from engines import runtime

    monkeypatch.setattr(runtime, "_said", set())
    caplog.set_level(logging.WARNING)
    return caplog
