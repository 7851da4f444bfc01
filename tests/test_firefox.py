"""Firefox, the distribution's own, on our pages: it calls by camera and by puppet; what it cannot play it says in good words."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

import httpx
import pytest

from tests import npm
from tests.live import Client, running, serving, settings_for, until

VERSION = "24.43.1"
"Of puppeteer-core, which speaks WebDriver BiDi; Playwright wants a Firefox of its own."
PATIENCE = 90.0
"Seconds, for machines that do other things too."


def lacking(what: str) -> NoReturn:
    if os.environ.get("TELEQUILT_REQUIRE_BROWSER") == "1":
        pytest.fail(what)
    pytest.skip(what)


@pytest.fixture(scope="module")
def firefox() -> str:
    found = shutil.which("firefox-esr") or shutil.which("firefox")
    return found or lacking("no Firefox found: apt-get install firefox-esr")


@pytest.fixture(scope="module")
def modules(firefox: str) -> Path:
    return npm.modules("puppeteer-core", VERSION, lacking)


@asynccontextmanager
async def driven(environment: dict[str, str], *words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """What drives Firefox, to its end: it alone can end the browser, which has a process group of its own."""
    pipe, script = asyncio.subprocess.PIPE, Path(__file__).with_name("foreign_firefox.mjs")
    async with running("node", str(script), *words, stdin=pipe, stdout=pipe, env=os.environ | environment) as process:
        try:
            yield process
            assert await asyncio.wait_for(process.wait(), PATIENCE) == 0
        finally:
            if process.returncode is None:
                process.terminate()  # upon which puppeteer ends the browser too
                with suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), 10)


async def step(process: asyncio.subprocess.Process, name: str) -> dict[str, Any]:
    """Wait for the browser's next step, which has to be `name`."""
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), PATIENCE)
    told: dict[str, Any] = json.loads(line or b"{}")
    assert told.get("step") == name, told
    return told


@pytest.mark.browser
@pytest.mark.parametrize("driver", ["camera", pytest.param("puppet", marks=pytest.mark.soak)])
async def test_firefox_calls_and_says_why_it_cannot_watch(tmp_path, firefox, modules, driver):
    environment = {"FIREFOX": firefox, "HOME": str(tmp_path)}
    async with (
        serving(settings_for(tmp_path / "data")) as (base, app),
        driven(environment, str(modules), f"{base}/", driver) as process,
    ):
        await step(process, "on air")
        channel = app.state.lobby.live("room")
        await until(lambda: channel.session.report().frames > 25, PATIENCE)
        words = (await step(process, "viewed"))["words"]
        assert "Live" in words or "Add-ons" in words, words  # builds with the OpenH264 plugin play
        assert process.stdin is not None
        process.stdin.close()
        await step(process, "off air")
        await until(lambda: not app.state.lobby.channels, PATIENCE)


@pytest.mark.browser
async def test_firefox_makes_a_call_sits_in_it_mutes_and_leaves(tmp_path, firefox, modules):
    environment = {"FIREFOX": firefox, "HOME": str(tmp_path)}
    async with (
        serving(settings_for(tmp_path / "data")) as (base, app),
        httpx.AsyncClient(base_url=base, timeout=60) as http,
        driven(environment, str(modules), f"{base}/", "call") as process,
    ):
        await step(process, "seated")
        ((name, conference),) = app.state.calls.conferences.items()
        plain = {"name": "Cam", "consent": True, "plain": True}
        seat = (await http.post(f"/api/calls/{name}/seats", json=plain)).json()
        http.headers["Authorization"] = f"Bearer {seat['token']}"
        async with Client(http) as camera:
            assert (await camera.publish(f"{name}.{seat['seat']}")).status_code == 201
            fox = conference.rules.seats[1]
            await until(lambda: fox.publishing == "live", PATIENCE)
            assert "Cam" in (await step(process, "sees"))["words"]
            assert (await step(process, "muted"))["words"] == "Unmute"
            await until(lambda: fox.muted, PATIENCE)
            assert process.stdin is not None
            process.stdin.close()
            await step(process, "left")
            await until(lambda: 1 not in conference.rules.seats, PATIENCE)
