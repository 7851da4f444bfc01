"""The display of the machine that serves: a live channel's quilts as they were composed, and `serve --display` from outside."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys

import httpx
import numpy as np
import pytest
from typer.testing import CliRunner

from display.label import mark
from display.optics import fan
from display.quilt import compose
from display.screen import PRODUCT, screen
from server.__main__ import app
from server.displays.attached import Attached
from tests import desktops
from tests.live import running, serving, settings_for, until
from tests.painted import PaintedEngine, PaintedState
from tests.test_show import PLENTY, RECORD, dark, lit, seen
from tests.test_watching import Wall, calling

SCREEN = screen(PRODUCT)


def assert_composed(pixels: np.ndarray) -> None:
    """Exactly what the painted engine made, whose green tells the frame: no codec has touched it."""
    views = PaintedEngine().render(PaintedState(int(pixels[0, 0, 1])), fan(SCREEN))
    assert np.array_equal(pixels, compose([views], SCREEN, mark(SCREEN)).pixels.numpy())


async def test_it_shows_whoever_is_live_without_any_encoder(tmp_path):
    wall = Wall()
    attached = Attached(SCREEN, None, wall)
    assert wall.dark == "waiting for a caller"
    async with serving(settings_for(tmp_path), attached=attached) as (base, app):
        async with calling(base, "one") as one, calling(base, "two") as two:
            await until(lambda: len(wall.shown) > 5)
            assert attached.channel == "one"
            assert_composed(wall.shown[-1])
            lobby = app.state.lobby
            assert [lobby.report(channel).streams for channel in lobby.channels.values()] == [[], []]
            assert lobby.report(lobby.channels["two"]).session.stages.keys() == {"preprocess"}  # nobody looks at it
            await one.hang_up()
            await until(lambda: attached.channel == "two")
            before = len(wall.shown)
            await until(lambda: len(wall.shown) > before + 5)
            assert_composed(wall.shown[-1])
            await two.hang_up()
            await until(lambda: wall.dark == "waiting for a caller")
        shown = len(wall.shown)
        async with calling(base, "three"):
            await until(lambda: len(wall.shown) > shown)
    assert wall.dark == "waiting for a caller"


async def test_it_waits_for_the_channel_that_was_named(tmp_path):
    wall = Wall()
    attached = Attached(SCREEN, "stage", wall)
    async with serving(settings_for(tmp_path), attached=attached) as (base, app), calling(base, "other"):
        other = app.state.lobby.channels["other"]
        await until(lambda: other.ingest is not None and other.ingest.received > 5)
        assert (attached.channel, wall.dark, wall.shown) == (None, "waiting for stage", [])
        async with calling(base, "stage") as stage:
            await until(lambda: len(wall.shown) > 3)
            await stage.hang_up()
            await until(lambda: wall.dark == "waiting for stage")


async def test_serve_shows_a_call_and_outlives_its_window(tmp_path):
    record = tmp_path / "visual.json"
    record.write_text(json.dumps(RECORD))
    with desktops.one_monitor(RECORD["screenW"], RECORD["screenH"]) as desk:
        words = ("--display", "--calibration", record, "--port", 0, "--data-dir", tmp_path / "data")
        command = (sys.executable, "-m", "server", "serve", *map(str, words))
        async with running(*command, env=desk, stderr=asyncio.subprocess.PIPE) as process:
            said, address = await announced(process)
            async with calling(address):
                await seen(desk, process, lit)
                await asyncio.to_thread(desktops.press, desk, "q")
                await seen(desk, process, dark)
                async with httpx.AsyncClient(base_url=address, timeout=60) as http:
                    live = (await http.get("/api/channels/room")).json()
                assert live["session"]["frames"] > 0
                for _ in range(4):  # by somebody without patience
                    if process.returncode is None:
                        process.send_signal(signal.SIGINT)
                    await asyncio.sleep(0.2)
                rest = await asyncio.wait_for(process.stderr.read(), PLENTY)  # type: ignore[union-attr]
                assert await process.wait() == 0, rest.decode()
    assert f"Calibration of TEST from {record}." in said
    assert "The window is closed; the server goes on. Ctrl-C stops it." in rest.decode()


async def announced(process: asyncio.subprocess.Process) -> tuple[str, str]:
    """What a server said until it named its address, and that."""
    said = ""
    assert process.stderr is not None
    async with asyncio.timeout(PLENTY):
        while not (found := re.search(r"Telequilt is at (http://\S+)/", said)):
            line = (await process.stderr.readline()).decode()
            assert line, said
            said += line
    return said, found[1]


@pytest.mark.parametrize("words", [["--preview"], ["--monitor", "DP-1"], ["--channel", "a"]])
def test_words_about_the_display_want_a_display(words):
    result = CliRunner().invoke(app, ["serve", *words], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert "go with --display" in result.output
