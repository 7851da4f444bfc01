"""The command line itself: it answers at once, since what a command works with is imported when it runs."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "cv2", "scipy", "numba", "mediapipe", "av", "aiortc", "fastapi", "glfw", "moderngl", "triton")
ASKED = f"""
import sys
from server.__main__ import app
try:
    app(sys.argv[1:])
except SystemExit as ended:
    assert not ended.code, ended.code
print("imported:", *[name for name in {HEAVY} if name in sys.modules])
"""


@pytest.mark.parametrize(
    "words", ["--help", "serve --help", "render --help", "weights list --help", "engines verify --help"]
)
def test_help_imports_nothing_heavy(words: str):
    done = subprocess.run(
        [sys.executable, "-c", ASKED, *words.split()], capture_output=True, text=True, timeout=120, check=True
    )
    assert "Usage:" in done.stdout
    assert done.stdout.splitlines()[-1] == "imported:"
