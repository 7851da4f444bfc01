"""A table with real peers: everybody in one video, moving as they do; who leaves, comes or stalls, and what is rendered meanwhile."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack

import pytest

from display.seating import SEAT_HEIGHT, SEAT_WIDTH, seated
from tests.conversing import Call
from tests.live import until
from tests.test_calls import http, peer, publishing, served, watching  # noqa: F401 (two are fixtures)

pytestmark = pytest.mark.timeout(240)


def light(picture, seating, seat: int, view: int) -> float:
    """The middle of a seat in a view: the painted engine's views get lighter from left to right."""
    screen = seating.screen()
    place = next(one for one in seating.places if one.seat == seat)
    left, top = screen.tile_origin(view)
    x, y = left + place.left + SEAT_WIDTH // 2, top + place.top + SEAT_HEIGHT // 3
    return float(picture.to_ndarray(format="gray")[y - 8 : y + 8, x - 8 : x + 8].mean())


def lit(picture, seating, seat: int) -> bool:
    """Whether a seat is shown, its views in their order."""
    views = [light(picture, seating, seat, view) for view in (0, 3, 7)]
    return views == sorted(views) and views[-1] > views[0] + 5


async def test_three_sit_at_one_table_and_one_video_shows_them_all(served, http):  # noqa: F811
    _, app = served
    call = await Call.make(http, title="Tea", form="table")
    joined = [await call.join("Ana", "host"), await call.join("Bo"), await call.join("Cy")]
    async with AsyncExitStack() as there:
        members = [await there.enter_async_context(publishing(http, seat)) for seat, _ in joined]
        numbers = [seat["seat"] for seat, _ in joined]
        await joined[0][1].hears("form", 20.0, **{"as": "table", "width": 864})
        viewer = await there.enter_async_context(watching(http, joined[0][0]["token"], call.name, **{"as": "table"}))
        seating = seated(numbers)
        size = seating.screen().quilt_width, seating.screen().quilt_height
        await until(lambda: any((one.width, one.height) == size for one in viewer.pictures), 30)
        await until(lambda: all(lit(viewer.pictures[-1], seating, seat) for seat in numbers))
        lobby = app.state.lobby
        table = lobby.channels[call.name]
        assert all(lobby.channels[f"{call.name}.{seat}"].session.watched for seat in numbers)
        assert set(table.session.ages()) == set(numbers)
        assert lobby.report(table).session.frames > 0
        metrics = (await http.get("/metrics")).text
        assert call.name not in metrics, "monitors learn no call"
        assert 'telequilt_table_age_ms{quantile="p95"}' in metrics

        flat = await there.enter_async_context(watching(http, joined[1][0]["token"], call.name, **{"as": "view"}))
        assert {(one.width, one.height) for one in await flat.seen(3)} == {(432, 192)}

        await members[2].hang_up()
        assert (await call.ask("DELETE", f"/seats/{numbers[2]}")).status_code == 204
        two = seated(numbers[:2]).screen()
        await until(
            lambda: (viewer.pictures[-1].width, viewer.pictures[-1].height) == (two.quilt_width, two.quilt_height), 30
        )
        assert viewer.connection.connectionState == "connected"

        await viewer.hang_up()
        await flat.hang_up()
        await until(lambda: not table.session.watched, 20)
        await until(lambda: not lobby.channels[f"{call.name}.{numbers[0]}"].session.watched)
    await call.close()


async def test_a_table_is_given_up_when_a_pair_is_wished_for(served, http):  # noqa: F811
    _, app = served
    call = await Call.make(http, title="Tea", form="table")
    (ana, hers), (bo, _) = await call.join("Ana", "host"), await call.join("Bo")
    async with publishing(http, ana), publishing(http, bo):
        await hers.hears("form", 20.0, **{"as": "table"})
        await until(lambda: call.name in app.state.lobby.channels)
        await hers.hears("seat", seat=bo["seat"], publishing="live")
        assert (await call.ask("PATCH", form="pair")).status_code == 200
        await hers.hears("form", 20.0, **{"as": "seat"})
        await until(lambda: call.name not in app.state.lobby.channels)
        async with watching(http, ana["token"], call.name) as sees:
            assert {one.width for one in await sees.seen(2)} <= {1536, 1024}, "the other one, in as many views as fit"
    await call.close()


async def test_a_member_is_told_where_its_own_head_is_and_nobody_else_is(served, http):  # noqa: F811
    call = await Call.make(http, title="Tea")
    (ana, hers), (_, his) = await call.join("Ana", "host"), await call.join("Bo")
    async with publishing(http, ana):
        await hers.hears("seat", seat=ana["seat"], publishing="live")
        told = await hers.hears("look")
        assert (told["x"], told["y"], told["z"]) == (12.0, -34.0, 567.0)
        assert told["seen"] == 1.0
        assert time.monotonic() - 30 < told["at"] <= time.monotonic()
        assert not any(message["t"] == "look" for message in his.told)
    await call.close()
