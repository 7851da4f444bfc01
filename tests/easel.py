"""Easel: the pages' own painter in a Chromium without a server: from an asset's and a record's bytes to pixels, for tests."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Browser, Page, Route

from display.calibration import Calibration
from display.lenticular import fragment_source, vertex_source
from display.tiling import Tiling
from tests.glasses import as_record

PAGES = Path(__file__).parents[1] / "server" / "pages"
SITE = "http://easel.test/"
KINDS = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
SHADERS = {"lenticular.vert": vertex_source, "lenticular.frag": fragment_source}
BEGIN = """
async () => {
  const [{ figureOf }, { opened, unpacked }, { Painter }, { Actor }, { Interlacer }, { parse }] = await Promise.all(
    ["geometry/asset", "geometry/motion", "geometry/painter", "geometry/actor", "viewer/lenticular", "viewer/calibration"].map(
      (name) => import(`/${name}.js`)));
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;
  const text = (pixels) => {
    let all = "";
    for (let at = 0; at < pixels.length; at += 32768) all += String.fromCharCode(...pixels.subarray(at, at + 32768));
    return btoa(all);
  };
  const canvas = document.createElement("canvas");
  const gl = canvas.getContext("webgl2", { alpha: true, antialias: false, depth: false, preserveDrawingBuffer: true });
  const painter = new Painter(gl);
  const read = (width, height, gl) => {
    const pixels = new Uint8Array(4 * width * height);
    gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
    if (gl.getError()) throw new Error("WebGL error");
    return text(pixels);
  };
  let figure = null;
  let actor = null;
  const number = (asset) => `"${asset.toString(16).padStart(8, "0")}"`;
  Object.assign(window, {
    async enrol(asset, tag) {
      figure = await figureOf(bytes(asset));
      window.actor = actor = new Actor();
      await actor.enrol(bytes(asset), number(tag));
      actor.begin();
      painter.follow({ figure, generation: 0, before: figure.atRest(), after: figure.atRest() });
    },
    async pose(record) {
      const sealed = opened(bytes(record), figure.counts);
      const pose = figure.posed(await unpacked(sealed, figure.counts));
      painter.pose(pose, pose);
      return text(new Uint8Array(pose.buffer));
    },
    async drawn(size, views, aspect) {
      Object.assign(canvas, { width: size[0], height: size[1] });
      painter.paint(views, aspect, 1);
      while (painter.busy) await new Promise((done) => setTimeout(done, 5));
      painter.paint(views, aspect, 1);
      return read(...size, gl);
    },
    async acted(now, size) {
      Object.assign(canvas, { width: size[0], height: size[1] });
      const view = { left: 0, bottom: 0, width: size[0], height: size[1], yaw: 0 };
      const paint = () => {
        painter.follow(actor);
        painter.paint([view], size[0] / size[1], actor.mixture(now));
      };
      paint();
      while (painter.busy) await new Promise((done) => setTimeout(done, 5));
      paint();
      return read(...size, gl);
    },
    async heard(records) {
      const seen = [];
      for (const [record, now] of records) {
        await actor.hear(bytes(record), now);
        const later = [0, 20, 40].map((passed) => actor.mixture(now + passed));
        seen.push([actor.heard, ...later, text(new Uint8Array(actor.before.buffer))]);
      }
      return seen;
    },
    async ages(records) {
      const clock = { here: (at) => at * 1000 };
      const [ages, waiting] = [[], [...records]];
      for (let now = 500; now < 10000; now += 10) {
        while (waiting.length && waiting[0][1] <= now) {
          const [record, came] = waiting.shift();
          await actor.hear(bytes(record), came);
        }
        ages.push(actor.age(now, clock));
      }
      return ages;
    },
    async native(record, quilt, known) {
      const { nativeTiling, reportedQuilt } = await import("/viewer/native.js");
      return nativeTiling({ calibration: parse(record), quilt: reportedQuilt(quilt) }, known, { fan: 0.6, parallel: true }, 8192);
    },
    async wear() {
      const { Headset } = await import("/geometry/headset.js");
      window.headset = await Headset.worn(actor, "immersive-vr");
    },
    async eyes() {
      const session = device.activeSession;
      const gl = session.renderState.baseLayer.context;
      const { drawingBufferWidth: width, drawingBufferHeight: height } = gl;
      const seen = () => [width, height, read(width, height, gl)];
      return new Promise((done) => session.requestAnimationFrame(() => done(seen()))); // after it was drawn
    },
    async panel(record, tiling) {
      const panel = document.createElement("canvas");
      const interlacer = new Interlacer(panel);
      const calibration = parse(record);
      const gl = panel.getContext("webgl2");
      while (interlacer.trouble(tiling, calibration)) await new Promise((done) => setTimeout(done, 10));
      interlacer.aim(tiling, calibration);
      interlacer.draw(actor, tiling, Infinity);
      while (!interlacer.drawn) await new Promise((done) => setTimeout(done, 5));
      interlacer.draw(actor, tiling, Infinity);
      interlacer.paint();
      return read(calibration.width, calibration.height, gl);
    },
  });
}
"""


def served(route: Route) -> None:
    """The pages' files, as the server has them below /pages/."""
    path = PAGES / route.request.url.removeprefix(SITE)
    if path.name in SHADERS:
        route.fulfill(body=SHADERS[path.name]("300 es"), content_type="text/plain")
    elif path.is_file():
        route.fulfill(path=path, content_type=KINDS.get(path.suffix, "application/octet-stream"))
    else:
        route.fulfill(body="<!doctype html><title>Easel</title>", content_type="text/html")


