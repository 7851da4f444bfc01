"""Two people who see each other on a small machine get as many views as fit it, sharp ones, before anything is made smaller."""

from __future__ import annotations

import pytest

from pipeline.clock import UNKNOWN, Cost
from pipeline.devices.capacity import ENOUGH_FRAMES, PROCESSOR, WITHOUT_VIEWS, Capacity, Load
from tests.conversing import Call
from tests.test_calls import http, publishing, served, watching  # noqa: F401 (two are fixtures)

WHOLE = Cost({"cpu:0": 0.020, "cpu:1": 0.020}, 24, ENOUGH_FRAMES)
"40 ms a picture: one core, at 25 a second."


def room(views: int, cores: int = 2) -> float:
    """Of two callers whose forms have so many views, on a machine that has learnt what a whole quilt costs."""
    capacity = Capacity(25, cores)
    capacity.now([Load("relief", WHOLE)])
    return capacity.now([Load("relief", UNKNOWN, views=views), Load("relief", UNKNOWN, views=views)]).room


def test_fewer_views_cost_what_they_were_measured_to():
    assert room(0) == pytest.approx(0.85, abs=0.01), "two whole quilts fill two cores"
    assert room(12) == 1.0
    assert room(8) == 1.0
    assert room(24) == room(0)
    assert room(12, cores=1) < 1 <= room(8, cores=1) + 0.1
    for views, share in ((12, 0.58), (8, 0.44)):  # measured 0.58 and 0.46
        assert WITHOUT_VIEWS + (1 - WITHOUT_VIEWS) * views / 24 == pytest.approx(share, abs=0.005)


def test_what_fewer_views_really_cost_is_believed_once_known():
    capacity = Capacity(25, 2)
    capacity.now([Load("relief", WHOLE)])
    thin = Cost({"cpu:0": 0.006, "cpu:1": 0.006}, 12, ENOUGH_FRAMES)
    known = capacity.now([Load("relief", thin, views=12)]).utilisation[PROCESSOR]
    assert known == pytest.approx(25 * 0.012 / 2, abs=0.01)
    unknown = capacity.now([Load("relief", thin)]).utilisation[PROCESSOR]
    assert unknown > 2 * known, "who may ask for all views is reckoned with all"


async def test_a_pair_gets_the_form_that_fits_and_its_pages_are_told(served, http, monkeypatch):  # noqa: F811
    _, app = served
    gate = app.state.lobby._gate
    reckoned: list[list[Load]] = []

    def shared(loads: list[Load]) -> int:
        reckoned.append(loads)
        return 0 if all(load.views == 12 for load in loads) else 1

    monkeypatch.setattr(gate._admission, "shared", shared)
    call = await Call.make(http, title="Tea")
    (ana, hers), (bo, _) = await call.join("Ana", "host"), await call.join("Bo")
    async with publishing(http, ana), publishing(http, bo):
        await hers.hears("seat", seat=bo["seat"], publishing="live")
        async with watching(http, ana["token"], f"{call.name}.{bo['seat']}") as sees:
            assert {(one.width, one.height) for one in await sees.seen(3)} == {(1024, 768)}
            told = await hers.hears("form", of=bo["seat"], views=12)
            assert (told["columns"], told["rows"], told["width"]) == (4, 3, 1024)
            assert any(load.rendered for load in reckoned[-1]), "whom it watches, though others may draw that one"
    await call.close()
