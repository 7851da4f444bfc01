"""How calls are said to go, of real ones: their pictures come, stand still, cannot be decoded, or never come at all."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import av
import httpx
import numpy as np
import pytest
import pytest_asyncio
from aiortc.mediastreams import MediaStreamTrack

from engines.contract import FaceObservation
from pipeline.frame import Frame
from server.channels import condition
from server.settings import Settings
from tests.conversing import Call
from tests.filming import CHANNEL, http_of
from tests.live import CPU, Client, Clip, painted_services, serving, settings_for, until
from tests.painted import PaintedEngine, StillObserver
from tests.test_whep import streams
from tests.test_whip import problem

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Paused(Clip):
    """Ten pictures, and then none, while the connection stays."""

    async def recv(self) -> av.VideoFrame:
        if self.sent == 10:
            await asyncio.Event().wait()
        return await super().recv()


class Silent(MediaStreamTrack):
    kind = "video"

    async def recv(self) -> Any:
        await asyncio.Event().wait()


class Spoilt(MediaStreamTrack):
    """25 access units a second that no decoder can read."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self.sent = 0

    async def recv(self) -> av.Packet:
        await asyncio.sleep(0.04)
        noise = np.random.default_rng(self.sent).bytes(400)
        packet = av.Packet(b"\x00\x00\x00\x01\x65" + noise.replace(b"\x00\x00", b"\x01\x01"))
        packet.pts, packet.time_base = self.sent * 3600, Fraction(1, 90_000)
        self.sent += 1
        return packet


class SometimesThere(StillObserver):
    away, size = False, 200.0

    def observe(self, frame: Frame) -> FaceObservation:
        presence = 0.0 if SometimesThere.away else 1.0
        return replace(super().observe(frame), presence=presence, size=SometimesThere.size)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SimpleNamespace]:
    settings = settings_for(tmp_path_factory.mktemp("data"), undecoded_seconds=2.0)
    with pytest.MonkeyPatch.context() as quicker:
        quicker.setattr(condition, "FIRST_PICTURE", 1.5)
        quicker.setattr(condition, "NO_FACE_AFTER", 0.5)
        quicker.setattr(condition, "TOO_FAR_AFTER", 0.5)
        async with serving(settings, services) as (base, app), httpx.AsyncClient(base_url=base, timeout=30) as http:
            yield SimpleNamespace(http=http, app=app)


http = pytest_asyncio.fixture(loop_scope="module")(http_of)


def services(settings: Settings) -> Any:
    return replace(painted_services(settings, PaintedEngine(), CPU), observer=lambda wants: SometimesThere())


async def told(http: httpx.AsyncClient, state: str) -> dict[str, Any]:
    """The call's condition, once it is that one."""
    said: dict[str, Any] = {}
    for _ in range(1200):
        said = (await http.get(CHANNEL)).json().get("condition", {})
        if said.get("state") == state:
            return said
        await asyncio.sleep(0.05)
    raise AssertionError(said)


async def test_a_call_that_goes_well_is_live_and_one_without_a_face_says_so(http):
    async with Client(http) as caller:
        await caller.publish()
        assert (await http.get(CHANNEL)).json()["condition"]["state"] == "connecting"
        assert (await told(http, "live"))["why"] == ""
        assert 'telequilt_condition{channel="room",condition="live"} 1.0' in (await http.get("/metrics")).text
        SometimesThere.away = True
        await told(http, "no-face")
        SometimesThere.away, SometimesThere.size = False, condition.SMALLEST / 2
        await told(http, "too-far")
        assert (await http.get(CHANNEL)).json()["session"]["face"] == condition.SMALLEST / 2
        SometimesThere.size = condition.SMALLEST * 2
        await told(http, "live")
        metrics = (await http.get("/metrics")).text
        assert float(re.search(r'telequilt_arrived_total{channel="room"} (\S+)', metrics)[1]) > 5  # type: ignore[index]
        await caller.hang_up()


