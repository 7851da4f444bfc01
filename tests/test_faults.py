"""What fails under people who are live, and what they see then (docs/faults.md): each fault on a real server with a real caller."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi import FastAPI

from display.optics import Cameras
from display.views import ViewSet
from engines.contract import AnyEngine, FaceObservation
from pipeline.avatars import Avatars
from pipeline.frame import Frame
from server.channels.services import Services
from server.media.encode import Encoder
from server.media.portraits import Decoding
from server.recordings.archive import Archive
from server.settings import Settings
from tests.conversing import Call
from tests.live import Client, painted_services, serving, settings_for, until
from tests.painted import PaintedEngine, PaintedState, StillObserver, still_face
from tests.test_calls_guarded import KEY, TOKEN
from tests.test_damaged_files import SPOILED, kept

ROOM = "/api/channels/room"


@asynccontextmanager
async def calling(
    settings: Settings, observer: type[StillObserver] = StillObserver, engine: AnyEngine | None = None
) -> AsyncIterator[tuple[httpx.AsyncClient, FastAPI]]:
    def services(told: Settings) -> Services:
        return replace(painted_services(told, engine or PaintedEngine()), observer=lambda wants: observer())

    async with serving(settings, services) as (base, app), httpx.AsyncClient(base_url=base, timeout=30) as http:
        yield http, app


class FailsEachThird(StillObserver):
    """As MediaPipe does on a picture that it cannot take."""

    seen = 0

    def observe(self, frame: Frame) -> FaceObservation:
        FailsEachThird.seen += 1
        if FailsEachThird.seen % 3 == 0:
            raise RuntimeError("CalculatorGraph::Run() failed")
        return super().observe(frame)


class Fails(StillObserver):
    def observe(self, frame: Frame) -> FaceObservation:
        raise RuntimeError("CalculatorGraph::Run() failed")


class FailsToRender(PaintedEngine):
    failing = False

    def render(self, state: PaintedState, cameras: Cameras) -> ViewSet:
        if self.failing:
            raise RuntimeError("an illegal memory access was encountered")
        return super().render(state, cameras)


async def test_a_picture_that_mediapipe_fails_on_costs_itself_alone(tmp_path):
    async with (
        calling(settings_for(tmp_path), FailsEachThird) as (http, _),
        Client(http) as caller,
        Client(http) as viewer,
    ):
        assert (await caller.publish()).status_code == 201
        assert (await viewer.view()).status_code == 201
        await viewer.seen(8)
        told = (await http.get(ROOM)).json()
        assert told["session"]["drops"]["failed in preprocess"] >= 3
        assert told["condition"]["state"] != "devices-failing"


async def test_where_mediapipe_fails_on_every_picture_both_pages_are_told(tmp_path):
    async with calling(settings_for(tmp_path), Fails) as (http, app), Client(http) as caller:
        assert (await caller.publish()).status_code == 201
        await until(lambda: app.state.lobby.channels["room"].session.report().drops.get("failed in preprocess", 0) > 15)
        await until(lambda: app.state.lobby.channels["room"].course.at(0.0).state == "devices-failing")
        told = (await http.get(ROOM)).json()
        assert told["condition"]["why"] == "preprocess fails on every picture (RuntimeError)"
        assert told["session"]["frames"] == 0
        assert 'condition="devices-failing"} 1.0' in (await http.get("/metrics")).text


async def test_a_renderer_that_fails_ends_the_channel_with_the_reason_and_comes_back(tmp_path):
    engine = FailsToRender()
    async with (
        calling(settings_for(tmp_path), engine=engine) as (http, app),
        Client(http) as caller,
        Client(http) as viewer,
    ):
        assert (await caller.publish()).status_code == 201
        assert (await viewer.view()).status_code == 201
        await viewer.seen(2)
        engine.failing = True
        await until(lambda: "room" not in app.state.lobby.channels, 30)
        ended = await http.get(ROOM)
        assert (ended.status_code, ended.json()["ended"]) == (404, "its devices have failed")
        engine.failing = False
        async with Client(http) as again:
            assert (await again.publish()).status_code in (201, 503), "it is tried again, after a pause"


async def test_pictures_that_an_encoder_fails_on_are_left_out_and_the_rest_is_seen(tmp_path, monkeypatch):
    whole, failing = Encoder.encode, [0]

    def sometimes(self: Any, *given: Any, **named: Any) -> Any:
        if failing[0] > 0:
            failing[0] -= 1
            raise RuntimeError("the encoder has run out of surfaces")
        return whole(self, *given, **named)

    monkeypatch.setattr(Encoder, "encode", sometimes)
    async with calling(settings_for(tmp_path)) as (http, _), Client(http) as caller, Client(http) as viewer:
        assert (await caller.publish()).status_code == 201
        assert (await viewer.view()).status_code == 201
        before = len(await viewer.seen(2))
        failing[0] = 5
        await until(lambda: failing[0] == 0)
        await viewer.seen(before + 10)
        told = (await http.get(ROOM)).json()
        assert told["session"]["drops"] == {"failed in encode": 5}
        assert told["condition"]["state"] == "live"


# --- clocks


@contextmanager
def stepped(seconds: float) -> Iterator[None]:
    """The time of day, set anew."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(time, "time", lambda whole=time.time: whole() + seconds)
        yield


