"""What is refused of recordings, and what is kept: fetched, deleted, forgotten."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import av
import httpx
import pytest
import pytest_asyncio
from PIL import Image

from tests.filming import CHANNEL, RECORDING, calling, http_of, live_server, recorded_for
from tests.live import Client, Clip, settings_for, until
from tests.test_access import TOKEN
from tests.test_whip import problem

pytestmark = pytest.mark.asyncio(loop_scope="module")
live = pytest_asyncio.fixture(scope="module", loop_scope="module")(live_server)
http = pytest_asyncio.fixture(loop_scope="module")(http_of)


async def test_a_second_recording_is_refused_and_the_first_goes_on(http):
    async with Client(http) as caller:
        await caller.publish()
        answers = await asyncio.gather(*(http.post(RECORDING) for _ in range(3)))
        assert sorted(answer.status_code for answer in answers) == [201, 409, 409]
        refused = next(answer for answer in answers if answer.status_code == 409)
        begun = next(answer for answer in answers if answer.status_code == 201)
        assert problem(refused, 409, "already-recording")["name"] == begun.json()["name"]
        await recorded_for(http, 0.1)
        problem(await http.delete(f"/api/recordings/{begun.json()['name']}"), 409, "still-recording")
        assert (await http.delete(RECORDING)).status_code == 200
        problem(await http.delete(RECORDING), 404, "not-recording")
        await caller.hang_up()


async def test_a_recording_without_a_picture_is_not_kept(live, http):
    class Black(Clip):
        async def recv(self) -> av.VideoFrame:
            await asyncio.sleep(1e6)
            raise AssertionError

    async with Client(http) as caller:
        await caller.publish("room", Black())
        await http.post(RECORDING)
        facts = (await http.delete(RECORDING)).json()
        assert (facts["frames"], facts["bytes"]) == (0, 0)
        problem(await http.get(f"/api/recordings/{facts['name']}"), 404, "unknown-recording")
        await caller.hang_up()


async def test_where_nobody_is_live_nothing_can_be_recorded(http):
    for ask in (http.post, http.get, http.delete):
        answer = await ask(RECORDING)
        problem(answer, 404, "not-live")
    assert (await http.post("/api/channels/no%20name/recording")).status_code == 400
    assert (await http.get("/api/recordings/..%2Fsecret.mp4")).status_code == 404
    problem(await http.delete("/api/recordings/room-20260101T000000Z_qs6x4a1.mp4"), 404, "unknown-recording")


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        (lambda folder: {"min_free_bytes": 1 << 62}, "too-little-room"),
        (lambda folder: {"min_free_bytes": 0, "recordings_dir": folder / "a-file" / "films"}, "cannot-write"),
    ],
)
async def test_a_disk_without_room_or_rights_is_told_before_anything_begins(tmp_path, more, kind):
    (tmp_path / "a-file").write_bytes(b"")
    async with calling(settings_for(tmp_path / "data", **more(tmp_path))) as (http, _), Client(http) as caller:
        await caller.publish()
        problem(await http.post(RECORDING), 507, kind)
        assert (await http.get(CHANNEL)).json()["recording"] is None
        await caller.hang_up()


async def test_a_shared_server_asks_for_its_token_and_lists_by_channel(tmp_path):
    settings = settings_for(tmp_path, host="0.0.0.0", token=TOKEN, min_free_bytes=0)
    async with calling(settings, Authorization=f"Bearer {TOKEN}") as (http, app), Client(http) as caller:
        await caller.publish()
        name = (await http.post(RECORDING)).json()["name"]
        await recorded_for(http, 0.1)
        one = f"/api/recordings/{name}"
        async with httpx.AsyncClient(base_url=http.base_url, timeout=30) as stranger:
            for path in (RECORDING, "/api/recordings", one, "/api/recordings?channel=room"):
                problem(await stranger.get(path), 401, "token-required")
            for path in (RECORDING, "/api/channels/room/still"):
                problem(await stranger.post(path), 401, "token-required")
            for path in (RECORDING, one):
                problem(await stranger.delete(path), 401, "token-required")
        facts = (await http.delete(RECORDING)).json()
        assert facts["avatar"] == "", "an avatar's id is the key to a face"
        problem(await http.get("/api/recordings"), 400, "channel-required")
        assert (await http.get("/api/recordings?channel=other")).json() == []
        assert (await http.get("/api/recordings?channel=room")).json() == [facts]
        assert app.state.archive.get(name).avatar == "sample"
        assert (await http.get(one)).status_code == 200
        await caller.hang_up()


async def test_a_film_is_fetched_whole_or_in_parts_and_deleted(live, http):
    async with Client(http) as caller:
        await caller.publish()
        await http.post(RECORDING)
        await recorded_for(http, 0.4)
        facts = (await http.delete(RECORDING)).json()
        await caller.hang_up()
    one = f"/api/recordings/{facts['name']}"
    assert facts in (await http.get("/api/recordings")).json()
    whole = await http.get(one)
    assert whole.headers["content-type"] == "video/mp4"
    assert whole.headers["content-disposition"] == f'attachment; filename="{facts["name"]}"'
    assert whole.headers["cache-control"] == "private, no-store"
    assert len(whole.content) == facts["bytes"]
    part = await http.get(one, headers={"Range": "bytes=4-11"})
    assert part.status_code == 206
    assert part.content == whole.content[4:12]
    assert (await http.delete(one)).status_code == 204
    problem(await http.get(one), 404, "unknown-recording")
    assert facts not in (await http.get("/api/recordings")).json()
    assert not list(live.films.glob(f"{Path(facts['name']).stem}*"))


async def test_forgetting_an_avatar_deletes_the_recordings_that_show_it(live, http):
    photo = io.BytesIO()
    Image.new("RGB", (64, 64), "grey").save(photo, "png")
    form = {"files": {"portrait": ("a.png", photo.getvalue())}, "data": {"consent": "me"}}
    avatar = (await http.post("/api/avatars", **form)).json()["id"]
    names = []
    for shown in (avatar, "sample"):
        async with Client(http) as caller:
            await caller.publish("room", avatar=shown)
            names.append((await http.post(RECORDING)).json()["name"])
            await recorded_for(http, 0.1)
            if shown == avatar:
                assert (await http.delete(f"/api/avatars/{avatar}")).status_code == 409
            await http.delete(RECORDING)
            await caller.hang_up()
            await until(lambda: not live.app.state.lobby.channels)
    assert (await http.delete(f"/api/avatars/{avatar}")).status_code == 204
    problem(await http.get(f"/api/recordings/{names[0]}"), 404, "unknown-recording")
    assert not list(live.films.glob(f"{Path(names[0]).stem}*"))
    assert (await http.get(f"/api/recordings/{names[1]}")).status_code == 200
