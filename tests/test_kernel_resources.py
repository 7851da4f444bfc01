"""Kernels compiled ahead for a GPU that is not there: all of them compile, and none needs more registers than there are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("triton.backends.nvidia", reason="Triton is not installed")

COMPILING = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
"Kernels' other tests run through the interpreter, which is chosen once in a process."


BENCHMARK_AND_ONE_MORE = """
import sys
from dataclasses import replace
from benchmarks.kernel_resources import compiled, launches, main
main()
look = next(launches())
assert look.kernel.__name__ == "look"
print(compiled(replace(look, warps=1), 90).spilled_bytes)
"""
"One process: what it imports takes as long as the rest."


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, Any]], str]:
    """The benchmark's kernels, and the last line that was said."""
    folder: Path = tmp_path_factory.mktemp("resources")
    command = [sys.executable, "-c", BENCHMARK_AND_ONE_MORE, "--capability", "90", "--out", str(folder)]
    done = subprocess.run(command, env=COMPILING, check=True, timeout=280, capture_output=True, text=True)
    return json.loads((folder / "kernel_resources_sm90.json").read_text())["kernels"], done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def kernels(ran: tuple[list[dict[str, Any]], str]) -> list[dict[str, Any]]:
    return ran[0]


def test_every_kernel_compiles_with_planes_of_either_precision(kernels: list[dict[str, Any]]) -> None:
    made = {(kernel["kernel"].partition(" ")[0], kernel["kept"]) for kernel in kernels}
    marching = {"look", "find_depths", "composite", "bounds", "fill_grid", "read_grid"}
    resolving = {"finish", "settle", "halve", "double"}
    drawing = {(name, "fp32") for name in ("offer", "place", "key", "project", "touch", "blend")}
    assert made == {(name, kept) for name in marching | resolving for kept in ("fp16", "fp32")} | drawing


def test_nothing_spills_and_warps_have_others_to_wait_with(kernels: list[dict[str, Any]]) -> None:
    for kernel in kernels:
        assert kernel["spilled_bytes"] == 0, kernel
        assert kernel["programs"] * kernel["warps"] >= 8, kernel


def test_what_spills_is_seen(ran: tuple[list[dict[str, Any]], str]) -> None:
    """One warp of 64 rays by 32 channels needs four times the registers that its threads have."""
    assert int(ran[1]) > 0
