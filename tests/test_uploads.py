"""Avatars over HTTP: a portrait becomes one, is used, shown and forgotten; what is refused leaves nothing behind."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import pytest_asyncio
from PIL import Image

from engines.contract import FaceObservation
from engines.relief import several
from pipeline.avatar_files import FILES
from pipeline.frame import Frame
from pipeline.preprocess.observer import observe_portrait
from server.channels.services import Services
from server.media import portraits
from server.settings import Settings
from tests import modelled
from tests.live import Client, located, painted_services, serving, settings_for, until
from tests.painted import PaintedEngine, still_face
from tests.test_hostile_photos import many_scans
from tests.test_portraits import PHOTO, bomb, photo, saved, turned_by_exif
from tests.test_whip import problem

pytestmark = pytest.mark.asyncio(loop_scope="module")


def seeing_services(settings: Settings) -> Services:
    """A painted engine, but faces in portraits are really looked for."""
    return replace(painted_services(settings), observe_portrait=observe_portrait)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SimpleNamespace]:
    data = tmp_path_factory.mktemp("data")
    settings = settings_for(data)
    async with serving(settings, seeing_services) as (base, _), httpx.AsyncClient(base_url=base, timeout=60) as http:
        yield SimpleNamespace(http=http, data=data)


def kept(data: Path) -> list[str]:
    found = [path.relative_to(data) for path in data.rglob("*")]
    return sorted(
        str(path) for path in found if path.parts[0] != "provenance"
    )  # the log says that there was one, by a hash


async def enrol(http: httpx.AsyncClient, data: bytes, consent: str | None = "me", **more: str) -> httpx.Response:
    fields = ({"consent": consent} if consent is not None else {}) | more
    return await http.post("/api/avatars", files={"portrait": ("photo.jpg", data)}, data=fields)


async def test_a_portrait_becomes_an_avatar_that_can_be_used_shown_and_forgotten(live):
    http, before = live.http, kept(live.data)
    answer = await enrol(http, turned_by_exif(), name="Grace", expression="0.25")
    assert answer.status_code == 201, answer.text
    avatar = answer.json()
    assert avatar["name"] == "Grace"
    assert avatar["consent"] == "me"
    assert len(avatar["portrait_sha256"]) == 64
    assert located(answer) == f"/api/avatars/{avatar['id']}"
    assert (await http.get(located(answer))).json() == avatar
    shown = await http.get(f"/api/avatars/{avatar['id']}/picture")
    assert shown.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(shown.content)).size == (512, 512)
    assert [row["id"] for row in (await http.get("/api/avatars")).json()] == ["sample", avatar["id"]]
    record = json.loads((live.data / "avatars" / avatar["id"] / "record.json").read_text())
    assert record["observation"]["expression_kept"] == 0.25
    for path in live.data.rglob("*"):
        assert b"a camera maker" not in (path.read_bytes() if path.is_file() else b""), "EXIF is kept nowhere"
    async with Client(http) as caller:
        assert (await caller.publish(avatar=avatar["id"])).status_code == 201
        problem(await http.delete(f"/api/avatars/{avatar['id']}"), 409, "avatar-live")
        await caller.hang_up()
    assert (await http.delete(f"/api/avatars/{avatar['id']}")).status_code == 204
    problem(await http.get(f"/api/avatars/{avatar['id']}"), 404, "unknown-avatar")
    problem(await http.delete(f"/api/avatars/{avatar['id']}"), 404, "unknown-avatar")
    assert kept(live.data) == before


async def test_several_photos_become_one_avatar_and_what_does_not_go_together_is_named(
    live, monkeypatch: pytest.MonkeyPatch
):
    def files(*photos: bytes) -> list[tuple[str, tuple[str, bytes]]]:
        return [("portrait", ("front.png", photos[0])), *(("also", ("side.png", one)) for one in photos[1:])]

    async def bring(*photos: bytes) -> httpx.Response:
        return await live.http.post("/api/avatars", files=files(*photos), data={"consent": "me"})

    person = modelled.person(3)
    front, side = (saved(Image.fromarray(modelled.picture(person, modelled.turned(yaw)))) for yaw in (0, 25))
    before = kept(live.data)
    problem(await bring(front, side), 422, "portrait-one-photo")
    monkeypatch.setattr(PaintedEngine, "abilities", replace(PaintedEngine.abilities, several=True))
    monkeypatch.setattr(PaintedEngine, "together", lambda _, seen: several.together(seen), raising=False)
    answer = await bring(front, side)
    assert answer.status_code == 201, answer.text
    hashes = "".join(hashlib.sha256(photo).hexdigest() for photo in (front, side))
    assert answer.json()["portrait_sha256"] == hashlib.sha256(hashes.encode()).hexdigest()
    folder = live.data / "avatars" / answer.json()["id"]
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES), "one portrait is kept, no photo"
    assert (await live.http.delete(f"/api/avatars/{answer.json()['id']}")).status_code == 204
    problem(await bring(front, front), 422, "portrait-same-side")
    nobody = problem(await bring(front, saved(Image.new("RGB", (640, 480), (90, 120, 90)))), 422, "portrait-no-face")
    assert nobody["detail"].startswith("Photo 2 of 2")
    assert kept(live.data) == before


async def test_the_built_in_sample_is_there_and_stays(live):
    assert (await live.http.get("/api/avatars/sample")).json()["built_in"]
    assert (await live.http.get("/api/avatars/sample/picture")).headers["content-type"] == "image/png"
    problem(await live.http.delete("/api/avatars/sample"), 403, "built-in")


async def test_every_refusal_has_its_own_words_and_leaves_nothing_behind(live):
    http, before = live.http, kept(live.data)
    two = Image.new("RGB", (photo().width * 2, photo().height))
    two.paste(photo(), (0, 0))
    two.paste(photo(), (photo().width, 0))
    small = Image.new("RGB", (640, 480), (90, 120, 90))
    small.paste(photo((51, 60)), (300, 200))
    cases = [
        (await enrol(http, b"not an image"), 422, "portrait-not-an-image"),
        (await enrol(http, PHOTO[: len(PHOTO) // 2]), 422, "portrait-damaged"),
        (await enrol(http, bomb()), 422, "portrait-too-many-pixels"),
        (await enrol(http, saved(Image.new("RGB", (640, 480), (90, 120, 90)))), 422, "portrait-no-face"),
        (await enrol(http, saved(two, "JPEG")), 422, "portrait-several-faces"),
        (await enrol(http, PHOTO, consent=None), 400, "consent-missing"),
        (await enrol(http, PHOTO, consent="surely"), 400, "consent-missing"),
        (await enrol(http, PHOTO, consent="public-domain"), 400, "consent-missing"),
        (await enrol(http, PHOTO, expression="2"), 400, "bad-parameter"),
        (await enrol(http, PHOTO, expression="happy"), 400, "bad-parameter"),
        (await enrol(http, b""), 400, "portrait-missing"),
        (
            await http.post("/api/avatars", data={"portrait": "text", "consent": "me"}, files={"x": b""}),
            400,
            "portrait-missing",
        ),
        (
            await http.post("/api/avatars", content=PHOTO, headers={"Content-Type": "image/jpeg"}),
            415,
            "wrong-content-type",
        ),
        (
            await http.post("/api/avatars", content=b"--x", headers={"Content-Type": "multipart/form-data"}),
            400,
            "malformed-form",
        ),
        (await enrol(http, b"\xff" * (20 * 1024 * 1024 + 1)), 413, "body-too-large"),
        (await enrol(http, b"\xff" * (21 * 1024 * 1024)), 413, "body-too-large"),
    ]
    kinds = []
    for answer, status, kind in cases:
        kinds.append(problem(answer, status, kind)["type"])
    tiny = await enrol(http, saved(small, "JPEG"))
    assert tiny.status_code == 422
    assert tiny.json()["reason"] in ("too_small", "no_face")
    assert kept(live.data) == before


@pytest.mark.parametrize("size", [(1, 1), (2, 3000), (3000, 2), (5, 5), (33, 32)])
async def test_a_photo_of_any_shape_is_answered(live, size):
    problem(await enrol(live.http, saved(Image.new("RGB", size, "grey"))), 422, "portrait-no-face")


async def test_photos_made_to_take_hours_are_refused_and_others_come_after_them(live):
    answers = await asyncio.gather(*(enrol(live.http, many_scans(3000)) for _ in range(3)), enrol(live.http, PHOTO))
    for answer in answers[:3]:
        problem(answer, 422, "portrait-too-complex")
    assert answers[3].status_code == 201
    assert (await live.http.delete(f"/api/avatars/{answers[3].json()['id']}")).status_code == 204


async def test_a_decoder_that_outlasts_its_time_is_killed_and_the_turn_is_free(tmp_path, monkeypatch):
    begun: list[portraits.Decoding] = []

    def slow(self: portraits.Decoding) -> Any:
        begun.append(self)
        self._started().wait()  # nobody writes the photo to it: it waits for ever
        raise portraits.PortraitUnreadable("too_complex", "stopped")

    monkeypatch.setattr(portraits.Decoding, "result", slow)
    settings = settings_for(tmp_path, enrol_seconds=6.0)
    async with serving(settings) as (base, _), httpx.AsyncClient(base_url=base, timeout=60) as http:
        problem(await enrol(http, PHOTO), 503, "portrait-took-too-long")
        process = begun[0]._process
        assert process is not None
        await until(lambda: process.poll() is not None)
        monkeypatch.undo()
        assert (await enrol(http, PHOTO)).status_code == 201


async def test_there_is_a_most_of_avatars(tmp_path):
    settings = settings_for(tmp_path, max_avatars=1)
    async with serving(settings, seeing_services) as (base, _), httpx.AsyncClient(base_url=base, timeout=60) as http:
        first = (await enrol(http, PHOTO)).json()["id"]
        assert problem(await enrol(http, PHOTO), 507, "too-many-avatars")["limit"] == 1
        assert (await http.delete(f"/api/avatars/{first}")).status_code == 204
        assert (await enrol(http, PHOTO)).status_code == 201


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"{"])
async def test_an_avatar_whose_record_is_spoiled_is_told_and_can_be_forgotten(live, content):
    http = live.http
    avatar = (await enrol(http, PHOTO)).json()["id"]
    (live.data / "avatars" / avatar / "record.json").write_bytes(content)
    assert [row["id"] for row in (await http.get("/api/avatars")).json()] == ["sample"]
    problem(await http.get(f"/api/avatars/{avatar}"), 410, "avatar-damaged")
    async with Client(http) as caller:
        problem(await caller.publish(avatar=avatar), 410, "avatar-damaged")
    assert (await http.delete(f"/api/avatars/{avatar}")).status_code == 204
    problem(await http.get(f"/api/avatars/{avatar}"), 404, "unknown-avatar")


async def test_recordings_with_spoiled_facts_are_listed_and_go_with_whoever_is_forgotten(live):
    """Neither they nor the film say whom it shows. One that says it stays: tests/test_damaged_files.py."""
    http, films = live.http, live.data / "recordings"
    name = "room-20260101T000000Z_qs6x4a1.mp4"
    films.mkdir(exist_ok=True)
    for content in (b"", b"[]", b"\xff\xfe", b'{"name": 7}'):
        (films / name).write_bytes(b"\0\0\0\x08free")
        (films / name).with_suffix(".json").write_bytes(content)
        assert [row["name"] for row in (await http.get("/api/recordings")).json()] == [name]
        assert (await http.get(f"/api/recordings/{name}")).status_code == 200
        avatar = (await enrol(http, PHOTO)).json()["id"]
        assert (await http.delete(f"/api/avatars/{avatar}")).status_code == 204
        assert (await http.get("/api/recordings")).json() == []


async def test_no_file_of_an_upload_touches_the_disk_while_it_is_read(live, monkeypatch):
    def rolled_over(self: Any) -> None:
        raise AssertionError("the upload was written to disk")

    monkeypatch.setattr("tempfile.SpooledTemporaryFile.rollover", rolled_over)
    assert (await enrol(live.http, saved(photo((1_200, 1_500))))).status_code == 201


class Slow:
    """Looks for a face until it may end."""

    def __init__(self) -> None:
        self.begun, self.may_end = threading.Event(), threading.Event()

    def observe(self, frame: Frame) -> FaceObservation:
        self.begun.set()
        assert self.may_end.wait(20)
        return still_face()

    def services(self, settings: Settings) -> Services:
        return replace(painted_services(settings), observe_portrait=self.observe)


async def test_an_avatar_that_came_too_late_is_forgotten(tmp_path: Path):
    """Whoever asked was told that it took too long and has no id: what is then still kept, nobody could ever forget."""
    slow = Slow()
    settings = settings_for(tmp_path, enrol_seconds=5.0)
    async with (
        serving(settings, slow.services) as (base, _),
        httpx.AsyncClient(base_url=base, timeout=60) as http,
    ):
        before = kept(tmp_path)
        answer = await enrol(http, saved(photo()))
        assert problem(answer, 503, "portrait-took-too-long")["limit"] == 5.0
        assert slow.begun.is_set()
        slow.may_end.set()
        keeping = await enrol(http, saved(photo()))  # the turn is the slow one's until its thread has ended
        assert keeping.status_code == 201
        assert (await http.delete(f"/api/avatars/{keeping.json()['id']}")).status_code == 204
        await until(lambda: kept(tmp_path) == before)


async def test_an_avatar_whose_maker_hung_up_is_forgotten(tmp_path: Path):
    slow = Slow()
    async with serving(settings_for(tmp_path), slow.services) as (base, app):
        before, forgotten = kept(tmp_path), []
        forget = app.state.services.avatars.forget
        app.state.services.avatars.forget = lambda avatar: (forget(avatar), forgotten.append(avatar))
        async with httpx.AsyncClient(base_url=base, timeout=60) as http:
            asking = asyncio.create_task(enrol(http, saved(photo())))
            await until(slow.begun.is_set)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        slow.may_end.set()
        await until(lambda: len(forgotten) == 1)
        assert kept(tmp_path) == before
