"""Recording over HTTP: a real caller's quilt into a film, seen by everybody, kept, fetched, deleted and forgotten."""

from __future__ import annotations

import asyncio
import io
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import cv2
import httpx
import numpy as np
import pytest
import pytest_asyncio
from fastapi import FastAPI
from PIL import Image

from display.colour import Layout, plain
from display.screen import PRODUCT, Screen, fan_yaws, screen
from display.tiling import OFF_AXIS, Tiling
from pipeline.stages import Picture
from server.archive import CUT_SHORT, Archive
from server.encode import AccessUnit
from server.film import FRAGMENT_SECONDS
from server.filming import png
from server.settings import Settings
from server.watching import note_of, size_of, tiling_of
from tests.films import Content, content, nal_units, playable, probed
from tests.live import Client, Clip, free_port, running, serving, settings_for, until
from tests.painted import PaintedEngine
from tests.test_access import TOKEN
from tests.test_whep import Tone, red
from tests.test_whip import problem

pytestmark = pytest.mark.asyncio(loop_scope="module")
RECORDING, CHANNEL = "/api/channels/room/recording", "/api/channels/room"


@asynccontextmanager
async def calling(settings: Settings, **headers: str) -> AsyncIterator[tuple[httpx.AsyncClient, FastAPI]]:
    async with serving(settings) as (base, app), httpx.AsyncClient(timeout=30, headers=headers) as http:
        http.base_url = base
        yield http, app


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SimpleNamespace]:
    data = tmp_path_factory.mktemp("data")
    async with calling(settings_for(data, min_free_bytes=0)) as (http, app):
        yield SimpleNamespace(http=http, app=app, films=data / "recordings")


@pytest_asyncio.fixture(loop_scope="module")
async def http(live: SimpleNamespace) -> AsyncIterator[httpx.AsyncClient]:
    yield live.http
    await until(lambda: not live.app.state.lobby.channels)


async def recorded_for(http: httpx.AsyncClient, seconds: float) -> dict[str, Any]:
    """Once it has gone on for so long: what the recording says of itself."""
    deadline = time.monotonic() + 30
    while True:
        state = (await http.get(RECORDING)).json()["recording"]
        if state is not None and state["seconds"] >= seconds:
            return state
        assert time.monotonic() < deadline, "it never came that far"
        await asyncio.sleep(0.05)


async def fetched(http: httpx.AsyncClient, name: str, to: Path) -> Path:
    to.write_bytes((await http.get(f"/api/recordings/{name}")).content)
    return to


def twin(live: SimpleNamespace) -> list[AccessUnit]:
    """Whatever the room's quilt encoder makes from now on, taken beside the recording."""
    seen: list[AccessUnit] = []
    channel = live.app.state.lobby.channels["room"]
    next(iter(channel.presenter._streams.values())).record(seen.append)
    return seen


# ---- from its beginning to its end ----


def missing_nothing(film: Content, encoded: list[AccessUnit]) -> list[AccessUnit]:
    """Those of `encoded` that the film holds: the same, in a row."""
    everything = [nal_units(unit.data) for unit in encoded]
    first = everything.index(film.pictures[0])
    assert film.pictures == everything[first : first + len(film.pictures)]
    return encoded[first : first + len(film.pictures)]


async def test_a_recording_is_every_picture_that_was_encoded_while_it_went_on(live, http, tmp_path):
    async with Client(http) as caller, Client(http) as viewer:
        await caller.publish()
        await viewer.view()
        await viewer.seen(3)
        encoded = twin(live)
        begun = await http.post(RECORDING)
        assert begun.status_code == 201, begun.text
        assert begun.headers["Location"] == RECORDING
        await recorded_for(http, 1.6)
        facts = (await http.delete(RECORDING)).json()
        await caller.hang_up()
    assert facts["name"] == begun.json()["name"]
    assert facts["name"].startswith("room-")
    assert facts["name"].endswith("_qs6x4a1.mp4"), "as Looking Glass Studio reads it"
    film = content(await fetched(http, facts["name"], tmp_path / "film.mp4"))
    assert (film.width, film.height) == (1536, 1024)
    assert film.decoded == facts["frames"] > 5
    assert facts["lost"] == 0
    held = missing_nothing(film, encoded)
    assert held[0].keyframe
    assert film.keyframes == [number for number, unit in enumerate(held) if unit.keyframe]
    assert film.times == pytest.approx([unit.captured - held[0].captured for unit in held], abs=1e-3)
    assert film.times == sorted(set(film.times))
    assert int(probed(tmp_path / "film.mp4")["nb_read_frames"]) == facts["frames"]


