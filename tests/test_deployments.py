"""Where engines run: each placed for itself, those alike together, and prepared on every GPU that will run them."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from engines.contract import AnyEngine
from pipeline.devices.placement import Placement, preset
from pipeline.devices.planner import PlacementImpossible, Planned
from pipeline.executors.deployments import Deployments
from pipeline.executors.lane import HostStream
from pipeline.executors.pool import Pool
from tests.painted import PaintedEngine


class Prepared(PaintedEngine):
    """Remembers on which threads it was prepared."""

    def __init__(self) -> None:
        self.prepared: list[str] = []

    def warm_up(self) -> None:
        self.prepared.append(threading.current_thread().name)
        if self.name == "broken":
            raise RuntimeError("no kernel image is available for execution on the device")


def named(called: str) -> Prepared:
    return type("Named", (Prepared,), {"name": called})()


PLANS = {"relief": preset("cpu"), "other": preset("cpu"), "neural": preset("paper"), "broken": preset("one-gpu")}


def on_host(placement: Placement) -> Pool:
    """GPUs by name, threads in truth."""
    return Pool(placement, streams=lambda device: HostStream())


@pytest.fixture
def places() -> Iterator[Deployments]:
    made = Deployments(lambda engine: Planned(PLANS[engine.name]), on_host)
    yield made
    made.close()


def test_engines_with_the_same_placement_share_its_threads_and_others_have_their_own(places: Deployments):
    relief, other, neural = (places.of(named(name)) for name in ("relief", "other", "neural"))
    assert relief is other
    assert neural.executor is not relief.executor
    assert places.of(named("neural")) is neural
    assert places.all() == [relief, neural]
    assert {one.device for one in places.reports("neural")} == set(preset("paper").devices)
    assert places.reports("never wanted") == []


def test_an_engine_is_prepared_on_each_gpu_that_drives_or_renders(places: Deployments):
    neural, relief = named("neural"), named("relief")
    places.warm_up(neural)
    assert sorted(neural.prepared) == [f"stage-cuda:{number}" for number in range(1, 6)]
    places.warm_up(relief)
    assert relief.prepared == [threading.current_thread().name], "once, and no device is held up"


def test_what_goes_wrong_there_is_told(places: Deployments):
    with pytest.raises(RuntimeError, match="no kernel image"):
        places.warm_up(named("broken"))


def test_what_cannot_be_placed_is_tried_again_when_it_is_wanted_again():
    free = False

    def plan(engine: AnyEngine) -> Planned:
        if not free:
            raise PlacementImpossible("cuda:0 needs more memory")
        return Planned(preset("cpu"))

    places = Deployments(plan)
    with pytest.raises(PlacementImpossible):
        places.of(named("relief"))
    assert places.all() == []
    free = True
    assert places.of(named("relief")).placement == preset("cpu")
    places.close()
