"""What becomes of test files on a machine that has torch, numpy and pytest only, as GPUs are lent out."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FILES = {
    "test_lacking.py": "import no_such_package.part\n",
    "test_ours.py": "import display.no_such_file\n",
    "test_broken.py": "1 / 0\n",
    "test_fine.py": "def test_fine(): pass\n",
}


@pytest.mark.parametrize(("bare", "counts"), [(True, "1 passed, 1 skipped, 2 errors"), (False, "1 passed, 3 errors")])
def test_files_that_need_more_are_skipped_on_a_bare_machine_and_errors_elsewhere(
    tmp_path: Path, bare: bool, counts: str
):
    if not bare:
        pytest.importorskip("aiortc", reason="this machine is a bare one")
    shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    hidden = "sys.modules['aiortc'] = None; " if bare else ""
    program = f"import sys; {hidden}import pytest; pytest.main(['-q', '-ra', '--continue-on-collection-errors', '--rootdir=.'])"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert counts in done.stdout, done.stdout + done.stderr
    assert ("no_such_package is not installed" in done.stdout) == bare
