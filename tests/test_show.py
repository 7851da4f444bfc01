"""`python -m server show` as a person runs it: a process of its own on a desktop of its own, looked at from outside."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from typer.testing import CliRunner

from display.calibration import Calibration, parse
from display.label import mark
from display.lenticular import interlace
from display.optics import fan
from display.quilt import compose
from display.screen import PRODUCT, screen
from display.tiling import NOTED, Tiling
from server.__main__ import app
from tests import desktops
from tests.live import running, serving, settings_for
from tests.painted import PaintedEngine, PaintedState
from tests.test_watching import calling
from tests.test_window import assert_same, far_from_boundaries, quilt

RECORD = {"serial": "TEST", "pitch": 8, "slope": -5, "center": 0.1, "DPI": 100, "screenW": 192, "screenH": 108}
SCREEN = screen(PRODUCT)
PLENTY = 90
"Seconds until a process that imports all of WebRTC must have shown something, on two busy cores."


@pytest.fixture
def record(tmp_path: Path) -> Path:
    path = tmp_path / "visual.json"
    path.write_text(json.dumps(RECORD))
    return path


@asynccontextmanager
async def showing(desk: dict[str, str], *words: object) -> AsyncIterator[asyncio.subprocess.Process]:
    """The command at work, on that desktop."""
    command = [sys.executable, "-m", "server", "show", *map(str, words)]
    async with running(*command, env=desk, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        yield process


async def seen(
    desk: dict[str, str], process: asyncio.subprocess.Process, what: Callable[[np.ndarray], bool]
) -> np.ndarray:
    """The desktop, once it shows `what`."""
    for _ in range(PLENTY * 5):
        assert process.returncode is None, await process.stdout.read()  # type: ignore[union-attr]
        picture = await asyncio.to_thread(desktops.picture, desk)
        if what(picture):
            return picture
        await asyncio.sleep(0.2)
    raise AssertionError("it never came to be seen")


def lit(picture: np.ndarray) -> bool:
    return bool(picture.any())


def dark(picture: np.ndarray) -> bool:
    return not picture.any()


async def ended(process: asyncio.subprocess.Process) -> str:
    """What a process said that ends now, and in peace."""
    output, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0, output.decode()
    return output.decode()


async def test_a_quilt_file_is_on_the_glass_until_escape(tmp_path, record):
    given, panel, still = quilt(), parse(RECORD), Tiling.of(SCREEN)
    note = PngInfo()
    note.add_text(NOTED, still.note)
    Image.fromarray(given).save(tmp_path / "me_qs6x4a1.png", pnginfo=note)
    with desktops.one_monitor(panel.width, panel.height) as desk:
        async with showing(desk, "--file", tmp_path / "me_qs6x4a1.png", "--calibration", record) as process:
            picture = await seen(desk, process, lit)
            await asyncio.to_thread(desktops.press, desk, "Escape")
            output = await ended(process)
        assert not desktops.picture(desk).any()
    assert_same(picture, interlace(given, still, panel), far_from_boundaries(panel))
    assert f"Calibration of TEST from {record}." in output
    assert "Hologram on screen: 192x108 at 0,0." in output
    assert "Quilts shown: 1; replaced by newer ones before they were: 0." in output


async def test_a_live_channel_is_on_the_glass_and_leaves_it_with_its_caller(tmp_path, record):
    panel = parse(RECORD)
    with desktops.one_monitor(panel.width, panel.height) as desk:
        async with (
            serving(settings_for(tmp_path / "data")) as (base, server),
            showing(desk, "--channel", "room", "--server", base, "--calibration", record) as process,
        ):
            async with calling(base) as caller:
                picture = await seen(desk, process, lit)
                await caller.hang_up()
                await seen(desk, process, dark)
            async with calling(base):
                await seen(desk, process, lit)
                process.send_signal(signal.SIGINT)
                output = await ended(process)
                assert not server.state.lobby.channels["room"].viewers, "it left without a word"
    assert "Showing room: 6x4 views in 1536x1024." in output
    assert "room has ended" in output
    assert_painted(picture, panel)


def assert_painted(picture: np.ndarray, panel: Calibration) -> None:
    """Red and blue as the painted engine's views have them; green tells the frame, which nobody knows here."""
    views = PaintedEngine().render(PaintedState(0), fan(SCREEN))
    painted = compose([views], SCREEN, mark(SCREEN)).pixels.numpy()
    wanted = interlace(painted, Tiling.of(SCREEN), panel)
    apart = np.abs(picture.astype(int) - wanted)[..., [0, 2]] * far_from_boundaries(panel)[..., [0, 2]]
    assert np.median(apart) <= 3, np.median(apart)
    assert (apart > 12).mean() < 0.05  # H.264 smears the mark's letters and colours beside tile borders


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "say what to show: --channel NAME, --call LINK or --file PATH"),
        (["--channel", "a", "--file", "b"], "say what to show: --channel NAME, --call LINK or --file PATH"),
        (["--file", "nothing_qs6x4a1.png"], "nothing_qs6x4a1.png is not a file"),
        (["--file", "{folder}/plain.png"], "--tiling 6x4"),
        (
            ["--file", "{folder}/plain.png", "--tiling", "6x4", "--calibration", "{folder}/plain.png"],
            "plain.png is not JSON",
        ),
        (["--file", "{folder}/plain.png", "--tiling", "6x4", "--calibration", "no.json"], "no.json cannot be read"),
        (
            ["--file", "{folder}/plain.png", "--tiling", "6x4", "--calibration", "{record}"],
            "no monitor has the 192x108",
        ),
        (["--channel", "a", "--calibration", "{record}", "--monitor", "LKG"], "no monitor is called 'LKG'"),
        (["--channel", "a", "--calibration", "{record}", "--monitor", "screen"], "not at its native 192x108"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(words, said, tmp_path, record, bigger):
    Image.fromarray(quilt()).save(tmp_path / "plain.png")
    words = [word.format(folder=tmp_path, record=record) for word in words]
    result = CliRunner().invoke(app, ["show", *words], env={"COLUMNS": "200"})
    assert result.exit_code == 2, result.output
    assert said in result.output.replace("\n", " ")
    assert "Traceback" not in result.output


def test_monitors_are_listed(bigger):
    result = CliRunner().invoke(app, ["show", "--list-monitors"], env={"COLUMNS": "120"})
    assert result.exit_code == 0, result.output
    assert [word in result.output for word in ("screen", "640x480", "0,0", "100%")] == [True] * 4


def test_without_a_desktop_it_says_where_to_run(monkeypatch, record):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    result = CliRunner().invoke(app, ["show", "--channel", "a", "--calibration", str(record)])
    assert result.exit_code == 2
    assert "telequilt: there is no desktop to open a window on" in result.output


@pytest.fixture(scope="module")
def bigger():
    """A desktop whose only monitor is no panel of ours."""
    with desktops.one_monitor(640, 480) as environment, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        yield environment
