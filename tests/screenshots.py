"""Screenshots: takes the pictures for docs/, with the puppet driving the public-domain sample avatar: both pages, the viewer's
modes, and a sweep through the views of a quilt.

Run `python -m tests.screenshots` on an otherwise idle machine: the figures in the picture are the machine's own.
"""

from __future__ import annotations

import io
import json
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, FilePayload, Page, ViewportSize, expect

from display.label import mark
from display.optics import fan
from display.quilt import compose
from display.screen import screen
from engines import catalogue
from pipeline.preprocess.observer import observe_portrait
from pipeline.puppet import blink, mouth, puppet_portrait, scripted
from server.settings import Settings
from tests.browsing import PLENTY, Visit, browsing, go_live, served
from tests.glasses import RECORD, fill_screen

ADDRESS = "http://localhost:8000/"
DOCS = Path(__file__).parents[1] / "docs"
SETTLING = 8_000
"Milliseconds until the figures of a call that has just begun are those of a running one."

WATCHED: ViewportSize = {"width": 1200, "height": 760}
LEFT_OF_GLASS, GLASS = 1360, (570, 760)
"Where the Looking Glass begins on the desktop, and its pixels: few, so that its slices can be seen in a picture."
SCREENS = f"--screen-info={{1360x860 label='Main'}}{{{GLASS[0]}x{GLASS[1]} label='{RECORD['serial']}'}}"

SWEEP_SIZE, SWEEP_RATE, SWEEP_FROM = 400, 15, 1.2
"Pixels, pictures a second, and seconds into the puppet's script."

UNTIMED = "WebGL2RenderingContext.prototype.readPixels = () => undefined;"
"A script for pages that are to draw as where there is a GPU: what is not waited for takes no time."
HALF = 440
"Pixels of each picture's side where two stand beside each other."

SMILE = 4.6
"Seconds into the puppet's script, less what the way to the viewer takes."


def smile(driver: Page) -> None:
    """Until the script's broadest."""
    while abs(driver.evaluate("document.getElementById('driver-video').currentTime") - SMILE) > 0.08:
        driver.wait_for_timeout(20)


def take(page: Page, name: str, driver: Page) -> None:
    """docs/`name` at the script's broadest smile, with seven bits a channel: what PNG cannot compress is the last one."""
    smile(driver)
    shot = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
    Image.fromarray(shot & 0xFE).save(DOCS / name, optimize=True)


def sweep(name: str) -> None:
    """docs/`name`: the puppet seen from one view after another, there and back, as a hologram is by someone walking past."""
    whole = screen("telequilt")
    engine = catalogue.load()
    portrait = observe_portrait(puppet_portrait())
    avatar = engine.enrol(portrait)
    order = [*range(whole.views), *reversed(range(1, whole.views - 1))]
    pictures = []
    for number, view in enumerate(order):
        at = SWEEP_FROM + number / SWEEP_RATE
        one = whole.only(view, SWEEP_SIZE)
        seen = scripted(portrait, mouth=mouth(at), blink=blink(at))
        picture = compose([engine.render(engine.drive(avatar, seen), fan(one))], one, mark(one)).pixels
        pictures.append(Image.fromarray(picture.numpy()[..., :3]))
    pictures[0].save(
        DOCS / name,
        save_all=True,
        append_images=pictures[1:],
        duration=1000 // SWEEP_RATE,
        loop=0,
        quality=72,
        method=6,
    )


def on_air(visit: Visit) -> Page:
    """The caller's page, which the puppet drives."""
    page = visit.open(ADDRESS)
    page.set_viewport_size({"width": 1360, "height": 860})
    expect(page.get_by_role("radio", name="Grace Hopper")).to_be_checked()
    go_live(page, "ruby-wren-42")
    page.mouse.move(1000, 450)
    page.wait_for_timeout(SETTLING)
    page.evaluate("document.activeElement.blur()")
    return page


def watching(visit: Visit, mode: str) -> Page:
    page = visit.open(f"{ADDRESS}view/ruby-wren-42")
    expect(page.locator("#stage")).to_have_attribute("data-state", "live")
    page.get_by_role("radio", name=mode).check(force=True)
    return page


def viewers(visit: Visit, driver: Page) -> None:
    """docs/viewer*.png: the viewer's modes on an ordinary screen, and the way onto a Looking Glass."""
    for mode, name in (("Window", "viewer.png"), ("Quilt", "viewer_quilt.png")):
        page = watching(visit, mode)
        page.set_viewport_size(WATCHED)
        page.mouse.move(800, 380)
        page.wait_for_timeout(SETTLING)
        take(page, name, driver)
        page.close()
    page = watching(visit, "Hologram")
    page.set_viewport_size(WATCHED)
    page.locator("#glass-file").set_input_files(calibration_file())
    expect(page.locator("#glass-faults")).to_contain_text("570 × 760")
    take(page, "viewer_setup.png", driver)
    page.close()


def sharpness(browser: Browser, driver: Page) -> None:
    """docs/viewer_sharpness.png: the middle of the same window once from pictures of 256 pixels, once drawn on the spot."""
    halves = []
    for wish in ("pictures", "here"):
        visit = Visit(browser, f"try {{ localStorage.setItem('telequilt-drawn', '{wish}'); }} catch {{}}" + UNTIMED)
        page = watching(visit, "Window")
        page.set_viewport_size({"width": 1200, "height": 1000})
        expect(page.locator("#stage")).to_have_attribute("data-drawn", "here" if wish == "here" else "server")
        page.mouse.move(760, 380)
        page.wait_for_timeout(SETTLING)
        page.mouse.move(700, 380)
        smile(driver)
        halves.append(np.asarray(Image.open(io.BytesIO(page.locator(".glass").screenshot())).convert("RGB")))
        visit.context.close()
    side = halves[0].shape[1]
    rows, columns = slice(side // 5, side // 5 + HALF), slice((side - HALF) // 2, (side + HALF) // 2)
    Image.fromarray(np.hstack([half[rows, columns] for half in halves]) & 0xFE).save(
        DOCS / "viewer_sharpness.png", optimize=True
    )


def glass(visit: Visit, driver: Page) -> None:
    """docs/viewer_hologram.png: what the page draws on a Looking Glass, here a small one."""
    page = watching(visit, "Hologram")
    page.locator("#glass-file").set_input_files(calibration_file())
    fill_screen(visit, page, LEFT_OF_GLASS)
    expect(page.locator("body")).to_have_attribute("data-glass", "right")
    page.wait_for_timeout(SETTLING)
    take(page, "viewer_hologram.png", driver)
    page.close()


def calibration_file() -> FilePayload:
    record = RECORD | {"screenW": GLASS[0], "screenH": GLASS[1]}
    return {"name": "visual.json", "mimeType": "application/json", "buffer": json.dumps(record).encode()}


def main() -> None:
    sweep("sweep.webp")
    expect.set_options(timeout=PLENTY)
    with (
        tempfile.TemporaryDirectory() as data,
        served(Settings(data_dir=Path(data), port=8000, adapt=False)),
        browsing(None, SCREENS) as browser,
    ):
        visit = Visit(browser)
        page = on_air(visit)
        take(page, "caller.png", page)
        viewers(visit, page)
        sharpness(browser, page)
        glass(Visit(browser, no_viewport=True), page)


if __name__ == "__main__":
    main()
