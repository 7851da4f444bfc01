"""People: members of a call by its own pages, each in a headless Chromium of its own that stays on the disk, with a tone as its voice."""

from __future__ import annotations

import wave
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

from benchmarks.live import browsers, chirp

TONES = {"Ana": 440.0, "Bo": 660.0}
"Hertz."
LONGEST = 90_000.0
"Milliseconds that anything may take to come about."
PICTURES = "try { localStorage.setItem('telequilt-drawn', 'pictures'); } catch {}"
"What is counted is numbers in pictures; a member that draws the other itself gets none."
RAW = """
const given = MediaDevices.prototype.getUserMedia;
const raw = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
MediaDevices.prototype.getUserMedia = function (wanted) {
  return given.call(this, wanted.audio ? { ...wanted, audio: { ...wanted.audio, ...raw } } : wanted);
};
"""
"A tone is noise to what makes voices clear."
LINES = """
globalThis.lines = [];
globalThis.RTCPeerConnection = class extends RTCPeerConnection {
  constructor(...how) { super(...how); lines.push(this); }
};
"""
"A page's connections, for what the browser tells of them."


class Call:
    """One call, by its host's link."""

    def __init__(self, port: int) -> None:
        self.port, self.base = port, f"http://127.0.0.1:{port}"
        made = httpx.post(f"{self.base}/api/calls", json={"title": "measured"}, trust_env=False).json()
        self.name, self.host = made["call"], f"{self.base}/{made['host']['link']}"
        self._by = {"Authorization": f"Bearer {made['host']['token']}"}

    def invite(self, name: str) -> str:
        url = f"{self.base}/api/calls/{self.name}/invitations"
        return f"{self.base}/{httpx.post(url, json={'name': name}, headers=self._by, trust_env=False).json()['link']}"

    def seats(self) -> list[dict[str, Any]]:
        return httpx.get(f"{self.base}/api/calls/{self.name}", headers=self._by, trust_env=False).json()["seats"]


class People:
    """Two browsers with pictures and a tone each."""

    def __init__(self, playwright: Any, folder: Path, film: Path) -> None:
        """`film`: what both cameras show."""
        self.chromium, self.folder, self.film = playwright.chromium, folder, film

    def come(self, name: str, link: str) -> tuple[Any, Any]:
        """(context, page) of one who opens `link`; by a profile that stays on the disk."""
        sound = _tone(self.folder / f"{name}.wav", TONES[name])
        how = browsers.flags(self.film, sound)
        context = self.chromium.launch_persistent_context(self.folder / name, bypass_csp=True, **how)
        context.set_default_timeout(LONGEST)
        context.add_init_script(RAW)
        context.add_init_script(PICTURES)
        context.add_init_script(LINES)
        page = context.new_page()
        page.goto(link)
        return context, page

    def kill(self, name: str) -> None:
        own = f"--user-data-dir={self.folder / name}"
        found = [one for one in psutil.process_iter(["cmdline"]) if own in (one.info["cmdline"] or ())]
        for process in [*found, *(child for one in found for child in one.children(recursive=True))]:
            with suppress(psutil.NoSuchProcess):
                process.kill()


def _tone(path: Path, frequency: float) -> Path:
    wave_of = 8000 * np.sin(2 * np.pi * frequency * np.arange(chirp.RATE) / chirp.RATE)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, chirp.RATE, 0, "NONE", ""))
        file.writeframes(wave_of.astype("<i2").tobytes())
    return path


def join(page: Any, name: str) -> None:
    page.wait_for_selector("#mirror[data-on=true]")
    page.get_by_role("textbox", name="Your name").fill(name)
    page.locator("#agree").check()
    page.get_by_role("button", name="Join the call").click()


def sees(page: Any) -> None:
    """Wait until the other is seen there. Raises RuntimeError with what the page says instead."""
    from playwright.sync_api import TimeoutError as TooLate

    try:
        page.wait_for_selector("#places .place[data-state=live]")
    except TooLate:
        raise RuntimeError(f"nobody is seen; the page says: {page.inner_text('main')!r}") from None
