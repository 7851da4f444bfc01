"""Easel: the pages' own painter in a Chromium without a server: from an asset's and a record's bytes to pixels, for tests."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Browser, Page, Route

PAGES = Path(__file__).parents[1] / "server" / "pages"
SITE = "http://easel.test/"
KINDS = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
BEGIN = """
async () => {
  const [{ figureOf }, { opened, unpacked }, { Painter }] = await Promise.all(
    ["figure", "motion", "painter"].map((name) => import(`/geometry/${name}.js`)));
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;
  const text = (pixels) => {
    let all = "";
    for (let at = 0; at < pixels.length; at += 32768) all += String.fromCharCode(...pixels.subarray(at, at + 32768));
    return btoa(all);
  };
  const canvas = document.createElement("canvas");
  const gl = canvas.getContext("webgl2", { alpha: true, antialias: false, depth: false, preserveDrawingBuffer: true });
  const painter = new Painter(gl);
  const read = (width, height) => {
    const pixels = new Uint8Array(4 * width * height);
    gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
    if (gl.getError()) throw new Error("WebGL error");
    return text(pixels);
  };
  let figure = null;
  Object.assign(window, {
    async enrol(asset) {
      figure = await figureOf(bytes(asset));
      painter.follow({ figure, generation: 0, before: figure.atRest(), after: figure.atRest() });
    },
    async pose(record) {
      const sealed = opened(bytes(record), figure.counts);
      const pose = figure.posed(await unpacked(sealed, figure.counts));
      painter.pose(pose, pose);
      return text(new Uint8Array(pose.buffer));
    },
    drawn(size, views, aspect) {
      Object.assign(canvas, { width: size[0], height: size[1] });
      painter.paint(views, aspect, 1);
      return read(...size);
    },
  });
}
"""


def served(route: Route) -> None:
    """The pages' files, as the server has them below /pages/."""
    path = PAGES / route.request.url.removeprefix(SITE)
    if path.is_file():
        route.fulfill(path=path, content_type=KINDS.get(path.suffix, "application/octet-stream"))
    else:
        route.fulfill(body="<!doctype html><title>Easel</title>", content_type="text/html")


class Easel:
    """One avatar at a time, drawn from its asset."""

    def __init__(self, browser: Browser) -> None:
        self.page: Page = browser.new_page()
        self.page.route(f"{SITE}**", served)
        self.page.goto(SITE)
        self.page.evaluate(BEGIN)

    def enrol(self, asset: bytes) -> None:
        self.page.evaluate("(asset) => enrol(asset)", base64.b64encode(asset).decode())

    def pose(self, record: bytes) -> np.ndarray:
        """[N, 4] float32: where the page has every vertex, and its light."""
        told = self.page.evaluate("(record) => pose(record)", base64.b64encode(record).decode())
        return np.frombuffer(base64.b64decode(told), np.float32).reshape(-1, 4)

    def draw(self, yaws: list[float], width: int, height: int, aspect: float | None = None) -> np.ndarray:
        """[V, height, width, 3] uint8: the views from `yaws` (degrees), side by side on one canvas."""
        views = [
            {"left": at * width, "bottom": 0, "width": width, "height": height, "yaw": float(np.radians(yaw))}
            for at, yaw in enumerate(yaws)
        ]
        given: list[Any] = [[width * len(yaws), height], views, aspect or width / height]
        told = self.page.evaluate("(given) => drawn(...given)", given)
        pixels = np.frombuffer(base64.b64decode(told), np.uint8).reshape(height, len(yaws), width, 4)
        return np.ascontiguousarray(pixels[::-1, :, :, :3].transpose(1, 0, 2, 3))
