"""npm: packages of others that tests drive, fetched when first needed and kept outside the repository."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn


def modules(package: str, version: str, lacking: Callable[[str], NoReturn]) -> Path:
    """The folder `node_modules` that has `package`. No script of it is run. `lacking` is told what is missing."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = caches / "telequilt-tests" / f"{package}-{version}"
    if not (folder / "node_modules" / package).is_dir():
        npm = shutil.which("npm")
        if npm is None:
            lacking(f"npm, which fetches {package}, is missing: apt-get install npm")
        folder.mkdir(parents=True, exist_ok=True)
        options = ("--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1")
        words = [npm, "install", "--prefix", str(folder), *options, f"{package}@{version}"]
        fetched = subprocess.run(words, capture_output=True, text=True, timeout=180)
        if fetched.returncode != 0:
            lacking(f"npm could not fetch {package} {version}: {fetched.stderr[-400:]}")
    return folder / "node_modules"
