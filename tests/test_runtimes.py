"""Which runtime and precision are taken, networks as programs, and which numbers they compute in, as far as a processor shows it.

The rest is in tests/gpu.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from engines.runtime import Precision, UnknownRuntime, choose, chosen_precision, trt
from engines.voodoo3d import components
from engines.voodoo3d.components import Look
from tests.curves import Branching, component_of, small_network

pytestmark = pytest.mark.usefixtures("said")
CPU = torch.device("cpu")
NETWORKS = {
    "lift": components.lift,
    "source share": components.source_share,
    "expression": components.expression,
    "superresolution": components.superresolution,
}


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


class TestExport:
    """TensorRT and the compiler are given programs, not Python: `strict` lets no graph break pass."""

    @pytest.mark.parametrize(
        ("name", "precision"),
        [
            *((name, Precision.FLOAT32) for name in NETWORKS),
            pytest.param("superresolution", Precision.FLOAT16, marks=pytest.mark.soak),
        ],
    )
    def test_every_network_is_one_program_with_its_numbers(self, name: str, precision: Precision) -> None:
        component = NETWORKS[name](small_network(precision))
        assert component.network
        program, inputs = trt.exported(component), component.example()
        with torch.no_grad():
            expected, found = component.module(*inputs), program.module()(*inputs)
        assert expected.dtype == found.dtype == torch.float32
        assert torch.equal(found, expected)

    def test_what_cannot_be_one_is_not_called_a_network(self) -> None:
        whole = small_network(Precision.FLOAT32).components([Look(1, 16, (4, 4), 3)])
        assert [component.name for component in whole if not component.network] == ["march of 1"]
        assert {component.name for component in whole if component.network} == set(NETWORKS)

    def test_a_branch_on_a_number_does_not_pass(self) -> None:
        with pytest.raises(Exception, match=r"(?i)data.dependent|branch"):
            trt.exported(component_of(Branching()))


class TestPrecision:
    @pytest.mark.parametrize("precision", [Precision.FLOAT16, Precision.BFLOAT16], ids=lambda p: p.value)
    def test_networks_alone_are_in_half_precision(self, precision: Precision) -> None:
        half = small_network(precision)
        march = half.components([Look(2, 16, (4, 4), 3)])[3]
        with torch.no_grad(), _Dtypes() as marched:
            features = march.module(*march.example())
        assert features.dtype == torch.float32
        assert marched.floats == {torch.float32}
        lift = components.lift(half)
        with torch.no_grad(), _Dtypes() as lifted:
            assert lift.module(*lift.example()).dtype == torch.float32
        assert precision.dtype in lifted.floats

    def test_every_stage_takes_and_gives_float32(self) -> None:
        for component in small_network(Precision.BFLOAT16).components([Look(1, 16, (4, 4), 3)]):
            inputs = component.example()
            assert {tensor.dtype for tensor in inputs} == {torch.float32}, component.name
            assert all(map(torch.equal, inputs, component.example())), component.name
            with torch.no_grad():
                assert component.module(*inputs).dtype == torch.float32, component.name


class _Dtypes(TorchDispatchMode):
    """The types of all fractional numbers that were computed while it was entered."""

    def __init__(self) -> None:
        super().__init__()
        self.floats: set[torch.dtype] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.floats |= {x.dtype for x in tree_leaves(result) if isinstance(x, Tensor) and x.is_floating_point()}
        return result
