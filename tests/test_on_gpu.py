"""The GPU programme, where there is no GPU: what it runs needs little, it rehearses, and one part that fails stops no other."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks.gpu.programme import Part, read

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "benchmarks" / "on_gpu.sh"
OURS = ("server", "pipeline", "engines", "display", "benchmarks", "tests")
BARE = {"torch", "numpy", "pytest", "_pytest", "triton"}
"Packages of the machine that the programme is for."


def run(folder: Path, *options: str, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", "PYTHON": python, "OMP_NUM_THREADS": "1", "HOME": str(folder)}
    command = ["bash", str(SCRIPT), "--rehearse", "--out", str(folder / "out"), *options]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)


def parts() -> list[str]:
    """The names of the script's parts."""
    return list(dict.fromkeys(re.findall(r"^    (?:benchmark|tests) ([\w-]+) \d+", SCRIPT.read_text(), re.MULTILINE)))


@pytest.mark.parametrize("only", [("machine",), pytest.param(("machine", "gpu-tests"), marks=pytest.mark.soak)])
def test_it_rehearses_parts_and_says_what_they_came_to(tmp_path: Path, only: tuple[str, ...]):
    done = run(tmp_path, "--only", " ".join(only))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "REHEARSAL" in done.stdout
    result = json.loads((tmp_path / "out" / "on_gpu.json").read_text())
    assert result["rehearsal"] is True
    assert {part["name"]: part["came_to"] for part in result["parts"]} == dict.fromkeys(only, "ok")
    found = {part["name"]: part["found"] for part in result["parts"]}
    assert "TFLOP/s" in found["machine"]
    assert "skipped" in found.get("gpu-tests", "skipped")
    assert "TFLOP/s" in (tmp_path / "out" / "on_gpu.log").read_text()


def test_a_part_that_fails_stops_no_other(tmp_path: Path):
    done = run(tmp_path, python="/bin/false")
    assert done.returncode == 1
    assert re.findall(r"^([\w-]+) +FAILED \(1\)", done.stdout, re.MULTILINE) == parts()


def test_a_part_that_a_signal_ends_says_so_in_its_log_alone(tmp_path: Path):
    """The driver ends a process like that whose kernel reads where it must not."""
    aborting = tmp_path / "python"
    aborting.write_text("#!/bin/sh\nulimit -c 0\nkill -ABRT $$\n")
    aborting.chmod(0o755)
    done = run(tmp_path, "--only", "machine", python=str(aborting))
    assert re.search(r"^machine +FAILED \(134\)", done.stdout, re.MULTILINE)
    assert "timeout" not in done.stderr
    assert "Aborted" in (tmp_path / "out" / "on_gpu.log").read_text()


def test_a_wrong_option_is_refused(tmp_path: Path):
    done = run(tmp_path, "--quick")
    assert done.returncode == 2
    assert "--quick" in done.stderr


def test_its_time_boxes_come_to_about_eight_minutes():
    on_a_gpu = SCRIPT.read_text().rpartition("\nelse\n")[0]
    boxes = [int(box) for box in re.findall(r"^    (?:benchmark|tests) [\w-]+ (\d+)", on_a_gpu, re.MULTILINE)]
    assert len(boxes) == len(parts())
    assert sum(boxes) <= 495


def test_notes_are_read_and_judged(tmp_path: Path):
    (tmp_path / "parts").write_text("machine\t0\t3\t20\nsweep\t124\t130\t130\nkernels\t1\t9\t45\n")
    assert [part.came_to for part in read(tmp_path)] == ["ok", "OUT OF TIME (130 s)", "FAILED (1)"]
    assert read(tmp_path)[0] == Part("machine", 0, 3, 20)


def asked_for() -> list[Path]:
    """The files that the script has Python run."""
    text = SCRIPT.read_text()
    modules = [*re.findall(r"^ +benchmark [\w-]+ \d+ ([\w.]+)", text, re.MULTILINE), "gpu.programme"]
    tests = re.findall(r"\btests/[\w/]+(?:\.py)?", text)
    files = [ROOT.joinpath("benchmarks", *module.split(".")).with_suffix(".py") for module in dict.fromkeys(modules)]
    for test in dict.fromkeys(tests):
        files += sorted((ROOT / test).glob("*.py")) if (ROOT / test).is_dir() else [ROOT / test]
    return [*files, ROOT / "tests" / "conftest.py"]


def imported(path: Path) -> Iterator[str]:
    """Modules that `path` imports as it is loaded: not within functions, nor for a type checker alone."""

    def walk(nodes: list[ast.stmt]) -> Iterator[str]:
        for node in nodes:
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield node.module or ""
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
            elif isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.dump(node.test):
                yield from (*walk(node.body), *walk(node.orelse))
            elif isinstance(node, ast.ClassDef | ast.With):
                yield from walk(node.body)

    yield from walk(ast.parse(path.read_text()).body)


def file_of(module: str) -> Path | None:
    place = ROOT.joinpath(*module.split("."))
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)


def test_what_it_runs_needs_no_more_than_a_bare_machine_has():
    waiting, seen, foreign = asked_for(), set[Path](), dict[str, Path]()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        for module in imported(path):
            top = module.partition(".")[0]
            if top in OURS:
                found = file_of(module)
                waiting += [found] if found else []
            elif top not in BARE | set(sys.stdlib_module_names):
                foreign[module] = path
    assert not foreign
    assert len(seen) > 60


@pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")
def test_every_part_of_it_exists():
    assert all(path.is_file() for path in asked_for())
