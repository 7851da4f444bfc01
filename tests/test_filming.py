"""Recording over HTTP: a real caller's quilt into a film, seen by everybody."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
import pytest_asyncio

from display.screen import screen
from server.media.encode import AccessUnit
from server.recordings.archive import Archive
from tests.filming import CHANNEL, RECORDING, fetched, http_of, live_server, recorded_for
from tests.films import Content, content, nal_units, playable, probed
from tests.live import Client, Clip, located
from tests.test_whep import Tone, red

pytestmark = pytest.mark.asyncio(loop_scope="module")
live = pytest_asyncio.fixture(scope="module", loop_scope="module")(live_server)
http = pytest_asyncio.fixture(loop_scope="module")(http_of)


def twin(live: SimpleNamespace) -> list[AccessUnit]:
    """Whatever the room's quilt encoder makes from now on, taken beside the recording."""
    seen: list[AccessUnit] = []
    channel = live.app.state.lobby.channels["room"]
    channel.presenter.stream(screen("telequilt")).record(seen.append)
    return seen


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
        assert located(begun) == RECORDING
        await recorded_for(http, 1.6)
        facts = (await http.delete(RECORDING)).json()
        await caller.hang_up()
    assert facts["name"] == begun.json()["name"]
    assert facts["name"].startswith("room-")
    assert facts["name"].endswith("_qs6x4a1.mp4"), "as Looking Glass Services reads it"
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

    def begin(self: Archive, *what: Any) -> Any:
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
        assert live.app.state.lobby.channels["room"].session.watched == ()
        await caller.hang_up()


async def test_the_callers_voice_is_in_the_film(http, tmp_path):
    async with Client(http) as caller:
        await caller.publish("room", Clip(), Tone())
        await http.post(RECORDING)
        await recorded_for(http, 3.0)
        name = (await http.delete(RECORDING)).json()["name"]
        await caller.hang_up()
    film = content(await fetched(http, name, tmp_path / "film.mp4"))
    assert film.tracks == ["h264", "opus"]
    assert film.sounds[0] == pytest.approx(0, abs=1.0)
    # a clock that is wrong by a factor of two is 1.5 seconds off; pictures may be late where others use this machine
    assert film.sounds[-1] == pytest.approx(film.times[-1], abs=1.2)
    with av.open(str(tmp_path / "film.mp4")) as file:
        heard = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])[9600:48_000]
    spectrum = np.abs(np.fft.rfft(heard * np.hanning(len(heard))))
    assert np.argmax(spectrum) * 48_000 / len(heard) == pytest.approx(440, abs=5)


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
