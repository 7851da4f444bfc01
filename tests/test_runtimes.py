"""Runtimes, as far as a processor shows them: export, fixed buffers, turns, falling back aloud. The rest is in tests/gpu."""

from __future__ import annotations

import logging
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from engines import runtime
from engines.runtime import Precision, Stage, UnknownRuntime, choose, chosen_precision, trt
from engines.runtime.cache import Cache, Key
from engines.runtime.eager import Called, Eager
from engines.runtime.graphs import Graphs, Recording, Replayed, Turn, recorded
from engines.runtime.verify import compared, decibels, verify
from engines.voodoo3d import stages, synthetic
from engines.voodoo3d.architecture import Architecture
from engines.voodoo3d.network import Voodoo3D
from engines.voodoo3d.stages import Look

CPU = torch.device("cpu")
SMALL = Architecture(image=64, thin=16)
NETWORKS = {
    "lift": stages.lift,
    "source share": stages.source_share,
    "expression": stages.expression,
    "superresolution": stages.superresolution,
}


class Curve(nn.Module):
    """Something small that is not linear, slow enough for threads to meet in it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([2.0, 3.0, 5.0]), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(x * self.weight)


class Branching(Curve):
    """Asks for a number on its way: no program, no recording."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if float(x.sum()) > 0 else x


def stage_of(module: nn.Module, **changes: Any) -> Stage:
    made = Stage("curve", module, lambda: (torch.tensor([0.1, 0.2, 0.3]),), agreement=dict.fromkeys(Precision, 40.0))
    return replace(made, **changes)


@pytest.fixture(autouse=True)
def said(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    """The warnings of a test, none of them held back because an earlier test had said it."""
    monkeypatch.setattr(runtime, "_said", set())
    caplog.set_level(logging.WARNING)
    return caplog


class TestChoosing:
    def test_a_processor_runs_eagerly_unless_told_otherwise(self, said: pytest.LogCaptureFixture) -> None:
        assert choose("auto", CPU).name == "eager"
        assert choose("graphs", CPU).name == "graphs"
        assert not said.text

    def test_what_is_not_to_be_had_is_replaced_aloud(self, said: pytest.LogCaptureFixture) -> None:
        assert choose("trt", CPU).name == "eager"
        assert "'trt' is not to be had on cpu, so 'eager'" in said.text

    def test_once(self, said: pytest.LogCaptureFixture) -> None:
        for _ in range(3):
            choose("trt", CPU)
        assert len(said.records) == 1

    def test_unknown_names_are_answered_with_the_known(self) -> None:
        with pytest.raises(UnknownRuntime, match="auto, trt, graphs, eager"):
            choose("fast", CPU)
        with pytest.raises(UnknownRuntime, match="auto, float32, bfloat16, float16"):
            chosen_precision("int8", CPU)

    def test_half_precision_is_a_gpus(self) -> None:
        assert chosen_precision("auto", "cpu") is Precision.FLOAT32
        assert chosen_precision("auto", "cuda") is Precision.FLOAT16
        assert chosen_precision("bfloat16", "cpu") is Precision.BFLOAT16


@pytest.fixture(scope="module")
def network() -> Callable[[Precision], Voodoo3D]:
    kept: dict[Precision, Voodoo3D] = {}

    def of(precision: Precision) -> Voodoo3D:
        if precision not in kept:
            kept[precision] = synthetic.network(SMALL, dtype=precision.dtype)
        return kept[precision]

    return of


class TestExport:
    """TensorRT and the compiler are given programs, not Python: `strict` lets no graph break pass."""

    @pytest.mark.parametrize(
        ("name", "precision"),
        [*((name, Precision.FLOAT32) for name in NETWORKS), ("superresolution", Precision.FLOAT16)],
    )
    def test_every_network_is_one_program_with_its_numbers(
        self, network: Callable[[Precision], Voodoo3D], name: str, precision: Precision
    ) -> None:
        stage = NETWORKS[name](network(precision))
        assert stage.network
        program, inputs = trt.exported(stage), stage.example()
        with torch.no_grad():
            expected, found = stage.module(*inputs), program.module()(*inputs)
        assert expected.dtype == found.dtype == torch.float32
        assert torch.equal(found, expected)

    def test_what_cannot_be_one_is_not_called_a_network(self, network: Callable[[Precision], Voodoo3D]) -> None:
        whole = network(Precision.FLOAT32).stages([Look(1, 16, (4, 4), 3)])
        assert [stage.name for stage in whole if not stage.network] == ["march of 1"]
        assert {stage.name for stage in whole if stage.network} == set(NETWORKS)

    def test_a_branch_on_a_number_does_not_pass(self) -> None:
        with pytest.raises(Exception, match=r"(?i)data.dependent|branch"):
            trt.exported(stage_of(Branching()))


class TestKey:
    """The network's part of an engine's key; the machine's needs one (tests/gpu)."""

    def test_hangs_on_weights_precision_shapes_and_program(self) -> None:
        first, weighs, precise, shaped, other = Curve(), Curve(), Curve().half(), Curve(), nn.Tanh()
        weighs.weight[1] += 1e-6
        different = {
            "weights": stage_of(weighs),
            "precision": stage_of(precise, example=lambda: (torch.ones(3).half(),)),
            "shapes": stage_of(shaped, example=lambda: (torch.ones(2, 3),)),
            "program": stage_of(other),
        }
        ours = _contents(stage_of(first))
        assert ours == _contents(stage_of(Curve()))
        for part, stage in different.items():
            assert _contents(stage)[part] != ours[part], part

    def test_a_lone_weight_of_a_network_counts_and_its_place_in_memory_does_not(self) -> None:
        conv = nn.Conv2d(4, 4, 3)
        before = trt.weights_of(conv)
        conv.weight.data = conv.weight.data.contiguous(memory_format=torch.channels_last)
        assert trt.weights_of(conv) == before
        conv.weight.data[3, 3, 2, 2] += 1
        assert trt.weights_of(conv) != before

    def test_is_the_same_in_every_process(self, network: Callable[[Precision], Voodoo3D]) -> None:
        script = (
            "from engines.voodoo3d import stages, synthetic; from engines.voodoo3d.architecture import Architecture\n"
            "from engines.runtime import trt\n"
            "stage = stages.expression(synthetic.network(Architecture(image=64, thin=16)))\n"
            "print(sorted(trt.contents(stage, trt.exported(stage)).items()))"
        )
        environment = os.environ | {"PYTHONHASHSEED": "7"}
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment
        )
        here = _contents(stages.expression(network(Precision.FLOAT32)))
        assert done.stdout.strip() == str(sorted(here.items()))


