"""Pages: the files that browsers open, what they are told beside them, and what somebody sees whose address leads nowhere."""

from __future__ import annotations

from html import escape
from pathlib import Path
from string import Template

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse, PlainTextResponse
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from display import bridge_wire, lenticular
from server.problems import Problem
from server.routes.access import GUARDED
from server.routes.signalling import Channel

PAGES = Path(__file__).parents[1] / "pages"
CONTENT = (
    # Nothing from outside, ever; blob: is for snapshots and clips that the person at the page chose.
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PAGE_HEADERS = {
    "Content-Security-Policy": CONTENT,
    "Permissions-Policy": "camera=(self), microphone=(self), gyroscope=(self), accelerometer=(self)",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}

VIEWER_HEADERS = PAGE_HEADERS | {
    # and Looking Glass Bridge on the viewer's own PC, asked for its display once somebody chooses that mode
    "Content-Security-Policy": CONTENT.replace("connect-src 'self'", f"connect-src 'self' {bridge_wire.ADDRESS}")
}

NOTHING = (
    "There is nothing at this address",
    "This is a Telequilt server, and it has no page here. A link to a call begins with /call/, one to a hologram with /view/. "
    "If somebody sent you yours, it may have been cut short on the way: ask for it again.",
)
OURS = (
    "Something broke here",
    "That was our fault and not yours. Load this page again in a moment; the server's log has the cause.",
)
WORDS = {400: NOTHING, 404: NOTHING, 500: OURS}
"Of a page's address alone: a name of another form than names have (400), none such (404). Programs' routes answer as programs expect."


class _Pages(StaticFiles):
    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(PAGE_HEADERS)
        return response


def refusal(request: Request, problem: Problem) -> Response | None:
    """What a person sees of `problem`; None where a program asked, which is told it as problem+json."""
    opened = request.method in ("GET", "HEAD") and "text/html" in request.headers.get("accept", "")
    if not opened or problem.status not in WORDS or request.url.path.startswith(GUARDED):
        return None
    title, words = WORDS[problem.status]
    path = request.scope.get("raw_path") or request.url.path.encode()
    root = "../" * (path.count(b"/") - 1) or "./"  # a proxy may have put all of it below a path
    page = Template((PAGES / "refusal" / "refusal.html").read_text())
    content = page.substitute(root=root, title=escape(title), words=escape(words), status=problem.status)
    return HTMLResponse(content, problem.status, PAGE_HEADERS | {"Cache-Control": "no-store", "Vary": "Accept"})


def add(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    async def caller_page() -> FileResponse:
        return FileResponse(PAGES / "caller" / "caller.html", headers=PAGE_HEADERS)

    @app.get("/call/{call}", include_in_schema=False)
    async def call_page(call: str) -> FileResponse:
        return FileResponse(PAGES / "call" / "call.html", headers=PAGE_HEADERS)

    @app.get("/verify", include_in_schema=False)
    async def verify_page() -> FileResponse:
        return FileResponse(PAGES / "verify" / "verify.html", headers=PAGE_HEADERS)

    @app.get("/view/{channel}", include_in_schema=False)
    async def viewer_page(channel: Channel) -> FileResponse:
        return FileResponse(PAGES / "viewer" / "viewer.html", headers=VIEWER_HEADERS)

    @app.get("/pages/viewer/lenticular.vert", include_in_schema=False)
    async def vertex_shader() -> PlainTextResponse:
        return PlainTextResponse(lenticular.vertex_source("300 es"), headers=PAGE_HEADERS)

    @app.get("/pages/viewer/lenticular.frag", include_in_schema=False)
    async def fragment_shader() -> PlainTextResponse:
        return PlainTextResponse(lenticular.fragment_source("300 es"), headers=PAGE_HEADERS)

    app.mount("/pages", _Pages(directory=PAGES, check_dir=False))
