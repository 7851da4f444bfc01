"""Every way to run a component, held against eager in float32."""

from __future__ import annotations

import math

import pytest
import torch

from engines.runtime import Precision
from engines.runtime.eager import Eager
from engines.runtime.verify import compared, decibels, verify
from engines.voodoo3d.components import Look
from tests.curves import Curve, Trial, component_of, small_network

pytestmark = pytest.mark.usefixtures("said")
CPU = torch.device("cpu")


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
        component = component_of(Curve(), agreement={})
        reference = component.module(*component.example())
        assert compared(component, Eager(), Precision.FLOAT16, reference).passed
        assert not compared(component, Eager(), Precision.FLOAT16, reference + 1e-6).passed

    def test_decibels(self) -> None:
        ramp = torch.linspace(0, 1, 100)
        assert decibels(ramp, ramp) == math.inf
        assert decibels(ramp + 0.01, ramp) == pytest.approx(40.0, abs=0.01)
        assert decibels(ramp[:50], ramp) == -math.inf
        assert decibels(torch.full((100,), math.nan), ramp) == -math.inf
        assert decibels(ramp, torch.full((100,), math.inf)) == -math.inf
        assert decibels(torch.ones(3) * 1.1, torch.ones(3)) == -math.inf

    @pytest.mark.parametrize("precision", [Precision.FLOAT16, Precision.BFLOAT16], ids=lambda p: p.value)
    def test_half_precision_stays_within_what_the_stages_state(self, precision: Precision) -> None:
        look = Look(2, 16, (8, 8), 3)
        defining = small_network(Precision.FLOAT32).components([look])
        for component, reference in zip(small_network(precision).components([look]), defining, strict=True):
            with torch.no_grad():
                verdict = compared(component, Eager(), precision, reference.module(*reference.example()))
            assert verdict.passed, verdict
