"""What MediaPipe chatters is left out, and what anybody else says meanwhile comes through at once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pipeline.preprocess.quiet import without_chatter

CHATTER = (
    b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n"
    b"W0000 00:00:1 1 inference_feedback_manager.cc:114] Feedback manager requires a model with a single signature\n"
)


@contextmanager
def terminal() -> Iterator[int]:
    """The reading end of a pipe that stands in for the terminal on fd 2."""
    real, (reading, writing) = os.dup(2), os.pipe()
    os.dup2(writing, 2)
    os.close(writing)
    os.set_blocking(reading, False)
    try:
        yield reading
    finally:
        os.dup2(real, 2)
        os.close(real)
        os.close(reading)


def shown(reading: int, wanted: bytes, seconds: float = 10.0) -> bytes:
    """What came, once it ends with `wanted`."""
    seen, deadline = b"", time.monotonic() + seconds
    while not seen.endswith(wanted):
        assert time.monotonic() < deadline, seen
        try:
            seen += os.read(reading, 1 << 16)
        except BlockingIOError:
            time.sleep(0.002)
    return seen


def test_others_lines_come_at_once_and_chatter_never():
    with terminal() as reading:
        with without_chatter():
            os.write(2, CHATTER + b"somebody's warning\n")
            assert shown(reading, b"warning\n") == b"somebody's warning\n"
            os.write(2, b"half a line")
        os.write(2, b" and its rest\n")
        assert shown(reading, b"rest\n") == b"half a line and its rest\n"


def test_everything_is_out_when_it_ends_and_nothing_is_left_open():
    with terminal() as reading:
        before = len(os.listdir("/proc/self/fd"))
        for number in range(20):
            with without_chatter():
                os.write(2, CHATTER + b"%d\n" % number)
        assert shown(reading, b"19\n") == b"".join(b"%d\n" % number for number in range(20))
        deadline = time.monotonic() + 10
        while len(os.listdir("/proc/self/fd")) > before + 2:
            assert time.monotonic() < deadline
            time.sleep(0.002)


def test_a_process_started_meanwhile_keeps_its_stderr():
    with terminal() as reading:
        said = "import sys, time; time.sleep(0.3); sys.stderr.write('still here\\n')"
        with without_chatter():
            child = subprocess.Popen([sys.executable, "-c", said])
        assert child.wait(20) == 0
        assert shown(reading, b"here\n") == b"still here\n"


def test_an_error_inside_leaves_the_terminal_as_it_was():
    with terminal() as reading:
        with pytest.raises(ValueError, match="no model"), without_chatter():
            raise ValueError("no model")
        os.write(2, b"said\n")
        assert shown(reading, b"said\n") == b"said\n"
