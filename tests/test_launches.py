"""What a frame asks of a GPU's queue, counted on shapes: nothing is waited for, and views are an axis, never a loop."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import pytest
import torch
from torch import Tensor

from benchmarks.launches import META, Counting, driven, frame, pictured, rendered, super_resolved
from engines.shared_volume import Sampling
from engines.voodoo3d.architecture import Architecture
from engines.voodoo3d.enrol import Samples
from engines.voodoo3d.network import VIEWS_AT_ONCE

SMALL = Architecture(image=64, thin=16)
BATCH = VIEWS_AT_ONCE["cuda"]


@pytest.mark.parametrize("runtime", ["eager", "graphs"])
def test_a_frame_waits_for_no_number_and_sends_one_array_a_stage(runtime: str) -> None:
    for found in (driven(runtime, SMALL), *(rendered(BATCH, runtime, sampling, SMALL) for sampling in Sampling)):
        assert found.waits == 0
        assert found.sent == 1  # the face; the cameras


@pytest.mark.parametrize("runtime", ["eager", "graphs"])
def test_a_whole_frame_sends_two_arrays_and_fetches_one(runtime: str) -> None:
    found = frame(runtime, Sampling.SHARED_VOLUME, SMALL, Samples(8, 8))
    assert (found.sent, found.fetched, found.waits) == (2, 1, 0)


def test_a_quilt_costs_the_same_few_launches_whatever_its_views() -> None:
    assert pictured().total < 40


@pytest.mark.parametrize("sampling", list(Sampling))
@pytest.mark.parametrize("runtime", ["eager", "graphs"])
def test_launches_do_not_grow_with_the_views_of_a_batch(runtime: str, sampling: Sampling) -> None:
    found = {views: rendered(views, runtime, sampling, SMALL) for views in (1, BATCH)}
    assert found[BATCH].kernels == found[1].kernels
    assert found[BATCH].replays == found[1].replays
    assert found[BATCH].copies <= found[1].copies  # one view alone is filled up to a batch


@pytest.mark.parametrize("sampling", list(Sampling))
def test_recorded_views_cost_one_launch_for_their_march_and_one_a_batch(sampling: Sampling) -> None:
    one, quilt = (rendered(views, "graphs", sampling, SMALL) for views in (BATCH, 24))
    assert one.replays == 2
    assert quilt.replays == 1 + 24 // BATCH
    assert quilt.kernels == one.kernels < 10
    assert quilt.copies - one.copies == 2 * (24 // BATCH - 1)  # into and out of each further batch


def test_a_recorded_drive_is_lift_march_and_expression() -> None:
    found = driven("graphs", SMALL)
    assert found.replays == 3
    assert found.kernels + found.copies < 20


@pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")
def test_kernels_of_our_own_are_three_fifths_of_super_resolutions_launches() -> None:
    torchs, ours = super_resolved(fused=False), super_resolved(fused=True)
    assert ours.total < 0.65 * torchs.total
    assert ours.copies < 40  # casts of styles; no picture is turned around


@pytest.mark.parametrize(
    ("work", "kind"),
    [
        (lambda x: x + 1, "kernels"),
        (lambda x: x.clone(), "copies"),
        (lambda x: x.to(META, torch.float16), "copies"),
        (lambda x: x + torch.arange(3.0).to(META), "sent"),
        (lambda x: x[[0, 2]], "sent"),
        (lambda x: torch.tensor([1.0, 2.0], device=x.device), "sent"),
        (lambda x: torch.empty(3).copy_(x), "fetched"),
    ],
    ids=["kernel", "copy", "cast", "array", "list as an index", "list as a tensor", "into the host's memory"],
)
def test_what_is_counted_as_what(work: Callable[[Tensor], Tensor], kind: str) -> None:
    with Counting() as counting:
        work(torch.empty(3, device=META))
    assert counting.seen[kind] == 1


@pytest.mark.parametrize("work", [lambda x: x.nonzero(), lambda x: float(x.sum()), lambda x: x[x > 0]])
def test_whatever_would_wait_cannot_pass_unseen(work: Callable[[Tensor], object]) -> None:
    with pytest.raises((RuntimeError, NotImplementedError)), Counting():
        work(torch.empty(3, device=META))


def test_views_of_a_screen_are_taken_as_neighbours() -> None:
    with pytest.raises(AssertionError, match="does not divide"):
        rendered(5, "graphs", Sampling.EXACT, SMALL)
