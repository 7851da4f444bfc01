"""Browsing: a real Chromium with a camera that films a clip, and a real server beside it, for tests of the pages."""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import av
import numpy as np
import pytest
import uvicorn
from fastapi import FastAPI
from PIL import Image
from playwright.sync_api import (
    Browser,
    BrowserContext,
    BrowserType,
    ConsoleMessage,
    Page,
    ViewportSize,
    expect,
    sync_playwright,
)

from pipeline.puppet import Puppet
from server import connections
from server.app import create_app
from server.channels.services import Services, open_services
from server.settings import Settings
from tests.live import painted_services

FILMED_PICTURES = 50
PLENTY = 45_000
"Milliseconds. Software drawing, encoding and decoding share two cores in CI: only what never comes may fail."

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--autoplay-policy=no-user-gesture-required",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
    "--host-resolver-rules=MAP localhost:33334 127.0.0.1:1",  # no test asks a Looking Glass Bridge that really runs here
]
WITHOUT_WEBGL = """
const given = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, ...more) {
  return kind.startsWith("webgl") ? null : given.call(this, kind, ...more);
};
"""
"A script for `Visit`."

NAMELESS_GPU = """
const given = WebGL2RenderingContext.prototype.getExtension;
WebGL2RenderingContext.prototype.getExtension = function (name) {
  return name === "WEBGL_debug_renderer_info" ? null : given.call(this, name);
};
"""
"A script for `Visit`: what draws in software here is taken for a GPU."

AS_IT_IS = """
if (window.MediaDevices) {  // not on about:blank
  const given = MediaDevices.prototype.getUserMedia;
  const raw = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  MediaDevices.prototype.getUserMedia = function (wanted) {
    return given.call(this, wanted.audio ? { ...wanted, audio: { ...wanted.audio, ...raw } } : wanted);
  };
}
"""
"A script for `Visit`: a tone is noise to what makes voices clear."


def chromium() -> str:
    """Where the distribution's Chromium is. Without one the test is skipped, or fails where a browser is required."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    reason = "no Chromium found: apt-get install chromium"
    if os.environ.get("TELEQUILT_REQUIRE_BROWSER") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def launch(kind: BrowserType, film: Path | None, *more: str) -> Browser:
    """A browser whose camera shows `film`, or that has none; with `more` flags."""
    camera = [
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={film}",
    ]
    return kind.launch(executable_path=chromium(), headless=True, args=[*FLAGS, *(camera if film else []), *more])


@contextmanager
def browsing(film: Path | None, *more: str) -> Iterator[Browser]:
    """A browser of its own, as of launch()."""
    with sync_playwright() as playwright:
        browser = launch(playwright.chromium, film, *more)
        yield browser
        browser.close()


def filmed_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """For pytest.fixture: with a calm camera."""
    with browsing(write_calm(tmp_path_factory.mktemp("film") / "camera.y4m")) as browser:
        yield browser


def painted_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, FastAPI]]:
    """For pytest.fixture: a server whose view i is painted red with 10 x i, so that pixels tell the angle. What is live there may
    be handed over to another server on this machine."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("painted"), port=0, handover_hosts=("127.0.0.0/8",))
    with served(settings, painted_services) as running:
        yield running


@cache
def pictures() -> list[np.ndarray]:
    """[H, W, 3] uint8 RGB each: the puppet, as it talks and turns. Seven files of tests film it: drawn once."""
    puppet = Puppet()
    return [puppet.frame(index / 25).pixels for index in range(FILMED_PICTURES)]


def write_film(path: Path, codec: str, form: str, pixels: str, rate: int = 25) -> Path:
    """The pictures as a file: "mjpeg" for the fake camera, "libx264" as people have it."""
    shown = pictures()
    with av.open(str(path), "w", format=form) as film:
        stream = film.add_stream(codec, rate=Fraction(rate))
        assert isinstance(stream, av.VideoStream)
        stream.pix_fmt = pixels
        stream.height, stream.width = (side // 2 * 2 for side in shown[0].shape[:2])
        for picture in shown:
            even = np.ascontiguousarray(picture[: stream.height, : stream.width])
            film.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24").reformat(format=pixels)))
        film.mux(stream.encode(None))
    return path


def write_calm(path: Path) -> Path:
    """For the fake camera, five pictures a second (it takes the rate from no other kind of file): where tests look at pages
    and not at speed, two cores need not draw, encode and decode more."""
    return write_film(path, "wrapped_avframe", "yuv4mpegpipe", "yuv420p", rate=5)


@contextmanager
def served(
    settings: Settings, services: Callable[[Settings], Services] = open_services
) -> Iterator[tuple[str, FastAPI]]:
    """(address, app) of a warm server in a thread of its own."""
    app = create_app(settings, services)
    server = uvicorn.Server(connections.config(app, "127.0.0.1", settings.port))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), name="the server")
    thread.start()
    pause = threading.Event()
    try:
        while app.state.lobby is None and app.state.failure is None and thread.is_alive():
            pause.wait(0.05)
        assert app.state.lobby is not None, app.state.failure
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/", app
    finally:
        server.should_exit = True
        thread.join()


def start(page: Page, channel: str) -> None:
    """Begin a call from the caller's page."""
    page.get_by_role("textbox", name="Channel").fill(channel)
    page.get_by_role("button", name="Start", exact=True).click()


def go_live(page: Page, channel: str) -> None:
    start(page, channel)
    expect(page.locator("#stage")).to_have_attribute("data-state", "live")


def glass(page: Page) -> np.ndarray:
    """[H, W, 3] uint8: what is seen on the glass."""
    return np.asarray(Image.open(io.BytesIO(page.locator(".glass").screenshot())).convert("RGB"))


_visiting: list[BrowserContext] = []


def leave(staying: int = 0) -> int:
    """Close the pages of all visits but the first `staying`: one that stays films, codes and draws beside every test that follows.
    How many are there now."""
    while len(_visiting) > staying:
        context = _visiting.pop()
        if context.browser is not None and context.browser.is_connected():
            context.close()
    return len(_visiting)


class Visit:
    """One person's pages. Remembers what the browser complained of, and every host that was asked for anything.

    This person wants no motion that nobody asked for, unless `options` say otherwise: an angle that sways by itself, drawn by the
    processor, takes half of what a page takes (0.3 of 0.6 cores).
    """

    def __init__(self, browser: Browser, script: str = "", **options: object) -> None:
        size: ViewportSize = {"width": 1280, "height": 860}
        calm = {"reduced_motion": "reduce", **options}
        sized = calm if "no_viewport" in options else {"viewport": size, **calm}
        self.context: BrowserContext = browser.new_context(**sized)  # type: ignore[arg-type]
        _visiting.append(self.context)
        self.context.set_default_timeout(PLENTY)
        if script:
            self.context.add_init_script(script)
        self.complaints: list[str] = []
        self.hosts: set[str] = set()
        self.context.on("console", self._listen)
        self.context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        self.context.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))

    def open(self, address: str) -> Page:
        page = self.context.new_page()
        page.goto(address)
        return page

    def _listen(self, message: ConsoleMessage) -> None:
        # nobody is live yet: Chromium logs the answer
        if message.type == "error" and "status of 404" not in message.text:
            self.complaints.append(message.text)
