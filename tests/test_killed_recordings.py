"""Fifty recordings whose server was killed, each at a moment of its own: all that is left of them is signed late, and verifies."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from display.tiling import OFF_AXIS
from server.media.encode import AccessUnit
from server.provenance.reading import examine
from server.provenance.verdict import Finding
from server.recordings.archive import CUT_SHORT, SIGNED
from server.recordings.recording import Limits, Recording
from tests.films import SMALL, content, units
from tests.signed import archive_in, signer_in, stated
from tests.test_provenance import others

KILLED = 50
LONGEST = 1.2
"Seconds until a kill: a recording goes on for about 0.4, ends, is signed, and the next one begins."


def serve(folder: Path, made: list[AccessUnit]) -> None:
    """Record again and again, in a process that is killed."""
    os.setsid()
    asyncio.run(record(folder, made))


async def record(folder: Path, made: list[AccessUnit]) -> None:
    archive = archive_in(folder)
    while True:
        facts, file = archive.begin("room", "a" * 22, "telequilt", "_qs6x4a1", stated().told())
        recording = Recording(archive, facts, file, SMALL, Limits(0, 3600), False, OFF_AXIS)
        for unit in made:
            recording.put(unit)
            await asyncio.sleep(0.004)
        await recording.finish("asked to")


@pytest.mark.soak
def test_fifty_recordings_killed_at_random_moments_all_verify_after_recovery(tmp_path: Path):
    chance, made, kinds = random.Random(26), units(100), Counter[str]()
    context = multiprocessing.get_context("fork")
    killed, tried = 0, 0
    while killed < KILLED:
        tried += 1
        assert tried < 4 * KILLED
        folder = tmp_path / str(tried)
        process = context.Process(target=serve, args=(folder, made))
        process.start()
        time.sleep(chance.uniform(0.02, LONGEST))
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        found = recovered(folder)
        kinds += found
        killed += found["cut in the middle"] + found["cut while it ended or was signed"]
    print(f"\n{tried} kills: {dict(kinds)}")
    assert killed >= KILLED


def recovered(folder: Path) -> Counter[str]:
    """What is left there, by when it was cut. Every film is signed, whole, plays to its end, and lies alone with its facts."""
    kinds: Counter[str] = Counter()
    films = folder / "recordings"
    before = {path.name for path in films.glob("*.mp4")} if films.is_dir() else set()
    archive = archive_in(folder)
    half = len(list(films.glob(".*.signing"))) if films.is_dir() else 0
    late = archive.sign_late()
    anchors = signer_in(folder).keys.anchors()
    for facts in archive.listing():
        film = archive.film(facts.name)
        assert facts.credentials == SIGNED, facts
        found = examine(film, anchors)
        assert found.finding is Finding.VALID, found
        assert others(film)["integrity"] == "valid"
        assert content(film).decoded == facts.frames
        if facts.ended == CUT_SHORT:
            kinds["cut in the middle"] += 1
    kinds["cut while it ended or was signed"] += late - kinds["cut in the middle"]
    kinds["copies left half done"] += half
    kinds["cut before its first second was written"] += len(before) - len(archive.listing())
    kinds["ended before"] += len(archive.listing()) - late
    names = {path.name for path in films.iterdir()} if films.is_dir() else set()
    assert {name for name in names if not name.endswith((".mp4", ".json"))} == set()
    return kinds
