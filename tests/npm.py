"""npm: packages of other people's programs that tests run against, fetched when needed and kept outside the repository."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest


def package(name: str, version: str, sha256: str) -> tarfile.TarFile:
    """It as its author published it. Without it the test is skipped, or fails where a browser is required."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    archive = caches / "telequilt-tests" / f"{name}-{version}.tgz"
    if not archive.exists():
        _fetch(f"{name}@{version}", archive.parent)
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    assert found == sha256, f"{archive} is not the {name} {version} that this was written for: delete it"
    return tarfile.open(archive)


def modules(name: str, version: str, lacking: Callable[[str], NoReturn]) -> Path:
    """The folder `node_modules` that has `name` and what it needs. No script of it is run. `lacking` is told what is missing."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = caches / "telequilt-tests" / f"{name}-{version}"
    if not (folder / "node_modules" / name).is_dir():
        npm = shutil.which("npm")
        if npm is None:
            lacking(f"npm, which fetches {name}, is missing: apt-get install npm")
        folder.mkdir(parents=True, exist_ok=True)
        options = ("--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1")
        words = [npm, "install", "--prefix", str(folder), *options, f"{name}@{version}"]
        fetched = subprocess.run(words, capture_output=True, text=True, timeout=180)
        if fetched.returncode != 0:
            lacking(f"npm could not fetch {name} {version}: {fetched.stderr[-400:]}")
    return folder / "node_modules"


def _fetch(what: str, folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        _lacking(f"npm, which fetches {what}, is missing: apt-get install npm")
    folder.mkdir(parents=True, exist_ok=True)
    pack = [npm, "pack", what, "--pack-destination", str(folder), "--fetch-retries=1"]
    fetched = subprocess.run(pack, cwd=folder, capture_output=True, text=True, timeout=180)
    if fetched.returncode != 0:
        _lacking(f"npm could not fetch {what}: {fetched.stderr[-400:]}")


def _lacking(what: str) -> NoReturn:
    if os.environ.get("TELEQUILT_REQUIRE_BROWSER") == "1":
        pytest.fail(what)
    pytest.skip(what)
