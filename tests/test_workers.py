"""Who does work for the event loop: pools of our own, so that a picture never queues behind an upload."""

from __future__ import annotations

import ast
import asyncio
import gc
import threading
from pathlib import Path

import pytest

import benchmarks
import server
from server import workers
from tests.live import serving, settings_for

FILES = [file for package in (server, benchmarks) for file in sorted(Path(package.__path__[0]).rglob("*.py"))]


def falls_back(source: str) -> list[int]:
    """Lines that hand work to asyncio's own pool, of which everybody has a share."""
    names = ("to_thread", "run_in_executor", "set_default_executor")
    used = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute) and node.attr in names]
    imported = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and any(one.name in names for one in node.names)
    ]
    return [node.lineno for node in (*used, *imported)]


def test_a_fallback_is_found():
    assert falls_back("import asyncio\nasyncio.to_thread(print)") == [2]
    assert falls_back("from asyncio import to_thread") == [1]
    assert falls_back("asyncio.get_running_loop().run_in_executor(None, print)") == [1]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(Path(*file.parts[-3:])))
def test_nobody_falls_back_on_the_pool_of_everybody(file: Path):
    if file.name != "workers.py":
        assert falls_back(file.read_text()) == []


async def test_live_work_does_not_wait_for_slow_work():
    free, stuck = threading.Event(), []
    try:
        stuck = [asyncio.create_task(workers.slow(free.wait, 60)) for _ in range(40)]  # more than there are threads
        assert await asyncio.wait_for(workers.live(threading.current_thread), 30)
    finally:
        free.set()
        await asyncio.gather(*stuck)


async def test_work_that_nobody_waits_for_is_done_and_its_failure_is_told(capsys: pytest.CaptureFixture[str]):
    done = threading.Event()

    def fails() -> None:
        done.set()
        raise OSError("the disk is gone")

    workers.later(fails)
    assert await workers.slow(done.wait, 30)
    said = ""
    for _ in range(100):
        said += "".join(capsys.readouterr())
        if "the disk is gone" in said:
            break
        await asyncio.sleep(0.05)
    assert "work that nobody waits for failed" in said


async def test_a_warm_server_is_not_looked_through_for_garbage(tmp_path: Path):
    async with serving(settings_for(tmp_path)):
        assert gc.get_freeze_count() > 50_000
