"""Stills over HTTP, and what films and stills say of their cameras."""

from __future__ import annotations

import asyncio
import io

import cv2
import numpy as np
import pytest
import pytest_asyncio
from PIL import Image

from display.colour import Layout, plain
from display.screen import PRODUCT, Screen, fan_yaws, screen
from display.tiling import OFF_AXIS, Tiling
from engines.contract import Abilities
from pipeline.stages import Picture
from server.channels import filming
from server.channels.filming import png
from server.commands.watching import note_of, size_of, tiling_of
from server.provenance.credentials import Signer
from server.provenance.keys import Keys
from tests.filming import CHANNEL, RECORDING, fetched, http_of, live_server, recorded_for
from tests.live import Client
from tests.painted import PaintedEngine

pytestmark = pytest.mark.asyncio(loop_scope="module")
live = pytest_asyncio.fixture(scope="module", loop_scope="module")(live_server)
http = pytest_asyncio.fixture(loop_scope="module")(http_of)


@pytest.mark.parametrize("parallel", [False, True])
async def test_films_and_stills_say_which_cameras_they_were_taken_with(http, tmp_path, monkeypatch, parallel: bool):
    monkeypatch.setattr(PaintedEngine, "abilities", Abilities(parallel=parallel))
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


async def test_why_a_still_is_unsigned_is_told_in_letters_that_a_header_holds(live, http, tmp_path, monkeypatch):
    (tmp_path / "鍵").write_text("no folder, so no key can be made in it")
    monkeypatch.setitem(live.app.state._state, "signer", Signer(Keys(tmp_path / "鍵" / "provenance")))
    async with Client(http) as caller:
        await caller.publish()
        answer = await http.post("/api/channels/room/still")
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-credentials"].startswith("unsigned: ")
        assert "?/provenance cannot hold a key" in answer.headers["content-credentials"]
        await caller.hang_up()


async def test_stills_that_are_asked_for_at_once_are_one_still(http, monkeypatch):
    """Forty of them took a call from 15 pictures a second to 0.3 for ten seconds."""
    made: list[Picture] = []

    def counted(picture: Picture, note: str) -> bytes:
        made.append(picture)
        return png(picture, note)

    monkeypatch.setattr(filming, "png", counted)
    async with Client(http) as caller:
        await caller.publish()
        answers = await asyncio.gather(*(http.post("/api/channels/room/still") for _ in range(40)))
        assert {answer.status_code for answer in answers} == {200}
        assert len(made) <= 3, "one, and those of requests that came when it was done"
        assert len({answer.content for answer in answers}) == len(made)
        await http.post("/api/channels/room/still")
        assert made[-1].sequence > made[0].sequence, "a later one is another one"
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
