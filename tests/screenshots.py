"""Screenshots: takes the pictures of both pages for docs/, with the puppet driving the public-domain sample avatar.

Run `python -m tests.screenshots` on an otherwise idle machine: the figures in the picture are the machine's own.
"""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from server.settings import Settings
from tests.browsing import PLENTY, Visit, launch, served

ADDRESS = "http://localhost:8000/"
DOCS = Path(__file__).parents[1] / "docs"
SETTLING = 8_000
"Milliseconds until the figures of a call that has just begun are those of a running one."

SMILE = 4.6
"Seconds into the puppet's script, less what the way to the viewer takes."


def take(page: Page, name: str, driver: Page) -> None:
    """docs/`name` at the script's broadest smile, with seven bits a channel: what PNG cannot compress is the last one."""
    while abs(driver.evaluate("document.getElementById('driver-video').currentTime") - SMILE) > 0.08:
        driver.wait_for_timeout(20)
    shot = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
    Image.fromarray(shot & 0xFE).save(DOCS / name, optimize=True)


def main() -> None:
    expect.set_options(timeout=PLENTY)
    with (
        tempfile.TemporaryDirectory() as data,
        served(Settings(data_dir=Path(data), port=8000)),
        sync_playwright() as playwright,
    ):
        visit = Visit(launch(playwright, film=None))
        page = visit.open(ADDRESS)
        page.set_viewport_size({"width": 1360, "height": 860})
        expect(page.get_by_role("radio", name="Grace Hopper")).to_be_checked()
        page.get_by_role("textbox", name="Channel").fill("ruby-wren-42")
        page.get_by_role("button", name="Start").click()
        expect(page.locator("#stage")).to_have_attribute("data-state", "live")
        page.mouse.move(1000, 450)
        page.wait_for_timeout(SETTLING)
        page.evaluate("document.activeElement.blur()")
        take(page, "caller.png", page)

        viewer = visit.open(f"{ADDRESS}view/ruby-wren-42")
        viewer.set_viewport_size({"width": 1200, "height": 760})
        expect(viewer.locator("#stage")).to_have_attribute("data-state", "live")
        viewer.mouse.move(800, 380)
        viewer.wait_for_timeout(SETTLING)
        take(viewer, "viewer.png", page)


if __name__ == "__main__":
    main()