def _contents(stage: Stage) -> dict[str, str]:
    return trt.contents(stage, trt.exported(stage))


def _graphs(*compiled: str) -> Graphs:
    return Graphs(CPU, compiled)


class TestGraphs:
    """What holds of a recording whatever replays it; on a processor a replay calls what a GPU would have recorded."""

    def test_gives_what_eager_gives(self) -> None:
        stage, given = stage_of(Curve()), torch.tensor([1.0, 2.0, 3.0])
        run = _graphs().prepare(stage)
        assert run.by == "graphs"
        assert torch.equal(run(given), Eager().prepare(stage)(given))

    def test_a_result_is_the_callers_own(self) -> None:
        run = _graphs().prepare(stage_of(Curve()))
        first = run(torch.ones(3))
        kept = first.clone()
        second = run(torch.zeros(3))
        assert torch.equal(first, kept)
        assert not torch.equal(first, second)
        first.fill_(7)
        assert torch.equal(run(torch.ones(3)), kept)

    def test_out_is_written_and_given_back(self) -> None:
        run, out = _graphs().prepare(stage_of(Curve())), torch.full((5, 3), -1.0)
        assert run(torch.ones(3), out=out[2]).data_ptr() == out[2].data_ptr()
        assert torch.equal(out[2], run(torch.ones(3)))
        assert (out[[0, 1, 3, 4]] == -1).all()

    def test_reads_and_writes_the_same_memory_every_time(self) -> None:
        addresses: list[tuple[int, ...]] = []

        def work(x: Tensor) -> Tensor:
            addresses.append((x.data_ptr(),))
            return x * 2

        recording = recorded(work, (torch.ones(3),), CPU)
        output = recording.output.data_ptr()
        run = Replayed(recording, Turn(CPU), "graphs")
        for k in range(3):
            given = torch.full((3,), float(k))
            assert torch.equal(run(given), given * 2)
        assert len(set(addresses)) == 1
        assert recording.output.data_ptr() == output

    @pytest.mark.parametrize("shape", [(2,), (1, 3), (4, 3)])
    def test_another_shape_is_our_mistake(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(AssertionError):
            _graphs().prepare(stage_of(Curve()))(torch.ones(shape))

    def test_callers_take_turns(self) -> None:
        """Several threads in one recording; without turns each would find another's numbers in the buffers."""
        inputs, output = (torch.zeros(1),), torch.zeros(1)

        def slow() -> None:
            seen = inputs[0].clone()
            time.sleep(0.002)
            output.copy_(seen * 10)

        run = Replayed(Recording(inputs, output, slow), Turn(CPU), "graphs")

        def right(number: int) -> bool:
            given = [torch.tensor([100.0 * number + k]) for k in range(10)]
            return all(torch.equal(run(one), one * 10) for one in given)

        with ThreadPoolExecutor(6) as callers:
            assert all(callers.map(right, range(6)))

    def test_a_failed_call_lets_the_next_one_in(self) -> None:
        failures = iter([RuntimeError("out of memory")])

        def once() -> None:
            for failure in failures:
                raise failure

        run = Replayed(Recording((torch.zeros(1),), torch.zeros(1), once), Turn(CPU), "graphs")
        with pytest.raises(RuntimeError, match="out of memory"):
            run(torch.ones(1))
        assert torch.equal(run(torch.ones(1)), torch.zeros(1))

    def test_what_cannot_be_compiled_is_recorded_as_it_is_aloud(self, said: pytest.LogCaptureFixture) -> None:
        run = _graphs("curve").prepare(stage_of(Branching()))
        assert run.by == "graphs"
        assert "curve cannot run on cpu by graphs, compiled; the next slower way is taken" in said.text

    def test_what_cannot_be_recorded_runs_eagerly_aloud(self, said: pytest.LogCaptureFixture) -> None:
        run = _graphs().prepare(stage_of(Curve(), example=lambda: (torch.ones(2),)))  # cannot be multiplied by three
        assert run.by == "eager"
        assert "curve cannot run on cpu by graphs; the next slower way is taken" in said.text
        assert torch.equal(run(torch.ones(3)), Curve()(torch.ones(3)))

    def test_what_is_done_once_a_portrait_is_not_recorded(self) -> None:
        run = _graphs().prepare(stage_of(Curve(), often=False))
        assert isinstance(run, Called)
        assert run(torch.ones(4, 3)).shape == (4, 3)

    def test_kernels_come_before_plain_torch_and_their_failure_is_aloud(self, said: pytest.LogCaptureFixture) -> None:
        assert _graphs().prepare(stage_of(Curve(), fused=Curve())).by == "graphs, fused"
        broken = stage_of(Curve(), fused=nn.Linear(7, 7))
        assert _graphs().prepare(broken).by == "graphs"
        assert "by graphs, fused; the next slower way" in said.text


KEY = Key("curve", "a GPU", "9.0", "580", "11.0", "2.13", "2.13", "float32", "3", "p", "w")


class TestAhead:
    """TensorRT's side without TensorRT: what is built, kept, loaded and refused. Building and loading are stood in for."""

    @pytest.fixture
    def cache(self, tmp_path: Path) -> Cache:
        return Cache(tmp_path)

    @pytest.fixture
    def built(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """Names of the stages that were built; engines are bytes that double what they are given."""
        names: list[str] = []

        def build(stage: Stage, *_: object) -> bytes:
            names.append(stage.name)
            return b"doubles"

        def load(engine: bytes, example: tuple[Tensor, ...]) -> Recording:
            if engine != b"doubles":
                raise trt.BuildFailed("TensorRT refuses this engine")
            return recorded(lambda x: 2 * x, example, CPU)

        monkeypatch.setattr(trt, "key_of", lambda *_: KEY)
        monkeypatch.setattr(trt, "built", build)
        monkeypatch.setattr(trt, "loaded", load)
        return names

    def test_a_missing_tensorrt_gives_way_aloud(self, cache: Cache, said: pytest.LogCaptureFixture) -> None:
        run = trt.Trt(CPU, False, cache).prepare(stage_of(Curve()))
        assert run.by == "graphs"
        assert "TensorRT cannot run curve on cpu, so graphs do instead" in said.text
        assert torch.equal(run(torch.ones(3)), Curve()(torch.ones(3)))
        assert not cache.entries()

    def test_is_built_once_and_found_from_then_on(self, cache: Cache, built: list[str]) -> None:
        for _ in range(2):
            run = trt.Trt(CPU, False, cache).prepare(stage_of(Curve()))
            assert run.by == "trt"
            assert torch.equal(run(torch.ones(3)), torch.full((3,), 2.0))
        assert built == ["curve"]

    def test_nobody_waits_for_a_build_that_was_not_asked_for(
        self, cache: Cache, built: list[str], said: pytest.LogCaptureFixture
    ) -> None:
        assert trt.Trt(CPU, True, cache).prepare(stage_of(Curve())).by == "graphs"
        assert built == []
        assert "no engine was built for curve, so graphs run curve on cpu instead" in said.text
        assert "python -m server engines build" in said.text

    @pytest.mark.parametrize("part", ["gpu", "driver", "tensorrt", "weights"])
    def test_an_engine_for_anything_else_is_never_loaded(
        self,
        cache: Cache,
        built: list[str],
        said: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
        part: str,
    ) -> None:
        cache.write(replace(KEY, **{part: "another"}), b"doubles")
        with monkeypatch.context() as patched:
            patched.setattr(trt, "loaded", lambda *_: pytest.fail("it was loaded"))
            assert trt.Trt(CPU, True, cache).prepare(stage_of(Curve())).by == "graphs"
        assert f"was for another {part}" in said.text
        assert trt.build(stage_of(Curve()), CPU, cache).anew
        assert trt.Trt(CPU, True, cache).prepare(stage_of(Curve())).by == "trt"

    @pytest.mark.parametrize("damage", [b"", b"doub", b"Doubles"])
    def test_a_damaged_engine_is_built_anew(self, cache: Cache, built: list[str], damage: bytes) -> None:
        entry = trt.build(stage_of(Curve()), CPU, cache).entry
        (cache.folder / entry.file).write_bytes(damage)
        assert trt.build(stage_of(Curve()), CPU, cache).anew
        assert not trt.build(stage_of(Curve()), CPU, cache).anew
        assert built == ["curve", "curve"]

    def test_an_engine_that_tensorrt_refuses_is_built_anew(self, cache: Cache, built: list[str]) -> None:
        cache.write(KEY, b"of another TensorRT that calls itself the same")
        assert trt.build(stage_of(Curve()), CPU, cache).anew
        assert cache.read(KEY) == b"doubles"

    def test_a_failed_build_keeps_nothing_and_gives_way_aloud(
        self, cache: Cache, built: list[str], said: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fails(*_: object) -> bytes:
            raise RuntimeError("no converter for aten::svd")

        monkeypatch.setattr(trt, "built", fails)
        run = trt.Trt(CPU, False, cache).prepare(stage_of(Curve()))
        assert run.by == "graphs"
        assert "so graphs do instead" in said.text
        assert "no converter for aten::svd" in said.text
        with pytest.raises(RuntimeError, match="no converter"):
            trt.build(stage_of(Curve()), CPU, cache)
        assert not cache.entries()

    def test_marches_and_what_is_rare_are_left_to_graphs(self, cache: Cache, built: list[str]) -> None:
        runs = trt.Trt(CPU, False, cache)
        assert runs.prepare(stage_of(Curve(), network=False)).by == "graphs"
        assert runs.prepare(stage_of(Curve(), often=False)).by == "eager"
        assert built == []


class TestPrecision:
    @pytest.mark.parametrize("precision", [Precision.FLOAT16, Precision.BFLOAT16], ids=lambda p: p.value)
    def test_networks_alone_are_in_half_precision(
        self, network: Callable[[Precision], Voodoo3D], precision: Precision
    ) -> None:
        half = network(precision)
        march = half.stages([Look(2, 16, (4, 4), 3)])[3]
        with torch.no_grad(), _Dtypes() as marched:
            features = march.module(*march.example())
        assert features.dtype == torch.float32
        assert marched.floats == {torch.float32}
        lift = stages.lift(half)
        with torch.no_grad(), _Dtypes() as lifted:
            assert lift.module(*lift.example()).dtype == torch.float32
        assert precision.dtype in lifted.floats

    def test_every_stage_takes_and_gives_float32(self, network: Callable[[Precision], Voodoo3D]) -> None:
        for stage in network(Precision.BFLOAT16).stages([Look(1, 16, (4, 4), 3)]):
            inputs = stage.example()
            assert {tensor.dtype for tensor in inputs} == {torch.float32}, stage.name
            assert all(map(torch.equal, inputs, stage.example())), stage.name
            with torch.no_grad():
                assert stage.module(*inputs).dtype == torch.float32, stage.name


class _Dtypes(TorchDispatchMode):
    """The types of all fractional numbers that were computed while it was entered."""

    def __init__(self) -> None:
        super().__init__()
        self.floats: set[torch.dtype] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.floats |= {x.dtype for x in tree_leaves(result) if isinstance(x, Tensor) and x.is_floating_point()}
        return result


@dataclass(frozen=True)
class Trial:
    """An engine of one stage, whose half precision is off by `error`."""

    error: float = 0.0

    def stages(self, device: torch.device, precision: Precision) -> Sequence[Stage]:
        module = Curve()
        module.weight.data += 0.0 if precision is Precision.FLOAT32 else self.error
        return [stage_of(module, agreement={Precision.FLOAT32: 80.0, Precision.FLOAT16: 50.0})]

    @classmethod
    def on_trial(cls, small: bool = False) -> Trial:
        return cls()


class TestVerify:
    def test_eager_comes_first_and_every_way_after_it(self) -> None:
        found = list(verify(Trial(), CPU))
        assert [(one.by, one.precision) for one in found] == [
            ("eager", Precision.FLOAT32),
            ("graphs", Precision.FLOAT32),
            ("graphs", Precision.FLOAT16),
            ("eager", Precision.FLOAT16),
        ]
        assert all(one.passed and one.milliseconds > 0 for one in found)

    def test_what_disagrees_is_found_and_measured(self) -> None:
        *same, half = verify(Trial(error=0.1), CPU, ["eager"])
        assert all(one.passed for one in same)
        assert not half.passed
        assert half.decibels < half.least == 50.0
        reference = Curve()(torch.tensor([0.1, 0.2, 0.3]))
        off = torch.sin(torch.tensor([0.1, 0.2, 0.3]) * torch.tensor([2.1, 3.1, 5.1]))
        assert half.worst == pytest.approx(float((off - reference).abs().max()))

    def test_progress_comes_before_each_and_counts_to_the_end(self) -> None:
        told: list[tuple[str, int, int]] = []
        found = list(verify(Trial(), CPU, progress=lambda *each: told.append(each)))
        assert [done for _, done, _ in told] == list(range(len(found)))
        assert {of for *_, of in told} == {len(found)}

    def test_a_precision_without_a_stated_agreement_has_to_be_exact(self) -> None:
        stage = stage_of(Curve(), agreement={})
        reference = stage.module(*stage.example())
        assert compared(stage, Eager(), Precision.FLOAT16, reference).passed
        assert not compared(stage, Eager(), Precision.FLOAT16, reference + 1e-6).passed

    def test_decibels(self) -> None:
        ramp = torch.linspace(0, 1, 100)
        assert decibels(ramp, ramp) == math.inf
        assert decibels(ramp + 0.01, ramp) == pytest.approx(40.0, abs=0.01)
        assert decibels(ramp[:50], ramp) == -math.inf
        assert decibels(torch.full((100,), math.nan), ramp) == -math.inf
        assert decibels(ramp, torch.full((100,), math.inf)) == -math.inf
        assert decibels(torch.ones(3) * 1.1, torch.ones(3)) == -math.inf

    @pytest.mark.parametrize("precision", [Precision.FLOAT16, Precision.BFLOAT16], ids=lambda p: p.value)
    def test_half_precision_stays_within_what_the_stages_state(
        self, network: Callable[[Precision], Voodoo3D], precision: Precision
    ) -> None:
        look = Look(2, 16, (8, 8), 3)
        defining = network(Precision.FLOAT32).stages([look])
        for stage, reference in zip(network(precision).stages([look]), defining, strict=True):
            with torch.no_grad():
                verdict = compared(stage, Eager(), precision, reference.module(*reference.example()))
            assert verdict.passed, verdict