@pytest.mark.parametrize("step", [-3600.0, 3600.0], ids=["back", "forward"])
async def test_where_the_clock_is_set_by_an_hour_nobody_notices(tmp_path, step):
    """Calls go on, their tokens and invitations are good for as long as was said, and a film has its length."""
    settings = settings_for(tmp_path, host="0.0.0.0", token=TOKEN, call_key=KEY, min_free_bytes=0)
    told = {"Authorization": f"Bearer {TOKEN}"}
    async with (
        serving(settings) as (base, app),
        httpx.AsyncClient(base_url=base, headers=told, timeout=30) as http,
        Client(http) as caller,
        Client(http) as viewer,
    ):
        call = await Call.make(http)
        seat, socket = await call.join("Ana", "host")
        invited = await call.invite()
        assert (await caller.publish()).status_code == 201
        assert (await viewer.view()).status_code == 201
        await viewer.seen(2)
        assert (await http.post(f"{ROOM}/recording")).status_code == 201
        await until(lambda: app.state.lobby.channels["room"].recording.report().seconds > 0.3)
        with stepped(step):
            before = len(viewer.pictures)
            await viewer.seen(before + 10)
            assert (await call.ask("GET", token=seat["token"])).status_code == 200
            assert (await call.sit("Bo", token=invited["token"]))["seat"] == 2
            await socket.say(t="ping")
            await socket.hears("pong")
            assert (await call.ask("GET", token=(await call.sit("Cy"))["token"])).status_code == 200
            facts = (await http.delete(f"{ROOM}/recording")).json()
            assert 0.3 < facts["seconds"] < 60
            assert facts["ended"] == "asked to"
            assert (await http.post("/api/verify", content=b"no film")).json()["finding"] == "unreadable"
            assert (await http.get(ROOM)).json()["condition"]["state"] == "live"
        await call.close()
        assert set(app.state.lobby.channels) == {"room"}


# --- disks


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nobody may write there: for root, who always may, as another user (nobody)."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    own = os.geteuid()
    if own == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        if own == 0:
            os.seteuid(0)
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)


async def test_on_a_data_folder_that_nobody_may_write_calls_go_on_and_what_would_be_kept_is_refused(monkeypatch):
    """What is live needs no disk."""
    monkeypatch.setattr(Decoding, "result", lambda self: np.zeros((400, 400, 3), np.uint8))  # nobody may run our Python
    with tempfile.TemporaryDirectory() as made:
        data = Path(made) / "data"
        (data / "avatars").mkdir(parents=True)
        Path(made).chmod(0o755)
        settings = settings_for(data, min_free_bytes=0)
        with read_only(data):
            async with calling(settings) as (http, app), Client(http) as caller, Client(http) as viewer:
                assert app.state.failure is None
                assert (await caller.publish()).status_code == 201
                assert (await viewer.view()).status_code == 201
                await viewer.seen(3)
                call = await Call.make(http)
                seat, _ = await call.join("Ana", "host")
                assert (await call.ask("GET", token=seat["token"])).status_code == 200
                assert (await http.post(f"{ROOM}/still")).status_code == 200
                wanted: dict[str, dict[str, Any]] = {
                    f"{ROOM}/recording": {},
                    "/api/verify": {"content": b"no film"},
                    "/api/avatars": {"files": {"portrait": b"a photo"}, "data": {"consent": "me"}},
                }
                for path, more in wanted.items():
                    refused = await http.post(path, **more)
                    assert refused.status_code == 507, refused.text
                    assert refused.json()["type"].endswith("cannot-write")
                    assert "the operator can mend it" in refused.json()["detail"]
                await viewer.seen(len(viewer.pictures) + 3)
                await call.close()


@pytest.mark.parametrize("how", ["cut", "gone"])
async def test_a_corrupt_avatar_is_told_to_who_wants_it_and_can_be_forgotten(tmp_path, how):
    avatar = kept(Avatars(tmp_path, sample=still_face))
    SPOILED[how](tmp_path / "avatars" / avatar / "observation.safetensors")
    async with calling(settings_for(tmp_path)) as (http, _), Client(http) as caller:
        refused = await caller.publish(avatar=avatar)
        assert (refused.status_code, refused.json()["type"].rsplit(":", 1)[1]) == (410, "avatar-damaged")
        assert "forget it" in refused.json()["detail"]
        assert (await http.delete(f"/api/avatars/{avatar}")).status_code == 204
        assert (await http.get(f"/api/avatars/{avatar}")).status_code == 404


async def test_four_channels_are_recorded_at_once_and_a_disk_that_fills_ends_all_four_with_the_reason(
    tmp_path, monkeypatch
):
    async with calling(settings_for(tmp_path, min_free_bytes=1 << 20)) as (http, app):
        callers = [Client(http) for _ in range(4)]
        for number, caller in enumerate(callers):
            assert (await caller.publish(f"room{number}")).status_code == 201
            assert (await http.post(f"/api/channels/room{number}/recording")).status_code == 201
        lobby = app.state.lobby
        await until(lambda: all(one.recording.report().seconds > 0.3 for one in lobby.channels.values()), 40)
        monkeypatch.setattr(Archive, "free", lambda self: 0)
        recordings = [one.recording for one in lobby.channels.values()]
        await until(lambda: not any(one.under_way for one in recordings))
        told = [(await http.get(f"/api/channels/room{number}/recording")).json() for number in range(4)]
        assert {one["recorded"]["ended"] for one in told} == {"the disk is nearly full"}
        assert len(lobby.channels) == 4, "who is live goes on"
        for caller in callers:
            await caller.close()