async def test_a_member_of_a_call_is_told_how_its_own_picture_goes_and_nobody_else_is(http):
    call = await Call.make(http)
    (ana, hers), (_, his) = await call.join("Ana", "host"), await call.join("Bo")
    headers = {"Authorization": f"Bearer {ana['token']}"}
    async with (
        httpx.AsyncClient(base_url=http.base_url, headers=headers, timeout=30) as asking,
        Client(asking) as caller,
    ):
        await caller.publish(f"{call.name}.{ana['seat']}")
        await his.hears("seat", seat=ana["seat"], publishing="live")
        SometimesThere.away = True
        assert (await hers.hears("condition", state="no-face"))["why"] == ""
        SometimesThere.away = False
        await hers.hears("condition", state="live")
    assert not [message for message in his.told if message["t"] == "condition"]
    await call.ask("DELETE")
    await call.close()


@pytest.mark.parametrize("form", ["quilt", "view"])
async def test_who_comes_while_the_source_stands_still_sees_its_last_picture(http, form: str):
    async with Client(http) as caller, Client(http) as viewer:
        await caller.publish("room", Paused())
        await told(http, "still")
        assert (await viewer.view(form=form)).status_code == 201
        await viewer.seen(1)
        assert (await http.post(f"{CHANNEL}/still")).status_code == 200
        await viewer.seen(3)
        assert 'telequilt_condition{channel="room",condition="still"} 1.0' in (await http.get("/metrics")).text


async def test_what_stands_still_costs_little_and_nothing_where_nobody_watches(http):
    async with Client(http) as caller, Client(http) as viewer:
        await caller.publish("room", Paused())
        await told(http, "still")
        before = (await http.get(CHANNEL)).json()["session"]["frames"]
        await asyncio.sleep(1.0)
        assert (await http.get(CHANNEL)).json()["session"]["frames"] == before
        begun = asyncio.get_running_loop().time()
        await viewer.view()
        await viewer.seen(2)
        pictures = (await streams(http))["telequilt"]["pictures"]
        assert pictures <= 3 + 2 * (asyncio.get_running_loop().time() - begun), "two a second"


async def test_a_caller_who_stands_still_for_long_leaves_the_place_to_others(tmp_path):
    async with (
        serving(settings_for(tmp_path, still_seconds=3.0)) as (base, _),
        httpx.AsyncClient(base_url=base, timeout=30) as http,
        Client(http) as caller,
        Client(http) as again,
    ):
        await caller.publish("room", Paused())
        await told(http, "still")
        await until(lambda: caller.connection.connectionState == "closed")
        refused = await http.get(CHANNEL)
        assert problem(refused, 404, "not-live")["ended"] == "no new picture came for 3 s"
        await again.publish("room", Clip())
        await told(http, "live")
        await again.hang_up()
        assert "ended" not in (await http.get(CHANNEL)).json(), "that one was asked to"


@pytest.mark.parametrize(("track", "why"), [(Silent, "no picture has come"), (Spoilt, "(cannot be decoded|keyframe)")])
async def test_a_caller_of_whom_nothing_can_be_decoded_is_not_live_and_ends_with_the_reason(
    http, track: type, why: str
):
    async with Client(http) as caller:
        assert (await caller.publish("room", track())).status_code == 201
        told_why = (await told(http, "nothing-decoded"))["why"]
        assert re.search(why, told_why), told_why
        assert 'condition="nothing-decoded"} 1.0' in (await http.get("/metrics")).text
        await until(lambda: caller.connection.connectionState == "closed")
        ended = problem(await http.get(CHANNEL), 404, "not-live")["ended"]
        assert ended.startswith("nothing could be decoded for 2 s: ")
        assert re.search(why, ended)
        assert f'telequilt_channels_ended_total{{reason="{ended}"}}' in (await http.get("/metrics")).text
