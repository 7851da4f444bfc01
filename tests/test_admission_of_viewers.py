"""Whether one more viewer may come in: what is counted is what costs, and only those who are connected cost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace

import httpx
import pytest
import pytest_asyncio

from display.screen import Screen, screen
from server.channels.admission import MOST_COMING, Admission
from server.channels.lifecycle import Viewing
from server.media.encode import form_for
from server.media.rates import WINDOW, Rate
from server.problems import Problem
from server.settings import Settings
from tests.filming import http_of
from tests.live import SDP, Client, serving, settings_for, until
from tests.test_whip import offered, problem

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SimpleNamespace]:
    settings = settings_for(tmp_path_factory.mktemp("data"), max_forms=2)
    async with serving(settings) as (base, app), httpx.AsyncClient(base_url=base, timeout=30) as http:
        yield SimpleNamespace(http=http, app=app)


http = pytest_asyncio.fixture(loop_scope="module")(http_of)

QUILT = screen("telequilt")
FORM = form_for(1536, 1024, 25, 11_000_000)
"1250 packets of 1100 bytes a second."


def refusal(
    settings: Settings, watching: int = 0, encoded: tuple[Screen, ...] = (), sent: float = 0.0, wanted: Screen = QUILT
) -> str:
    try:
        Admission(settings).check_viewer(watching, dict.fromkeys(encoded, 1250.0), sent, wanted, FORM)
    except Problem as refused:
        return f"{refused.kind} {refused.members['limit']}"
    return ""


async def test_viewers_forms_and_packets_have_each_their_limit(tmp_path):
    limits = Settings(data_dir=tmp_path, max_viewers=3, max_forms=2, max_packets=5000)
    views = tuple(QUILT.only(view) for view in range(3))
    assert refusal(limits, watching=2) == ""
    assert refusal(limits, watching=3) == "too-many-viewers 3"
    assert refusal(limits, encoded=(QUILT,), wanted=views[0]) == ""
    assert refusal(limits, encoded=(QUILT, views[0]), wanted=views[1]) == "too-many-forms 2"
    assert refusal(limits, encoded=(QUILT, views[0]), wanted=views[0]) == "", "it is encoded already"
    assert refusal(limits, sent=3700.0) == "", "1250 more is 4950"
    assert refusal(limits, sent=3800.0) == "too-many-packets 5000"
    assert refusal(Settings(data_dir=tmp_path, max_packets=100)) == "", "the first one is served whatever it takes"


async def test_a_rate_is_that_of_late():
    rate = Rate()
    assert (rate.bits(5.0), rate.known(5.0)) == (0.0, False)
    for number in range(100):
        rate.add(number / 25, 5000)
    assert rate.known(4.0)
    assert rate.bits(99 / 25) == pytest.approx(25 * 5000 * 8)
    assert rate.bits(99 / 25 + WINDOW) == 0.0


async def test_viewers_who_never_connect_cost_nothing_and_keep_nobody_out(live, http):
    """Before, fifteen such requests for views of their own took a call from 25 pictures a second to 1.4."""
    async with Client(http) as caller, Client(http) as viewer:
        await caller.publish()
        channel = live.app.state.lobby.channels["room"]
        offer = await offered("video", direction="recvonly")
        for view in range(MOST_COMING + 4):
            answer = await http.post(f"/whep/room?as=view&view={view}", content=offer, headers=SDP)
            assert answer.status_code == 201, answer.text
        assert len(channel.viewers) == MOST_COMING, "the oldest made room"
        assert channel.presenter.reports() == []
        assert not channel.session._watched
        assert (await http.get("/api/channels/room")).json()["viewers"] == 0
        assert (await viewer.view()).status_code == 201
        await viewer.seen(3)
        assert [stream["form"] for stream in (await http.get("/api/channels/room")).json()["streams"]] == ["telequilt"]
        assert (await http.get("/api/channels/room")).json()["viewers"] == 1
        await caller.hang_up()


async def test_who_comes_with_too_many_others_at_once_is_told_to_ask_again(live, http):
    """Its offer was blamed: the place was taken while the offer was being applied."""
    async with Client(http) as caller:
        await caller.publish()
        offer = await offered("video", direction="recvonly")
        asked = [
            http.post(f"/whep/room?as=view&view={view % 24}", content=offer, headers=SDP)
            for view in range(3 * MOST_COMING)
        ]
        answers = await asyncio.gather(*asked)
        assert {answer.status_code for answer in answers} <= {201, 503}, [answer.text for answer in answers]
        for answer in answers:
            if answer.status_code == 503:
                assert problem(answer, 503, "too-many-viewers")["limit"] == MOST_COMING
                assert int(answer.headers["retry-after"]) > 0
        assert len(live.app.state.lobby.channels["room"].viewers) <= MOST_COMING
        await caller.hang_up()


async def test_forms_are_bounded_and_whoever_asks_for_one_too_many_is_told_which_there_are(live, http):
    async with Client(http) as caller:
        await caller.publish()
        viewers = [Client(http) for _ in range(3)]
        for view, viewer in enumerate(viewers[:2]):
            assert (await viewer.view(form="view", view=str(view))).status_code == 201
            await viewer.seen(1)
        refused = await viewers[2].view()
        assert problem(refused, 503, "too-many-forms")["limit"] == 2
        assert int(refused.headers["retry-after"]) > 0
        assert "telequilt/view0" in refused.json()["detail"]
        async with Client(http) as another:
            assert (await another.view(form="view", view="1")).status_code == 201
        assert 'telequilt_turned_away_total{who="viewers"} 1.0' in (await http.get("/metrics")).text
        await asyncio.gather(*(viewer.close() for viewer in viewers))
        await caller.hang_up()


async def test_of_many_who_come_at_once_those_stay_for_whom_there_is_a_place(live, http):
    """All were let in while nobody was connected yet."""
    async with Client(http) as caller:
        await caller.publish()
        channel = live.app.state.lobby.channels["room"]
        viewers = [Client(http) for _ in range(4)]
        answers = await asyncio.gather(
            *(viewer.view(form="view", view=str(view)) for view, viewer in enumerate(viewers))
        )
        await until(lambda: not channel.life.viewers(Viewing.COMING))
        assert {answer.status_code for answer in answers} <= {201, 503}
        assert channel.watching == len(channel.presenter.reports()) == 2
        await asyncio.gather(*(viewer.close() for viewer in viewers))
        await caller.hang_up()