class Easel:
    """One avatar at a time, drawn from its asset."""

    def __init__(self, browser: Browser, script: str = "") -> None:
        self.page: Page = browser.new_page()
        if script:
            self.page.add_init_script(script)
        self.page.route(f"{SITE}**", served)
        self.page.goto(SITE)
        self.page.evaluate(BEGIN)

    def enrol(self, asset: bytes, number: int) -> None:
        self.page.evaluate("([asset, number]) => enrol(asset, number)", [_text(asset), number])

    def begin(self) -> None:
        """A session begins anew."""
        self.page.evaluate("actor.begin()")

    def pose(self, record: bytes, each: int = 4) -> np.ndarray:
        """[N, each] float32: where the page has every vertex, and its light; or a cloud's numbers, one each."""
        return _poses(self.page.evaluate("(record) => pose(record)", _text(record)), each)

    def hear(
        self, records: list[tuple[bytes, float]], each: int = 4
    ) -> list[tuple[int, tuple[float, float, float], np.ndarray]]:
        """Records that come at a time (ms), one after another. After each: how many were shown, how far it is to the newest
        pose at once, 20 and 40 ms later, and the pose [N, 4] that it comes from."""
        told = self.page.evaluate("(records) => heard(records)", [[_text(record), at] for record, at in records])
        return [(shown, (at_once, later, last), _poses(before, each)) for shown, at_once, later, last, before in told]

    def acted(self, now: float, width: int, height: int) -> np.ndarray:
        """[height, width, 3] uint8: from in front, as what was heard has it at a time (ms)."""
        told = self.page.evaluate("([now, size]) => acted(now, size)", [now, [width, height]])
        return np.frombuffer(base64.b64decode(told), np.uint8).reshape(height, width, 4)[::-1, :, :3]

    def ages(self, records: list[tuple[bytes, float]]) -> list[float]:
        """How old what is shown is (ms) at every 10 ms from half a second to ten seconds, where records come so."""
        return self.page.evaluate("(records) => ages(records)", [[_text(record), at] for record, at in records])

    def native(self, calibration: Calibration, quilt: str, known: list[dict[str, Any]]) -> dict[str, Any]:
        """The tiling of what is drawn for a display that reports `quilt`, where the server knows those kinds."""
        record = json.loads(as_record(calibration)) | {"serial": calibration.serial}
        return self.page.evaluate("(given) => native(...given)", [json.dumps(record), quilt, known])

    def panel(self, calibration: Calibration, tiling: Tiling) -> np.ndarray:
        """[H, W, 3] uint8: a display's panel, as the newest pose is drawn for it."""
        given = {
            "columns": tiling.columns, "rows": tiling.rows, "views": tiling.views, "width": tiling.width, "height": tiling.height,
            "aspect": tiling.aspect, "fan": float(np.radians(tiling.fan_degrees)), "parallel": tiling.parallel,
        }  # fmt: skip
        told = self.page.evaluate("([record, tiling]) => panel(record, tiling)", [as_record(calibration), given])
        pixels = np.frombuffer(base64.b64decode(told), np.uint8)
        return pixels.reshape(calibration.height, calibration.width, 4)[::-1, :, :3]

    def eyes(self) -> np.ndarray:
        """[2, H, W, 3] uint8: what the left and the right eye see in an emulated headset that is worn."""
        width, height, told = self.page.evaluate("eyes()")
        both = np.frombuffer(base64.b64decode(told), np.uint8).reshape(height, 2, width // 2, 4)
        return np.ascontiguousarray(both[::-1, :, :, :3].transpose(1, 0, 2, 3))

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


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _poses(told: str, each: int = 4) -> np.ndarray:
    return np.frombuffer(base64.b64decode(told), np.float32).reshape(-1, each)
