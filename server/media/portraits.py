"""Portraits: a photo file's bytes as pixels, or a refusal that says why. Knows nothing of HTTP or of faces.

A photo is decoded by photo_decoder.py in a process of its own: decoders of images are old C code, some of whose inputs take
hours or gigabytes, and a thread cannot be stopped.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import struct
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType

import numpy as np

from pipeline.frame import Frame

MOST_PIXELS = 64_000_000
"A 40-megapixel photo is ordinary by now; whoever sends much more is not sending a portrait."
WALL_SECONDS = 30.0
"After this a decoder is killed, however little of the machine it got."
_ROOT = Path(__file__).parents[2]
_REFUSED = 3


class PortraitUnreadable(ValueError):
    """The caller's file is not a photo that can be decoded. `reason` is a stable word for programs."""

    def __init__(self, reason: str, message: str, limit: int | None = None) -> None:
        super().__init__(message)
        self.reason, self.limit = reason, limit


def from_file(path: Path) -> Frame:
    """The photo at `path`, upright. Raises PortraitUnreadable, or OSError where there is no such file."""
    return Frame(decode(path.read_bytes()), captured=0.0)


def decode(data: bytes, most_pixels: int = MOST_PIXELS) -> np.ndarray:
    """[H, W, 3] uint8 RGB, upright, at most 2048 wide or high; nothing else of the file survives. Raises PortraitUnreadable."""
    with Decoding(data, most_pixels) as decoding:
        return decoding.result()


class Decoding:
    """One photo that is decoded. Leaving the `with` kills what still runs, from whichever thread."""

    def __init__(self, data: bytes, most_pixels: int = MOST_PIXELS) -> None:
        self._data, self._most_pixels = data, most_pixels
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False
        self._starting = threading.Lock()

    def result(self) -> np.ndarray:
        """[H, W, 3] uint8 RGB. Waits for it, WALL_SECONDS at most. Raises PortraitUnreadable."""
        process = self._started()
        try:
            answer, _ = process.communicate(self._data, WALL_SECONDS)
        except subprocess.TimeoutExpired:
            raise _too_complex() from None
        finally:
            process.kill()
            ended = process.wait()
        if ended == 0:
            width, height = struct.unpack_from("<II", answer)
            return np.frombuffer(answer, np.uint8, offset=8).reshape(height, width, 3)
        if ended == _REFUSED:
            refused = json.loads(answer)
            raise PortraitUnreadable(refused["reason"], refused["message"], refused["limit"])
        if ended in (-signal.SIGXCPU, -signal.SIGKILL):
            raise _too_complex()
        raise PortraitUnreadable("damaged", "this image is damaged: its decoder broke off; save or send it again")

    @property
    def sha256(self) -> str:
        """Of the file's bytes, in hexadecimal."""
        return hashlib.sha256(self._data).hexdigest()

    def stop(self) -> None:
        """Kill the decoder, if it still runs; `result` then ends at once."""
        with self._starting:
            self._stopped = True
            if self._process is not None:
                self._process.kill()

    def _started(self) -> subprocess.Popen[bytes]:
        with self._starting:
            if self._stopped:
                raise _too_complex()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "server.media.photo_decoder", str(self._most_pixels)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd="/",  # nothing that lies where we were started is imported
                env=_environment(),
                start_new_session=True,  # Ctrl-C is ours to pass on
            )
            return self._process

    def __enter__(self) -> Decoding:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _environment() -> dict[str, str]:
    """Ours without our secrets."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TELEQUILT_")}
    path = os.pathsep.join([str(_ROOT), *(part for part in sys.path if part)])
    return kept | {"PYTHONPATH": path, "MALLOC_ARENA_MAX": "1"}


def _too_complex() -> PortraitUnreadable:
    return PortraitUnreadable("too_complex", "this image takes too long to decode; save it anew as JPEG")
