"""Foreign page: npm's whip-whep in a page of another origin than ours, fetched when needed and kept outside the repository."""

from __future__ import annotations

import tarfile
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests import npm
from tests.browsing import FLAGS, chromium

if TYPE_CHECKING:
    from playwright.async_api import Browser

PACKAGE, VERSION = "whip-whep", "1.2.0"
PACKAGE_SHA256 = "f032b2b2015da76268d3f4a0450af2cf24ae984c6bf7cc5bfd494763cefaf786"


def package() -> tarfile.TarFile:
    """whip-whep as its author published it."""
    return npm.package(PACKAGE, VERSION, PACKAGE_SHA256)


class Site:
    """A web site of its own origin: path -> content type and content."""

    def __init__(self) -> None:
        self.files: dict[str, tuple[str, bytes]] = {}
        site = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                kind, body = site.files.get(self.path, ("text/plain", b""))
                self.send_response(200 if body else 404)
                self.send_header("Content-Type", kind)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.origin = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def put_page(self) -> None:
        """Our page and the package it uses."""
        self.files["/"] = "text/html", Path(__file__).with_suffix(".html").read_bytes()
        with package() as archive:
            for module in ("whip.js", "whep.js"):
                found = archive.extractfile(f"package/{module}")
                assert found is not None, module
                self.files[f"/{module}"] = "text/javascript", found.read()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Tab:
    """A page of the site, what the server answered it, and what went wrong in it."""

    def __init__(self, page: Any, server: str) -> None:
        self.page, self.server = page, server
        self.answers: dict[str, set[int]] = {}
        "Method -> statuses."
        self.errors: list[str] = []
        page.on("response", self._note)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _note(self, answer: Any) -> None:
        if answer.url.startswith(self.server):
            self.answers.setdefault(answer.request.method, set()).add(answer.status)


@asynccontextmanager
async def filming(film: Path) -> AsyncIterator[Browser]:
    """Chromium with a camera that shows `film`."""
    from playwright.async_api import async_playwright

    camera = [
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={film}",
    ]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=[*FLAGS, *camera])
        yield browser
        await browser.close()


@asynccontextmanager
async def tab(browser: Browser, site: Site, server: str) -> AsyncIterator[Tab]:
    """The site's page in a visit of its own."""
    visit = await browser.new_context()
    opened = Tab(await visit.new_page(), server)
    await opened.page.goto(site.origin)
    yield opened
    await visit.close()
