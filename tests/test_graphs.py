"""Recorded components, as far as a processor shows them: fixed buffers, turns, falling back aloud. The rest is in tests/gpu."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn

from engines.runtime.eager import Called, Eager
from engines.runtime.graphs import Graphs, Recording, Replayed, Turn, recorded
from tests.curves import Branching, Curve, component_of

pytestmark = pytest.mark.usefixtures("said")
CPU = torch.device("cpu")


def _graphs(*compiled: str) -> Graphs:
    return Graphs(CPU, compiled)


class TestGraphs:
    """What holds of a recording whatever replays it; on a processor a replay calls what a GPU would have recorded."""

    def test_gives_what_eager_gives(self) -> None:
        component, given = component_of(Curve()), torch.tensor([1.0, 2.0, 3.0])
        run = _graphs().prepare(component)
        assert run.by == "graphs"
        assert torch.equal(run(given), Eager().prepare(component)(given))

    def test_a_result_is_the_callers_own(self) -> None:
        run = _graphs().prepare(component_of(Curve()))
        first = run(torch.ones(3))
        kept = first.clone()
        second = run(torch.zeros(3))
        assert torch.equal(first, kept)
        assert not torch.equal(first, second)
        first.fill_(7)
        assert torch.equal(run(torch.ones(3)), kept)

    def test_out_is_written_and_given_back(self) -> None:
        run, out = _graphs().prepare(component_of(Curve())), torch.full((5, 3), -1.0)
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
            _graphs().prepare(component_of(Curve()))(torch.ones(shape))

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
        run = _graphs("curve").prepare(component_of(Branching()))
        assert run.by == "graphs"
        assert "curve cannot run on cpu by graphs, compiled; the next slower way is taken" in said.text

    def test_what_cannot_be_recorded_runs_eagerly_aloud(self, said: pytest.LogCaptureFixture) -> None:
        run = _graphs().prepare(
            component_of(Curve(), example=lambda: (torch.ones(2),))
        )  # cannot be multiplied by three
        assert run.by == "eager"
        assert "curve cannot run on cpu by graphs; the next slower way is taken" in said.text
        assert torch.equal(run(torch.ones(3)), Curve()(torch.ones(3)))

    def test_what_is_done_once_a_portrait_is_not_recorded(self) -> None:
        run = _graphs().prepare(component_of(Curve(), often=False))
        assert isinstance(run, Called)
        assert run(torch.ones(4, 3)).shape == (4, 3)

    def test_kernels_come_before_plain_torch_and_their_failure_is_aloud(self, said: pytest.LogCaptureFixture) -> None:
        assert _graphs().prepare(component_of(Curve(), fused=Curve())).by == "graphs, fused"
        broken = component_of(Curve(), fused=nn.Linear(7, 7))
        assert _graphs().prepare(broken).by == "graphs"
        assert "by graphs, fused; the next slower way" in said.text
