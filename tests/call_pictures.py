"""Pictures of a call for docs/: the green room, two people, and the same on a phone. The puppet drives both; one of them has no page.

Run `python -m tests.call_pictures` on an otherwise idle machine.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
from PIL import Image
from playwright.sync_api import Page, ViewportSize, expect

from server.settings import Settings
from tests.browsing import AS_IT_IS, PLENTY, Visit, browsing, served

DOCS = Path(__file__).parents[1] / "docs"
DESK: ViewportSize = {"width": 1280, "height": 800}
PHONE: ViewportSize = {"width": 390, "height": 780}
SETTLING = 6_000
"Milliseconds until detail, angle and words have come to rest."


def take(page: Page, name: str) -> None:
    """With seven bits a channel: what PNG cannot compress is the last one."""
    shot = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
    Image.fromarray(shot & 0xFE).save(DOCS / name, optimize=True)


def ready(page: Page, name: str) -> Page:
    """In the green room, with everything said."""
    page.locator("#camera-choice").select_option("puppet")
    expect(page.locator("#mirror")).to_have_attribute("data-kind", "puppet")
    expect(page.locator("#mirror")).to_have_attribute("data-on", "true")
    page.get_by_role("textbox", name="Your name").fill(name)
    page.locator("#agree").check()
    page.locator("#chosen").wait_for()
    page.wait_for_timeout(SETTLING)
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    return page


def joined(page: Page) -> Page:
    page.locator("#join").click()
    expect(page.locator("body")).to_have_attribute("data-at", "call")
    return page


@contextmanager
def member(link: str) -> Iterator[None]:
    """A scripted one, who is shown and heard and watches nobody: a second page would take what one machine has for pictures."""
    joining = [sys.executable, "-m", "server", "puppet", "--call", link, "--name", "Ana"]
    process = subprocess.Popen(joining, cwd=DOCS.parent, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def pictures(address: str, one: Visit) -> None:
    made = httpx.post(f"{address}api/calls", json={"title": "Sunday tea"}).json()
    hosts = {"Authorization": f"Bearer {made['host']['token']}"}
    wanted = {"name": "Ana"}
    invitation = httpx.post(f"{address}api/calls/{made['call']}/invitations", json=wanted, headers=hosts).json()
    bo = ready(one.open(address + made["host"]["link"]), "Bo")
    take(bo, "green_room.png")
    joined(bo)
    with member(address + invitation["link"]):
        expect(bo.locator(".place")).to_have_attribute("data-state", "live")
        bo.mouse.move(760, 400)
        bo.wait_for_timeout(2 * SETTLING)
        take(bo, "call.png")
        bo.set_viewport_size(PHONE)
        bo.wait_for_timeout(SETTLING)
        take(bo, "call_phone.png")


def humming(folder: Path) -> list[str]:
    """Flags for a microphone that hears somebody hum."""
    rate = 48_000
    times = np.arange(rate) / rate
    hum = 0.3 * np.sin(2 * np.pi * 200 * times) * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * times))
    with wave.open(str(folder / "hum.wav"), "wb") as file:
        file.setparams((1, 2, rate, rate, "NONE", ""))
        file.writeframes((hum * 32767).astype("<i2").tobytes())
    fake = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    return [*fake, f"--use-file-for-fake-audio-capture={folder / 'hum.wav'}"]


def main() -> None:
    expect.set_options(timeout=PLENTY)
    with (
        tempfile.TemporaryDirectory() as data,
        served(Settings(data_dir=Path(data), port=0, adapt=False)) as (address, _),
        browsing(None, *humming(Path(data))) as browser,
    ):
        pictures(address, Visit(browser, AS_IT_IS, viewport=DESK))


if __name__ == "__main__":
    main()
