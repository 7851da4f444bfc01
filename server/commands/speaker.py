"""Speaker: a channel's sound on this machine, which `show` plays beside its picture."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import structlog

from server.media.playout import BLOCK, Playout
from server.tally import Tally
from server.webrtc.audio import Timeline
from server.webrtc.mixer import RATE, Decoder
from server.webrtc.patches.receivers import take_packets

MEND = "install its library: apt-get install libportaudio2 (macOS and Windows bring theirs), pip install 'telequilt[display]'"
_log = structlog.get_logger(__name__)


class Speaker:
    """The server sends sound with the picture of its moment, so it is played as it comes, 20 ms later at most and a block more.

    Packets come in the event loop; the sound card asks for blocks in a thread of its own.
    """

    def __init__(self) -> None:
        self._told = Tally(_log)
        self._lock = threading.Lock()
        self._output: Any = None
        self.played = 0
        "Blocks of somebody's voice."
        self._listen_anew()

    def open(self, tell: Callable[[str], None]) -> None:
        """Begin to play; `tell` is told where this machine has nothing to play with, and how to mend it."""
        try:
            import sounddevice

            self._output = sounddevice.OutputStream(RATE, BLOCK, None, 2, "float32", "low", callback=self._play)
            self._output.start()
        except (ImportError, OSError) as failure:
            tell(f"Without sound ({failure}): {MEND}.")
        except Exception as failure:  # PortAudioError, whose module may not be there
            tell(f"Without sound: this machine has nothing to play it with ({failure}).")

    def close(self) -> None:
        if self._output is not None:
            self._output.close()

    def opened(self, kind: str, receiver: Any) -> None:
        """Play what comes there from now on (client.playing)."""
        if kind == "audio":
            self._listen_anew()
            take_packets(receiver, self._taken)

    def _listen_anew(self) -> None:
        with self._lock:
            self._playout, self._timeline = Playout(Decoder(self._told)), Timeline()

    def _taken(self, packet: Any, data: bytes, codec: Any) -> bool:
        position = self._timeline.place(packet.ssrc, packet.sequence_number, packet.timestamp, time.monotonic())
        if data and position is not None:
            with self._lock:
                self._playout.put(data, position)
        return False

    def _play(self, out: np.ndarray, frames: int, *_: object) -> None:
        with self._lock:
            block = self._playout.take()
        self.played += block is not None
        out[:] = 0.0 if block is None else block[:frames, None]


@contextmanager
def audible(mute: bool, tell: Callable[[str], None]) -> Iterator[Speaker | None]:
    """A speaker while this lasts; none where it is to be quiet."""
    if mute:
        yield None
        return
    speaker = Speaker()
    speaker.open(tell)
    try:
        yield speaker
    finally:
        speaker.close()
