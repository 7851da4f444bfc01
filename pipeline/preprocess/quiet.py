"""Quiet: stderr suppression: keeps MediaPipe's start-up chatter off the terminal and lets the rest through, line by line."""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_HARMLESS = re.compile(
    rb"^(INFO: Created TensorFlow Lite XNNPACK delegate"
    rb"|WARNING: All log messages before absl::InitializeLog"
    rb"|[IW]\d{4} .*(inference_feedback_manager|landmark_projection_calculator|gl_context|face_landmarker_graph))"
)
_ONE_AT_A_TIME = threading.Lock()
_THE_END = b"\x00that was it"
_PATIENCE = 5.0
"Seconds that a terminal which takes nothing may hold up what opens a model."


@contextmanager
def without_chatter() -> Iterator[None]:
    """Leaves known harmless lines out of what is written to the process's stderr meanwhile, by whichever thread or library.

    The messages come before any log level can be set from Python (measured: GLOG_minloglevel=2 leaves them).
    """
    with _ONE_AT_A_TIME:
        sys.stderr.flush()
        real, (reading, writing) = os.dup(2), os.pipe()
        passed = threading.Event()
        threading.Thread(target=_pass_on, args=(reading, real, passed), name="stderr", daemon=True).start()
        os.dup2(writing, 2)
        os.close(writing)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.write(2, _THE_END + b"\n")
            os.dup2(real, 2)
            passed.wait(_PATIENCE)


def _pass_on(reading: int, real: int, passed: threading.Event) -> None:
    """Until nobody writes any more: a process that was started meanwhile still may, long after the end."""
    with open(reading, "rb", buffering=0) as lines, open(real, "wb", buffering=0) as shown:
        rest = b""
        while came := lines.read(1 << 16):
            *whole, rest = (rest + came).split(b"\n")
            for line in whole:
                if line.endswith(_THE_END):
                    shown.write(line.removesuffix(_THE_END))
                    passed.set()
                elif not _HARMLESS.match(line):
                    shown.write(line + b"\n")
        shown.write(rest)
    passed.set()
