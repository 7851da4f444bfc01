"""A call whose server dies begins again by itself once there is one: nobody presses Start twice."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import Browser, expect

from server import connections
from server.app import create_app
from tests.browsing import PLENTY, Visit, browsing, write_calm
from tests.live import free_port, painted_services, settings_for

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
expect.set_options(timeout=PLENTY)


@pytest.fixture(scope="module")
def filmed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browsing(write_calm(tmp_path_factory.mktemp("film") / "camera.y4m")) as browser:
        yield browser


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Callable[[], Callable[[], None]]]:
    """Starts a server, always at one address; what it gives ends it as a crash does: nobody is told."""
    port, ends = free_port(), []

    def start() -> Callable[[], None]:
        app = create_app(settings_for(tmp_path / "data"), painted_services)
        running = uvicorn.Server(connections.config(app, "127.0.0.1", port))
        thread = threading.Thread(target=lambda: asyncio.run(running.serve()))
        thread.start()

        def end() -> None:
            running.should_exit = running.force_exit = True
            thread.join(60)

        ends.append(end)
        return end

    start.address = f"http://localhost:{port}"  # type: ignore[attr-defined]
    yield start
    for end in ends:
        end()


def test_a_call_is_back_once_its_server_is(filmed, server):
    end = server()
    visit = Visit(filmed, "")
    page = visit.context.new_page()
    page.goto(server.address)
    page.locator("#start").click()
    expect(page.locator("#air")).to_have_attribute("data-on", "true")
    expect(page.locator("#air-words")).to_have_text("On air")
    end()
    expect(page.locator("#air-words")).to_have_text("Reconnecting")
    server()
    expect(page.locator("#air-words")).to_have_text("On air")
    expect(page.locator("#start")).to_have_text("Stop")
    page.locator("#start").click()
    expect(page.locator("#air-words")).to_have_text("Off air")
    expect(page.locator("#start-problem")).to_have_text("")
    visit.context.close()


@pytest.mark.soak
def test_who_stops_while_a_call_is_lost_is_not_taken_back_into_it(filmed, server):
    end = server()
    visit = Visit(filmed, "")
    page = visit.context.new_page()
    page.goto(server.address)
    page.locator("#start").click()
    expect(page.locator("#air-words")).to_have_text("On air")
    end()
    expect(page.locator("#air-words")).to_have_text("Reconnecting")
    page.locator("#start").click()
    expect(page.locator("#air-words")).to_have_text("Off air")
    server()
    page.wait_for_timeout(3000)
    expect(page.locator("#air-words")).to_have_text("Off air")
    visit.context.close()
