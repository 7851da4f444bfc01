"""What is carried between devices, as far as it shows without a GPU: torch's `meta` device stands for one that is elsewhere."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from display.screen import Screen, fan_yaws
from display.subsets import subsets
from engines.options import EngineOptions
from engines.shared_volume import Sampling
from engines.voodoo3d import synthetic
from engines.voodoo3d.architecture import Architecture
from engines.voodoo3d.engine import Voodoo3d
from engines.voodoo3d.enrol import Samples
from pipeline.clock import StageClock
from pipeline.devices import timing
from pipeline.devices.placement import preset
from pipeline.devices.timing import Span
from pipeline.devices.transfer import Readback, Replicated, fence
from pipeline.executors.inline import Inline
from pipeline.frame import Frame
from pipeline.job import FrameJob
from pipeline.stages import Picture, Stages
from tests.painted import StillObserver, still_face


@dataclass(frozen=True)
class Inner:
    weights: torch.Tensor
    names: dict[str, int]


class Pair(NamedTuple):
    left: torch.Tensor
    right: str


@dataclass(frozen=True)
class State:
    planes: torch.Tensor
    pose: np.ndarray
    inner: Inner
    several: list[torch.Tensor]
    pair: Pair


def state() -> State:
    return State(
        torch.ones(2, 3), np.eye(4), Inner(torch.zeros(5), {"a": 1}), [torch.ones(1)], Pair(torch.ones(4), "r")
    )


def test_between_threads_of_the_processor_everything_stays_the_same_object():
    made = state()
    carried = Replicated(made)
    assert carried.send("cpu:3") is None
    assert carried.on("cpu:3") is made
    assert carried.on("cpu:0") is made
    assert carried.copies == 0
    assert fence("cpu:0", carried.send("cpu:1")) is None


def test_a_device_gets_one_copy_however_many_renderers_are_there():
    made = state()
    carried = Replicated(made)
    for _ in range(3):
        carried.send("meta")
        carried.on("meta")
    assert carried.copies == 4
    there = carried.on("meta")
    assert there is carried.on("meta")
    assert {tensor.device.type for tensor in (there.planes, there.inner.weights, *there.several, there.pair.left)} == {
        "meta"
    }
    assert there.planes.shape == made.planes.shape
    assert there.pose is made.pose
    assert there.inner.names is made.inner.names
    assert there.pair.right == "r"
    assert made.planes.device.type == "cpu"


def test_parts_that_are_there_already_are_not_copied():
    half = State(torch.ones(2, device="meta"), np.eye(4), state().inner, [], Pair(torch.ones(1, device="meta"), "r"))
    carried = Replicated(half)
    there = carried.on("meta")
    assert carried.copies == 1
    assert there.planes is half.planes
    assert there.several is half.several
    assert there.pair is half.pair
    assert there.inner is not half.inner


def test_values_without_tensors_go_anywhere():
    for value in (None, 7, "state", {"a": [1, 2]}, np.eye(2)):
        carried = Replicated(value)
        assert carried.on("meta") is value
        assert carried.copies == 0


def test_what_lands_from_the_processor_is_the_same_memory():
    pixels = torch.zeros(4, 4, dtype=torch.uint8)
    landed = Readback(pixels).array()
    pixels[0, 0] = 9
    assert landed[0, 0] == 9


def test_times_are_written_down_when_a_frame_has_gone_by():
    clock, now = StageClock(captured=0.0), iter([1.0, 1.5, 2.0])
    begun, ended = (timing.instant("cpu:1", lambda: next(now)) for _ in range(2))
    spans = [Span("render", "cpu:1", begun, ended, share=0.25), Span("render", "cpu:2", 1.2, 2.0)]
    timing.mark_times(clock, spans)
    assert clock.spans == {"render": (1.0, 2.0)}
    assert clock.busy == {"cpu:1": pytest.approx(0.125), "cpu:2": pytest.approx(0.8)}


ROOT = Path(__file__).parents[1]
HOT = [*(ROOT / "pipeline").rglob("*.py"), *(ROOT / "display" / name for name in ("quilt.py", "colour.py", "label.py"))]
WAITS = {"cpu", "item", "tolist", "synchronize", "pin_memory", "nonzero", "masked_select"}


def waits(source: str) -> set[str]:
    """The calls in `source` for which the host waits for a device, or copies from one."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    methods = [(node.func.attr, node.args) for node in calls if isinstance(node.func, ast.Attribute)]
    to = [arguments[0] for name, arguments in methods if name == "to" and arguments]
    to_host = {"to" for first in to if isinstance(first, ast.Constant) and first.value == "cpu"}
    return {name for name, _ in methods if name in WAITS} | to_host


@pytest.mark.parametrize("path", sorted(HOT), ids=lambda path: str(path.relative_to(ROOT)))
def test_nobody_else_waits_for_a_device_or_copies_from_it(path: Path):
    """A hidden wait costs every caller of that GPU."""
    found = waits(path.read_text())
    assert bool(found) == (path.name == "transfer.py"), found


@pytest.mark.parametrize(
    "source",
    ["x.cpu()", "x.item()", "x.to('cpu')", "torch.cuda.synchronize(d)", "x.tolist()", "y = x.sum().item() + 1"],
)
def test_waits_are_found(source: str):
    assert waits(source)


class Asking(TorchDispatchMode):
    """Notes every operation that needs a tensor's values on the host."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = str(func).removeprefix("aten.")
        by_mask = name.startswith("index") and any(one is not None and one.dtype is torch.bool for one in args[1])
        if by_mask or name.startswith(("_local_scalar_dense", "nonzero", "masked_select", "_unique2")):
            self.asked.append(name)
        return func(*args, **(kwargs or {}))


def test_whatever_asks_is_noted():
    mode, x = Asking(), torch.ones(3)
    with mode:
        float(x.sum())
        x[x > 0]
        x.nonzero()
        x[[0, 2]]
    assert len(mode.asked) == 3, mode.asked


def test_a_whole_frame_asks_no_tensor_for_its_values():
    """From the observation to the marked quilt in the encoder's colours, of a neural engine. What a shared volume does on
    a GPU, which skips less than a CPU can, is in tests/test_launches.py."""
    network = synthetic.network(Architecture(64, 16))
    engine = Voodoo3d(EngineOptions(runtime="eager"), network=network, samples=Samples(4, 4), sampling=Sampling.EXACT)
    target = Screen("two", 2, 1, 320, 160, 1.0, fan_yaws(2))
    avatar, pictures, mode = engine.enrol(still_face()), list[Picture](), Asking()
    stages = Stages(engine, avatar, StillObserver(), preset("cpu"), pictures.append, lambda: 0.0)
    job = FrameJob(
        Frame(np.zeros((4, 4, 3), np.uint8), 0.0), StageClock(0.0), screens=subsets([target]), views={target: {}}
    )
    with mode:
        Inline().submit(stages.steps(job), lambda failure: None)
    assert len(pictures) == 1
    assert mode.asked == []
