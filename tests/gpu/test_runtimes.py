"""Every runtime against eager on a CUDA device, component by component, with a small network; nobody waits, and threads share."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from engines.runtime import RUNTIMES, Precision, Runtime, available, choose
from engines.runtime import trt as tensorrt
from engines.runtime.cache import Cache, Standing
from engines.runtime.eager import Eager
from engines.runtime.graphs import Graphs, recorded
from engines.runtime.verify import compared, decibels
from engines.voodoo3d import components, synthetic
from engines.voodoo3d.architecture import Architecture
from engines.voodoo3d.engine import Voodoo3d
from engines.voodoo3d.network import Voodoo3D

pytestmark = pytest.mark.gpu

SMALL = Architecture(image=64, thin=16)
EVERY_FRAME = (components.lift, components.expression, components.superresolution)
HERE = available("cuda") if torch.cuda.is_available() else list(RUNTIMES)
with_tensorrt = pytest.mark.skipif("trt" not in HERE, reason="TensorRT is not installed")


@pytest.fixture(autouse=True)
def _data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines that are built for a test stay out of the operator's folder."""
    monkeypatch.setenv("TELEQUILT_DATA_DIR", str(tmp_path))


@pytest.fixture
def device() -> torch.device:
    return torch.device("cuda", torch.cuda.current_device())


def small(device: torch.device, precision: Precision = Precision.FLOAT32) -> Voodoo3D:
    return synthetic.network(SMALL, device, precision.dtype)


def runtime(name: str, device: torch.device) -> Runtime:
    """Graphs without the compiler, which takes minutes: `python -m benchmarks.runtimes` tries it, and the full size."""
    return Graphs(device, ()) if name == "graphs" else choose(name, device)


@pytest.fixture(scope="module")
def expected() -> dict[str, Tensor]:
    """What eager gives in float32, component by component."""
    device = torch.device("cuda", torch.cuda.current_device())
    found = Voodoo3d.on_trial(small=True).components(device, Precision.FLOAT32)
    return {component.name: choose("eager", device).prepare(component)(*component.example()) for component in found}


@pytest.mark.parametrize("precision", list(Precision), ids=lambda precision: precision.value)
@pytest.mark.parametrize("name", HERE)
def test_a_runtime_agrees_with_eager(
    device: torch.device, expected: dict[str, Tensor], name: str, precision: Precision
) -> None:
    runs = runtime(name, device)
    components_of_a_frame = Voodoo3d.on_trial(small=True).components(device, precision)
    verdicts = [compared(component, runs, precision, expected[component.name]) for component in components_of_a_frame]
    assert not [verdict for verdict in verdicts if not verdict.passed]


@pytest.mark.parametrize("name", HERE)
def test_a_runtime_runs_what_every_frame_wants_itself(device: torch.device, name: str) -> None:
    runs, network = runtime(name, device), small(device, Precision.FLOAT16)
    ran = {make.__name__: runs.prepare(make(network)).by for make in EVERY_FRAME}
    assert all(by.startswith(name) for by in ran.values()), ran


def test_a_recording_waits_for_nothing(device: torch.device, request: pytest.FixtureRequest) -> None:
    component = components.superresolution(small(device, Precision.FLOAT16))
    run, inputs = Graphs(device, ()).prepare(component), component.example()
    assert run.by != "eager"
    out = torch.empty_like(run(*inputs))
    torch.cuda.synchronize()
    request.getfixturevalue("unwaiting")
    run(*inputs, out=out)


def test_a_recording_keeps_what_it_reads(device: torch.device) -> None:
    """A component is let go once it is recorded, and its constants must not go with it: their memory would be others' by then."""

    class Picking(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.chosen = torch.arange(4095, -1, -1, device=device)  # no parameter, no buffer: nobody else holds it

        def forward(self, x: Tensor) -> Tensor:
            return x.index_select(0, self.chosen)

    given = torch.arange(4096.0, device=device)
    recording = recorded(Picking(), (given,), device)
    gc.collect()
    others = [torch.zeros(4096, dtype=torch.int64, device=device) for _ in range(64)]
    recording.replay()
    assert torch.equal(recording.output, given.flip(0)), len(others)


def test_a_recording_is_shared_by_threads_on_streams_of_their_own(device: torch.device) -> None:
    component = components.lift(small(device))
    run, eager = Graphs(device, ()).prepare(component), Eager().prepare(component)
    (example,) = component.example()

    def right(number: int) -> bool:
        with torch.cuda.stream(torch.cuda.Stream(device)):
            results: list[tuple[Tensor, Tensor]] = []
            for k in range(20):
                given = (example + 0.03 * number + 0.001 * k).clamp(0, 1)
                results.append((given, run(given)))
            torch.cuda.current_stream().synchronize()
            return all(decibels(result, eager(given)) >= 80 for given, result in results)

    with ThreadPoolExecutor(4) as callers:
        assert all(callers.map(right, range(4)))


@with_tensorrt
def test_an_engine_is_built_once_kept_and_found(device: torch.device, tmp_path: Path) -> None:
    component, cache = components.lift(small(device, Precision.FLOAT16)), Cache(tmp_path / "engines")
    assert tensorrt.build(component, device, cache).anew
    again = tensorrt.build(component, device, cache)
    assert not again.anew
    assert cache.standing(again.entry, tensorrt.keys([component], device)) == (Standing.READY, "")
    assert tensorrt.Trt(device, True, cache).prepare(component).by == "trt"


@with_tensorrt
def test_an_engine_that_was_tampered_with_is_built_anew(device: torch.device, tmp_path: Path) -> None:
    component, cache = components.lift(small(device, Precision.FLOAT16)), Cache(tmp_path / "engines")
    entry = tensorrt.build(component, device, cache).entry
    (cache.folder / entry.file).write_bytes(b"no engine")
    assert tensorrt.build(component, device, cache).anew


def test_auto_takes_the_best_there_is(device: torch.device) -> None:
    assert choose("auto", device).name == HERE[0]
    assert ("trt" in HERE) == (find_spec("tensorrt") is not None and find_spec("torch_tensorrt") is not None)
