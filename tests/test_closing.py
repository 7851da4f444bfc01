"""How the server ends: in its own order, wherever it stands when it is asked to."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from pipeline.executors.deployments import Deployments
from server.app import create_app
from server.channels.lobby import Lobby
from server.channels.services import Services
from server.settings import Settings
from tests.live import painted_services, running, settings_for
from tests.painted import PaintedEngine
from tests.test_attached import announced
from tests.test_show import PLENTY
from tests.test_watching import calling

LEFT_BEHIND = """
import sys, threading, torch
from server.__main__ import main
a = torch.zeros(500, 500)
def work():
    while True:
        torch.mm(a, a)
for _ in range(3):
    threading.Thread(target=work, name="stage-cuda:0", daemon=True).start()
sys.argv = ["telequilt", "bridge", "--help"]
main()
"""


@pytest.fixture
def order(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What has been done, in its order."""
    done: list[str] = []
    close = Deployments.close

    def closing(places: Deployments) -> None:
        done.append("places closed")
        close(places)

    monkeypatch.setattr(Deployments, "close", closing)
    return done


async def test_what_is_being_warmed_up_is_not_closed_meanwhile(tmp_path: Path, order: list[str]):
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    class Slow(PaintedEngine):
        def warm_up(self) -> None:
            loop.call_soon_threadsafe(begun.set)
            time.sleep(0.3)
            order.append("warm")

    def services(settings: Settings) -> Services:
        return painted_services(settings, Slow())

    app = create_app(settings_for(tmp_path), services)
    async with app.router.lifespan_context(app):
        await begun.wait()
    assert order == ["warm", "places closed"]
    assert app.state.lobby is None


async def test_devices_are_let_go_even_where_a_caller_cannot_be(
    tmp_path: Path, order: list[str], monkeypatch: pytest.MonkeyPatch
):
    async def close(lobby: Lobby) -> None:
        raise OSError("a caller who stays")

    monkeypatch.setattr(Lobby, "close", close)
    app = create_app(settings_for(tmp_path), painted_services)
    with pytest.raises(OSError, match="a caller who stays"):
        async with app.router.lifespan_context(app):
            await app.state.warming
    assert order == ["places closed"]


async def test_a_server_that_is_asked_again_and_again_ends_its_calls_all_the_same(tmp_path: Path):
    words = (sys.executable, "-m", "server", "serve", "--port", "0", "--data-dir", str(tmp_path))
    async with running(*words, stderr=asyncio.subprocess.PIPE) as process:
        _, address = await announced(process)
        async with calling(address), httpx.AsyncClient(base_url=address, timeout=60) as http:
            await http.post("/api/channels/room/recording")
            await asyncio.sleep(0.5)
            for _ in range(4):
                process.send_signal(signal.SIGINT)
                await asyncio.sleep(0.05)
            said = (await asyncio.wait_for(process.stderr.read(), PLENTY)).decode()  # type: ignore[union-attr]
            await process.wait()
    assert '"reason": "the server stops"' in said
    assert '"why": "the server stops"' in said, "the recording is whole"
    assert "Traceback" not in said


def test_a_thread_that_was_left_behind_in_native_code_aborts_nothing():
    done = subprocess.run([sys.executable, "-c", LEFT_BEHIND], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, (done.returncode, done.stderr)
    assert "Looking Glass Bridge" in done.stdout