async def test_two_channels_are_recorded_at_once_each_by_itself(live, http):
    other = "/api/channels/other/recording"
    async with Client(http) as one, Client(http) as two:
        await one.publish("room")
        await two.publish("other")
        names = [(await http.post(path)).json()["name"] for path in (RECORDING, other)]
        await recorded_for(http, 0.4)
        first = (await http.delete(RECORDING)).json()
        assert (await http.get(other)).json()["recording"]["name"] == names[1], "goes on"
        await one.hang_up()
        second = (await http.delete(other)).json()
        await two.hang_up()
    assert [first["name"], second["name"]] == names
    for facts in (first, second):
        assert playable(live.films / facts["name"]) == facts["frames"] > 0
        assert (facts["lost"], facts["ended"]) == (0, "asked to")


async def test_the_film_shows_every_view_in_its_place(http, tmp_path):
    async with Client(http) as caller:
        await caller.publish()
        await http.post(RECORDING)
        await recorded_for(http, 0.2)
        name = (await http.delete(RECORDING)).json()["name"]
        await caller.hang_up()
    with av.open(str(await fetched(http, name, tmp_path / "film.mp4"))) as film:
        picture = next(film.decode(video=0))
    for view in range(24):
        assert red(picture, view % 6 * 256, 1024 - (view // 6 + 1) * 256) == pytest.approx(10 * view, abs=6)


async def test_a_slow_disk_costs_no_picture_of_a_live_call(live, http, tmp_path, monkeypatch):
    class Slow:
        def __init__(self, file: Any) -> None:
            self._file = file

        def write(self, data: bytes) -> int:
            time.sleep(0.02)  # for each 32 kB: a stick of 1.6 MB/s, slower than these pictures come
            return self._file.write(data)

        def __enter__(self) -> Slow:
            return self

        def __exit__(self, *_: object) -> None:
            self._file.close()

    def begin(self: Archive, *what: str) -> Any:
        facts, file = plain_begin(self, *what)
        return facts, Slow(file)

    plain_begin = Archive.begin
    monkeypatch.setattr(Archive, "begin", begin)
    async with Client(http) as caller, Client(http) as viewer:
        await caller.publish()
        await viewer.view()
        await viewer.seen(3)
        encoded = twin(live)
        await http.post(RECORDING)
        await recorded_for(http, 1.6)
        facts = (await http.delete(RECORDING)).json()
        await caller.hang_up()
    film = content(await fetched(http, facts["name"], tmp_path / "film.mp4"))
    assert len(missing_nothing(film, encoded)) == facts["frames"]
    assert facts["lost"] == 0


async def test_recording_alone_keeps_the_quilt_rendered_and_nothing_is_rendered_after_it(live, http):
    async with Client(http) as caller, Client(http) as viewer:
        await caller.publish()
        await http.post(RECORDING)
        await viewer.view()
        await viewer.seen(5)
        await viewer.hang_up()
        before = (await recorded_for(http, 0.4))["seconds"]
        await recorded_for(http, before + 0.4)  # goes on without any viewer
        assert [stream["viewers"] for stream in (await http.get(CHANNEL)).json()["streams"]] == [0]
        await http.delete(RECORDING)
        assert (await http.get(CHANNEL)).json()["streams"] == []
        assert not live.app.state.lobby.channels["room"].session._watched
        await caller.hang_up()


async def test_the_callers_voice_is_in_the_film(http, tmp_path):
    async with Client(http) as caller:
        await caller.publish("room", Clip(), Tone())
        await http.post(RECORDING)
        await recorded_for(http, 2.0)
        name = (await http.delete(RECORDING)).json()["name"]
        await caller.hang_up()
    film = content(await fetched(http, name, tmp_path / "film.mp4"))
    assert film.tracks == ["h264", "opus"]
    assert film.sounds[0] == pytest.approx(0, abs=0.3)
    assert film.sounds[-1] == pytest.approx(film.times[-1], abs=0.5)
    with av.open(str(tmp_path / "film.mp4")) as file:
        heard = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])[9600:48_000]
    spectrum = np.abs(np.fft.rfft(heard * np.hanning(len(heard))))
    assert np.argmax(spectrum) * 48_000 / len(heard) == pytest.approx(440, abs=5)


