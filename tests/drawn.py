"""Drawn: what the viewer's page draws on a Looking Glass, and whether it draws at all, for tests of hologram mode."""

from __future__ import annotations

import base64

import numpy as np
from playwright.sync_api import Page, expect

from display.lenticular import Tiling
from display.screen import screen

TILING = Tiling.of(screen("telequilt"), parallel=True)
"Of the relief engine's quilts."
WATCHED = """
window.drawn = 0;
window.kept = null;
window.keeps = false;
const draw = WebGL2RenderingContext.prototype.drawArrays;
WebGL2RenderingContext.prototype.drawArrays = function (...how) {
  draw.apply(this, how);
  if (this.canvas.className !== "panel") return;
  window.drawn += 1;
  if (!window.keeps) return;
  const read = (width, height) => {
    const pixels = new Uint8Array(4 * width * height);
    this.readPixels(0, 0, width, height, this.RGBA, this.UNSIGNED_BYTE, pixels);
    return pixels;
  };
  const panel = read(this.canvas.width, this.canvas.height);
  const frame = this.createFramebuffer();
  this.bindFramebuffer(this.FRAMEBUFFER, frame);
  this.framebufferTexture2D(this.FRAMEBUFFER, this.COLOR_ATTACHMENT0, this.TEXTURE_2D, this.getParameter(this.TEXTURE_BINDING_2D), 0);
  const { videoWidth, videoHeight } = document.querySelector("video");
  window.kept = { panel, quilt: read(videoWidth, videoHeight), size: [videoWidth, videoHeight] };
  this.bindFramebuffer(this.FRAMEBUFFER, null);
  this.deleteFramebuffer(frame);
};
window.asked = [];
Element.prototype.requestFullscreen = async (options) => window.asked.push(options?.screen?.label ?? "here");
"""
KEPT = """async () => {
  const told = (pixels) => new Promise((done) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result.split(",")[1]);
    reader.readAsDataURL(new Blob([pixels]));
  });
  return [await told(kept.panel), await told(kept.quilt), kept.size];
}"""


def expect_right(page: Page) -> None:
    """The panel is drawn, again and again."""
    expect(page.locator("body")).to_have_attribute("data-glass", "right")
    before = page.evaluate("drawn")
    page.wait_for_function("(before) => drawn > before + 2", arg=before)
    expect(page.locator(".panel")).to_be_visible()


def expect_wrong(page: Page, words: str) -> None:
    """It says what is wrong, and draws nothing."""
    expect(page.locator("#glass-faults")).to_contain_text(words)
    expect(page.locator("body")).to_have_attribute("data-glass", "wrong")
    expect(page.locator(".panel")).to_be_hidden()
    before = page.evaluate("drawn")
    page.wait_for_timeout(300)
    assert page.evaluate("drawn") == before


def frozen(page: Page, tiling: Tiling = TILING) -> tuple[np.ndarray, np.ndarray]:
    """The newest quilt, of that `tiling`, as the browser decoded it [H, W, 4], and the panel's picture [480, 640, 3]; both uint8.

    Draws no more.
    """
    page.evaluate("document.querySelector('video').play()")
    page.evaluate("kept = null, keeps = true")
    page.wait_for_function("() => kept !== null")
    page.evaluate("document.querySelector('video').pause()")
    page.wait_for_timeout(500)
    panel, quilt, (width, height) = page.evaluate(KEPT)
    assert (width, height) == (tiling.width, tiling.height)
    drawn = np.frombuffer(base64.b64decode(panel), np.uint8).reshape(480, 640, 4)[::-1, :, :3]
    return np.frombuffer(base64.b64decode(quilt), np.uint8).reshape(height, width, 4), drawn
