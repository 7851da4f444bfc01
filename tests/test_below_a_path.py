"""Below a path: what a Location leads to behind a proxy that strips a prefix, for clients that resolve it in whichever way."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urljoin

import httpx
import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, expect

from server.webrtc.client import playing, publishing
from tests.browsing import PLENTY, Visit, filmed_browser, go_live, painted_server
from tests.live import SDP, Clip, serving, settings_for, until
from tests.stripping_proxy import Proxy, stripping
from tests.test_portraits import PHOTO
from tests.test_whip import FRAGMENT, offered

camera = pytest.fixture(scope="module")(filmed_browser)
painted = pytest.fixture(scope="module")(painted_server)


async def test_each_location_leads_back_through_the_proxy(tmp_path):
    async with (
        serving(settings_for(tmp_path)) as (url, app),
        stripping(url) as proxy,
        httpx.AsyncClient(timeout=60) as http,
    ):
        endpoint = f"{proxy.address}/whip/room?avatar=sample"
        called = await http.post(endpoint, content=await offered("video"), headers=SDP)
        session = urljoin(endpoint, called.headers["Location"])
        assert session.startswith(f"{proxy.address}/whip/room/")
        trickled = {"Content-Type": FRAGMENT, "If-Match": called.headers["ETag"]}
        assert (await http.patch(session, content="a=end-of-candidates", headers=trickled)).status_code == 204
        recording = await http.post(f"{proxy.address}/api/channels/room/recording")
        found = urljoin(str(recording.url), recording.headers["Location"])
        assert (await http.get(found)).json()["recording"]["name"]
        form = {"files": {"portrait": ("photo.jpg", PHOTO)}, "data": {"consent": "me"}}
        enrolled = await http.post(f"{proxy.address}/api/avatars", **form)
        assert (await http.get(urljoin(str(enrolled.url), enrolled.headers["Location"]))).json() == enrolled.json()
        assert (await http.delete(session)).status_code == 200
        await until(lambda: not app.state.lobby.channels)


async def test_a_client_that_takes_a_location_for_a_path_from_the_root_finds_it_where_there_is_no_proxy(tmp_path):
    """As OBS does: whatever has no scheme becomes the path, from which every HTTP client then removes the dots (RFC 3986)."""
    async with serving(settings_for(tmp_path)) as (url, _), httpx.AsyncClient(timeout=60) as http:
        called = await http.post(f"{url}/whip/room", content=await offered("video"), headers=SDP)
        assert (await http.delete(f"{url}/{called.headers['Location']}")).status_code == 200


async def test_our_own_client_calls_and_watches_through_the_proxy(tmp_path):
    async with serving(settings_for(tmp_path)) as (url, app), stripping(url) as proxy:
        async with publishing(f"{proxy.address}/whip/room", Clip()):
            async with playing(f"{proxy.address}/whep/room") as tracks:
                await tracks["video"].recv()
            await until(lambda: not app.state.lobby.channels["room"].viewers)
        assert proxy.deleted == 2


@contextmanager
def behind(url: str) -> Iterator[Proxy]:
    """A proxy in a thread of its own, for tests whose browser is driven in this one."""
    ready, found = threading.Event(), []

    async def stand() -> None:
        async with stripping(url) as proxy:
            end = asyncio.Event()
            found.extend((proxy, asyncio.get_running_loop(), end))
            ready.set()
            await end.wait()

    thread = threading.Thread(target=lambda: asyncio.run(stand()), name="the proxy")
    thread.start()
    assert ready.wait(30)
    proxy, loop, end = found
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join()


@pytest.mark.browser
def test_our_pages_call_and_watch_through_the_proxy(camera: Browser, painted: tuple[str, FastAPI]) -> None:
    with behind(painted[0].rstrip("/")) as proxy:
        visit = Visit(camera)
        page = visit.open(f"{proxy.address}/")
        go_live(page, "below")
        viewer = visit.open(page.get_by_role("textbox", name="Viewers’ link").input_value())
        assert viewer.url == f"{proxy.address}/view/below"
        expect(viewer.get_by_text("Live", exact=True).first).to_be_visible(timeout=PLENTY)
        page.get_by_role("button", name="Stop").click()
        expect(page.get_by_role("button", name="Start", exact=True)).to_be_enabled(timeout=PLENTY)
        assert proxy.deleted >= 1
        assert not painted[1].state.lobby.channels
        visit.context.close()
