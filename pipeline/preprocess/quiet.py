"""Quiet: keeps MediaPipe's start-up chatter off the terminal and lets everything else through."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_HARMLESS = re.compile(
    rb"^(INFO: Created TensorFlow Lite XNNPACK delegate"
    rb"|WARNING: All log messages before absl::InitializeLog"
    rb"|[IW]\d{4} .*(inference_feedback_manager|landmark_projection_calculator|gl_context|face_landmarker_graph))"
)
_ONE_AT_A_TIME = threading.Lock()


@contextmanager
def without_chatter() -> Iterator[None]:
    """Holds back what C++ writes to the process's stderr meanwhile; afterwards all but known harmless lines appear.

    The messages come before any log level can be set from Python (measured: GLOG_minloglevel=2 leaves them).
    """
    with _ONE_AT_A_TIME, tempfile.TemporaryFile() as held:
        sys.stderr.flush()
        real = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(real, 2)
            held.seek(0)
            kept = b"".join(line for line in held if not _HARMLESS.match(line))
            if kept:
                os.write(real, kept)
            os.close(real)