# ---- everybody is told ----


async def test_everybody_in_the_channel_is_told_while_it_goes_on_and_what_came_of_it(http):
    async with Client(http) as caller:
        await caller.publish()
        assert (await http.get(CHANNEL)).json()["recording"] is None
        assert (await http.get(RECORDING)).json() == {"recording": None, "recorded": None}
        begun = (await http.post(RECORDING)).json()
        told = (await http.get(CHANNEL)).json()["recording"]
        assert (told["name"], told["since"]) == (begun["name"], begun["since"])
        assert abs(told["since"] - time.time()) < 60
        assert 'telequilt_recording{channel="room"} 1.0' in (await http.get("/metrics")).text
        await recorded_for(http, 0.1)
        facts = (await http.delete(RECORDING)).json()
        assert (await http.get(RECORDING)).json() == {"recording": None, "recorded": facts}
        assert (await http.get(CHANNEL)).json()["recorded"] == facts
        metrics = (await http.get("/metrics")).text
        assert 'telequilt_recording{channel="room"} 0.0' in metrics
        assert 'telequilt_recordings_ended_total{reason="asked to"}' in metrics
        await caller.hang_up()


# ---- how it ends ----


@pytest.mark.parametrize("leave", [Client.hang_up, Client.vanish], ids=["hangs up", "vanishes"])
async def test_when_the_caller_leaves_the_film_is_finished(live, http, leave: Callable[[Client], Any]):
    async with Client(http) as caller:
        await caller.publish()
        name = (await http.post(RECORDING)).json()["name"]
        await recorded_for(http, 0.4)
        await leave(caller)
        await until(lambda: not live.app.state.lobby.channels)
        await until(lambda: live.app.state.archive.get(name).ended is not None)
    facts = live.app.state.archive.get(name)
    assert facts.ended == "the caller left"
    assert facts.lost == 0
    assert playable(live.films / name) == facts.frames > 0


async def test_when_the_server_stops_the_film_is_finished(tmp_path):
    server = serving(settings_for(tmp_path, min_free_bytes=0))
    async with httpx.AsyncClient(timeout=30) as http, Client(http) as caller, server as (base, app):
        http.base_url = base
        await caller.publish()
        name = (await http.post(RECORDING)).json()["name"]
        await recorded_for(http, 0.4)
    films = Archive(app.state.archive.folder)
    assert films.get(name).ended == "the server stops"
    assert playable(films.film(name)) == films.get(name).frames > 0


SERVER = """
import sys
from pathlib import Path
import uvicorn
from server.app import create_app
from tests.live import painted_studio, settings_for
settings = settings_for(Path(sys.argv[1]), min_free_bytes=0)
uvicorn.run(create_app(settings, painted_studio), host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")
"""


@asynccontextmanager
async def another_process(data: Path) -> AsyncIterator[tuple[httpx.AsyncClient, asyncio.subprocess.Process]]:
    """A client of a warm server that can be killed, and the server."""
    port = str(free_port())
    async with (
        running(sys.executable, "-c", SERVER, str(data), port) as server,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as http,
    ):
        deadline = time.monotonic() + 120
        while not await ready(http):
            assert server.returncode is None
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)
        yield http, server


