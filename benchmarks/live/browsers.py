"""Browsers: headless Chromiums whose camera and microphone play files, and scripts that measure within their pages."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from benchmarks.live import barcode

CODE = {
    "bits": barcode.BITS,
    "checkBits": barcode.CHECK_BITS,
    "block": barcode.BLOCK,
    "dark": barcode.DARK,
    "light": barcode.LIGHT,
}
"How numbers are drawn, for witness.js."


def flags(film: Path, sound: Path | None = None) -> dict[str, Any]:
    """How Playwright starts such a browser."""
    arguments = [
        "--no-sandbox",
        "--disable-gpu",
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={film}",
        "--autoplay-policy=no-user-gesture-required",
        "--disable-features=WebRtcHideLocalIpsWithMdns",
        "--disable-background-networking",
    ]
    if sound is not None:
        arguments.append(f"--use-file-for-fake-audio-capture={sound}")
    return {"executable_path": shutil.which("chromium"), "headless": True, "args": arguments}


def script(name: str) -> str:
    """A function of one object, for Playwright's evaluate(): what the file `name` beside this one holds, with senses() in reach."""
    here = Path(__file__).parent
    witness, body = ((here / one).read_text() for one in ("witness.js", name))
    function = body[body.index("async (") :].rstrip().rstrip(";")
    return f"(given) => {{ {witness}\nreturn ({function})(given); }}"
