"""What a window is given: a live channel through everything that befalls it, and files; and where a display's optics come from."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from PIL import Image

from display.calibration import CalibrationRejected
from display.lenticular import Tiling
from display.screen import screen
from server.commands import watching
from server.commands.watching import TilingUnknown, Watcher, note_of, pause, play, size_of, tiling_of
from server.displays import glass
from server.media.clips import ClipUnreadable
from server.webrtc.client import Refused
from tests import bridges
from tests.fake_bridge import display
from tests.live import Client, serving, settings_for, until
from tests.test_clips import write_clip

RECORD = {"serial": "LKG-P00042", "pitch": 50, "slope": -7, "center": 0, "DPI": 324, "screenW": 1536, "screenH": 2048}


class Wall:
    """A canvas that remembers what was on it, and what was told beside it."""

    task: asyncio.Task[None]
    "Who watches for it."

    def __init__(self) -> None:
        self.shown: list[np.ndarray] = []
        self.told: list[str] = []
        self.tiling: Tiling | None = None
        self.dark = ""

    def show(self, pixels: np.ndarray | torch.Tensor, tiling: Tiling) -> None:
        assert pixels.shape[:2] == (tiling.height, tiling.width)
        self.shown.append(np.asarray(pixels))
        self.tiling, self.dark = tiling, ""

    def clear(self, why: str) -> None:
        self.dark = why


@asynccontextmanager
async def watched(address: str, token: str | None = None) -> AsyncIterator[Wall]:
    wall = Wall()
    wall.task = asyncio.create_task(Watcher(address, "room", lambda: token, wall, wall.told.append).run())
    try:
        yield wall
    finally:
        wall.task.cancel()
        await asyncio.gather(wall.task, return_exceptions=True)


class Doorway:
    """An address that stays while servers behind it come and go: only HTTP passes here, media takes its own way."""

    def __init__(self) -> None:
        self.behind: str | None = None

    async def __aenter__(self) -> Doorway:
        self._server = await asyncio.start_server(self._enter, "127.0.0.1", 0)
        self.address = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()

    async def _enter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.behind is None:
            writer.close()
            return
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", httpx.URL(self.behind).port)
        await asyncio.gather(_pour(reader, to_writer), _pour(to_reader, writer))


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def calling(base: str, channel: str = "room") -> AsyncIterator[Client]:
    async with httpx.AsyncClient(base_url=base, timeout=30) as http, Client(http) as caller:
        assert (await caller.publish(channel)).status_code == 201
        yield caller


async def test_it_waits_shows_goes_dark_and_comes_back(tmp_path, monkeypatch):
    monkeypatch.setattr(watching, "SOON", 0.2)
    async with Doorway() as door, watched(f"{door.address}/#token=x") as wall:
        await until(lambda: wall.dark == f"no server at {door.address}")
        async with serving(settings_for(tmp_path)) as (base, _):
            door.behind = base
            await until(lambda: wall.dark == "waiting for room")
            for _ in range(2):  # a caller who leaves and one who comes
                before = len(wall.shown)
                async with calling(base) as caller:
                    await until(lambda before=before: len(wall.shown) > before + 5)
                    assert not wall.dark
                    await caller.hang_up()
                    await until(lambda: wall.dark == "waiting for room")
            async with calling(base):
                before = len(wall.shown)
                await until(lambda: len(wall.shown) > before)
                door.behind = None
        await until(lambda: wall.dark == f"no server at {door.address}")
        assert not wall.task.done()
    assert wall.tiling is not None
    assert (wall.tiling.columns, wall.tiling.rows, wall.tiling.fan_degrees, wall.tiling.parallel) == (6, 4, 35.0, False)
    picture = wall.shown[-1]
    for view in (0, 7, 23):
        tile = picture[1024 - (view // 6 + 1) * 256 :, view % 6 * 256 :][60:120, 60:120]
        assert np.median(tile[..., 0]) == pytest.approx(10 * view, abs=6)
    assert wall.told[0].startswith("Waiting: no Telequilt answers at")
    assert wall.told[1:4] == [
        "Waiting: nobody is live in 'room' yet.",
        "Showing room: 6x4 views in 1536x1024.",
        "room has ended, or its server is gone.",
    ]


async def test_a_silent_session_is_left_for_a_new_one(tmp_path, monkeypatch):
    monkeypatch.setattr(watching, "SOON", 0.2)
    monkeypatch.setattr(watching, "SILENCE", 1.0)
    async with serving(settings_for(tmp_path)) as (base, app), watched(base) as wall, calling(base):
        await until(lambda: len(wall.shown) > 3)
        viewers = app.state.lobby.channels["room"].viewers
        first = set(viewers)
        for viewer in list(viewers.values()):
            viewer.track.put = lambda unit: None  # as if its packets were lost from now on
        await until(lambda: bool(set(viewers) - first))
        seen = len(wall.shown)
        await until(lambda: len(wall.shown) > seen + 3)


async def test_a_picture_that_cannot_be_shown_is_told_and_watching_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(watching, "SOON", 0.2)

    def broken(*given: object) -> None:
        raise ValueError("no such texture")

    async with serving(settings_for(tmp_path)) as (base, _), watched(base) as wall, calling(base):
        await until(lambda: len(wall.shown) > 3)
        with monkeypatch.context() as patched:
            patched.setattr(wall, "show", broken)
            await until(lambda: "Pictures cannot be shown any more: no such texture." in wall.told)
        seen = len(wall.shown)
        await until(lambda: len(wall.shown) > seen + 3)


async def test_what_waiting_cannot_mend_ends_it(tmp_path):
    async with serving(settings_for(tmp_path, token="right")) as (base, _), watched(base, "wrong") as wall:
        await until(wall.task.done)
        with pytest.raises(Refused, match="token"):
            wall.task.result()


def test_pauses_grow_to_a_limit():
    assert [pause(failures) for failures in (1, 2, 3, 4, 5, 6, 1000)] == [1, 2, 4, 8, 15, 15, 15]


def test_a_files_tiling_comes_from_its_name_or_is_said():
    film = Path("me_qs6x4a1.mp4")
    assert tiling_of(film, 1536, 1024) == Tiling(6, 4, 24, 1536, 1024, 1.0)
    assert tiling_of(film, 1536, 1024, "8x6a0.75") == Tiling(8, 6, 48, 1536, 1024, 0.75)
    assert tiling_of(Path("me.png"), 1800, 1024, "qs6x4").aspect == pytest.approx(300 / 256, abs=1e-5)
    for path, said, words in (
        (Path("me.mp4"), None, "does not say how the quilt is tiled.*--tiling 6x4"),
        (film, "six by four", "'six by four' is no tiling.*6x4a0.75"),
        (film, "0x4", "do not make 0x4 tiles"),
        (film, "9999x1", "do not make"),
    ):
        with pytest.raises(TilingUnknown, match=words):
            tiling_of(path, 1536, 1024, said)


def test_which_cameras_there_were_a_file_notes_and_a_foreign_one_does_not(tmp_path):
    orbit = Tiling.of(screen("telequilt"), parallel=True)
    assert tiling_of(Path("me_qs6x4a1.mp4"), 1536, 1024, note=orbit.note) == orbit
    assert tiling_of(Path("me.mp4"), 1536, 1024, "6x4", orbit.note) == orbit
    Image.new("RGB", (60, 40)).save(tmp_path / "me.png")
    assert note_of(tmp_path / "me.png") == note_of(write_clip(tmp_path / "me.mp4")) == ""


def test_an_image_is_shown_and_stays(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 255, (40, 60, 3), np.uint8)
    path = tmp_path / "me_qs6x4a1.png"
    Image.fromarray(pixels).save(path)
    wall, stop = Wall(), threading.Event()
    player = threading.Thread(target=play, args=(path, tiling_of(path, *size_of(path)), wall, stop))
    player.start()
    stop.wait(0.3)
    assert player.is_alive()
    stop.set()
    player.join(10)
    assert len(wall.shown) == 1
    assert np.array_equal(wall.shown[0], pixels)


def test_a_film_is_shown_over_and_over(tmp_path):
    path = write_clip(tmp_path / "me_qs6x4a1.mp4", count=6)
    wall, stop = Wall(), threading.Event()
    player = threading.Thread(target=play, args=(path, tiling_of(path, *size_of(path)), wall, stop))
    player.start()
    while len(wall.shown) < 14:
        stop.wait(0.01)
    stop.set()
    player.join(10)
    assert not player.is_alive()
    for first, second in zip(wall.shown[:6], wall.shown[6:12], strict=True):
        assert np.array_equal(first, second)
    assert not np.array_equal(wall.shown[0], wall.shown[5])


def test_what_is_no_quilt_file_is_explained(tmp_path):
    with pytest.raises(ClipUnreadable, match="is not a file"):
        size_of(tmp_path / "nothing.png")
    text = tmp_path / "me_qs6x4a1.png"
    text.write_text("hello")
    with pytest.raises(ClipUnreadable, match="no picture that can be read"):
        size_of(text)


NOBODY = "http://127.0.0.1:9"
"An address where no Bridge is."


def volume(root: Path, **changes: object) -> Path:
    folder = root / "LKG_calibration"
    folder.mkdir(parents=True)
    (folder / "visual.json").write_text(json.dumps(RECORD | changes))
    return root


def test_optics_come_from_the_file_then_the_volume_then_bridge(tmp_path):
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(RECORD | {"serial": "FILE"}))
    plugged = volume(tmp_path / "usb", serial="VOLUME")
    found = glass.optics(file, NOBODY, [plugged])
    assert (found.calibration.serial, found.source, found.corner) == ("FILE", str(file), None)
    found = glass.optics(None, NOBODY, [plugged])
    assert (found.calibration.serial, found.corner) == ("VOLUME", None)
    assert found.source.endswith("visual.json, on the display's USB volume")
    with pytest.raises(
        glass.GlassMissing, match=r"USB cable.*--calibration visual.json.*--preview.*Bridge does not help"
    ):
        glass.optics(None, NOBODY, [])
    with pytest.raises(CalibrationRejected, match="several displays are plugged in"):
        glass.optics(None, NOBODY, [plugged, volume(tmp_path / "other")])


def test_bridge_tells_the_optics_and_the_place():
    desk = display()
    one, other = (display(RECORD | {"serial": f"LKG-P{n}"}, None, "portrait", f"LKG{n}", 1920 * n, 40) for n in (1, 2))
    with bridges.running(desk, one) as bridge:
        found = glass.optics(None, bridge.http, [])
    assert (found.calibration.serial, found.source, found.corner) == (
        "LKG-P1",
        "Looking Glass Bridge, display 1",
        (1920, 40),
    )
    with (
        bridges.running(one, other) as bridge,
        pytest.raises(glass.GlassMissing, match=r"LKG1, LKG2.*bridge calibration"),
    ):
        glass.optics(None, bridge.http, [])
    with bridges.running(desk) as bridge, pytest.raises(glass.GlassMissing, match="sees no Looking Glass"):
        glass.optics(None, bridge.http, [])


def test_the_quilt_asked_for_is_the_displays_own_word_and_else_its_kinds(tmp_path):
    plugged = volume(tmp_path / "usb")
    own = (2048, 2048, 8, 8, 0.75)
    with bridges.running(display(), display(RECORD, own, "portrait", "LKG1")) as bridge:
        told = glass.asked_for(bridge.http, [plugged])
    assert (told.quilt_width, told.quilt_height, told.columns, told.rows, told.aspect) == own
    assert glass.asked_for(NOBODY, [plugged]) == screen("portrait")
    with pytest.raises(glass.GlassMissing, match="Plug in its USB cable"):
        glass.asked_for(NOBODY, [])


DEEP = (np.mgrid[0:64, 0:96].sum(axis=0) * 400).astype(np.uint16)
AS_PEOPLE_HAVE_THEM: dict[str, tuple[str, Image.Image]] = {
    "sixteen bits": ("png", Image.fromarray(DEEP)),
    "palette": ("gif", Image.fromarray((DEEP >> 8).astype(np.uint8)).convert("P")),
    "CMYK": ("jpg", Image.fromarray((DEEP >> 8).astype(np.uint8)).convert("CMYK")),
    "transparent": ("png", Image.fromarray((DEEP >> 8).astype(np.uint8)).convert("RGBA")),
    "floats": ("tiff", Image.fromarray(DEEP.astype(np.float32) / 65535)),
}


@pytest.mark.parametrize("kind", AS_PEOPLE_HAVE_THEM)
def test_an_image_of_any_mode_is_shown_as_bright_as_it_is(tmp_path: Path, kind: str):
    ending, image = AS_PEOPLE_HAVE_THEM[kind]
    path = tmp_path / f"quilt_qs3x2a1.{ending}"
    image.save(path)
    assert size_of(path) == (96, 64)
    shown, stop = [], threading.Event()
    stop.set()
    canvas: Any = SimpleNamespace(show=lambda pixels, _: shown.append(pixels))
    play(path, tiling_of(path, 96, 64), canvas, stop)
    assert shown[0].shape == (64, 96, 3)
    grey = shown[0].mean(axis=2)
    expected = DEEP / 257.0
    assert np.abs(grey * (expected.max() / grey.max()) - expected).mean() < 6


def test_a_damaged_image_is_told_in_a_line_before_a_window_opens(tmp_path: Path):
    path = tmp_path / "quilt_qs3x2a1.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8)).save(path)
    whole = path.read_bytes()
    for data in (whole[: len(whole) // 2], whole[:60] + bytes(100) + whole[160:]):
        path.write_bytes(data)
        with pytest.raises(ClipUnreadable, match=r"quilt_qs3x2a1\.png"):
            size_of(path)