async def ready(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/readyz")).status_code == 200
    except httpx.TransportError:
        return False


async def test_of_a_server_that_is_killed_a_film_remains_that_plays(tmp_path):
    films = Archive(tmp_path / "recordings")
    async with another_process(tmp_path) as (http, server), Client(http) as caller:
        await caller.publish()
        name = (await http.post(RECORDING)).json()["name"]
        reached = (await recorded_for(http, 2.4))["seconds"]
        assert films.get(name).ended is None, "a server that lives is not meddled with"
        server.send_signal(signal.SIGKILL)
        await server.wait()
    assert playable(films.folder / name) > 0, "as it lies there"
    facts = films.get(name)
    assert (facts.ended, facts.lost) == (CUT_SHORT, 0)
    assert facts.seconds > reached - 2 * FRAGMENT_SECONDS
    told = probed(films.film(name))
    assert (told["codec_name"], told["width"], told["height"]) == ("h264", 1536, 1024)
    assert int(told["nb_read_frames"]) == facts.frames > 0


async def test_it_ends_by_itself_when_its_time_is_over(tmp_path):
    settings = settings_for(tmp_path, min_free_bytes=0, max_recording_seconds=0.5)
    async with calling(settings) as (http, app), Client(http) as caller:
        await caller.publish()
        await http.post(RECORDING)
        recording = app.state.lobby.channels["room"].recording
        await until(lambda: not recording.under_way)
        state = (await http.get(RECORDING)).json()
        assert state["recorded"]["ended"] == "the time limit was reached"
        assert state["recording"] is None
        assert (await http.post(RECORDING)).status_code == 201, "and another may begin"
        await caller.hang_up()


# ---- what is refused ----


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


# ---- what is kept ----


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


# ---- stills ----


@pytest.mark.parametrize("parallel", [False, True])
async def test_films_and_stills_say_which_cameras_they_were_taken_with(http, tmp_path, monkeypatch, parallel: bool):
    monkeypatch.setattr(PaintedEngine, "parallel", parallel, raising=False)
    film, still = tmp_path / "film_qs6x4a1.mp4", tmp_path / "still_qs6x4a1.png"
    async with Client(http) as caller:
        await caller.publish()
        await http.post(RECORDING)
        await recorded_for(http, 0.2)
        still.write_bytes((await http.post("/api/channels/room/still")).content)
        await fetched(http, (await http.delete(RECORDING)).json()["name"], film)
        await caller.hang_up()
    for file in (film, still):
        assert tiling_of(file, *size_of(file), note=note_of(file)) == Tiling.of(screen(PRODUCT), parallel)


async def test_a_still_is_the_quilt_of_this_moment_and_nothing_is_kept_of_it(live, http):
    async with Client(http) as caller:
        await caller.publish()
        before = sorted(live.films.glob("*")) if live.films.is_dir() else []
        answer = await http.post("/api/channels/room/still")
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "image/png"
        name = answer.headers["content-disposition"]
        assert name.startswith('attachment; filename="room-')
        assert name.endswith('_qs6x4a1.png"')
        pixels = np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB"))
        assert pixels.shape == (1024, 1536, 3)
        for view in range(24):
            tile = pixels[1024 - (view // 6 + 1) * 256 :, view % 6 * 256 :][60:120, 60:120, 0]
            assert np.median(tile) == pytest.approx(10 * view, abs=3)
        assert (await http.get(CHANNEL)).json()["streams"] == [], "nothing was encoded for it"
        assert (sorted(live.films.glob("*")) if live.films.is_dir() else []) == before
        await caller.hang_up()


@pytest.mark.parametrize("layout", Layout)
async def test_a_still_leaves_out_what_encoders_were_given_to_make_its_sides_even(layout: Layout):
    odd = Screen("odd", 1, 1, 31, 21, 31 / 21, fan_yaws(1))
    rgba = np.zeros((21, 31, 4), np.uint8)
    rgba[..., :3] = np.random.default_rng(0).integers(0, 255, (1, 1, 3))
    rgba[:11, :, :3] = (200, 30, 30)
    decoded = cv2.imdecode(
        np.frombuffer(png(Picture(odd, plain(rgba, layout), layout, 0, 0.0), OFF_AXIS), np.uint8), -1
    )
    assert decoded.shape == (21, 31, 3)
    apart = np.abs(decoded[..., ::-1].astype(int) - rgba[..., :3])
    assert apart[1:].max() <= 8, "but for the top row, which shares its colours with the padding"
