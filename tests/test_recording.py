"""Recording on its way to disk: every picture from its keyframe to its end, whatever the disk does meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from display.tiling import OFF_AXIS
from server.media.encode import AccessUnit
from server.recordings import recording as module
from server.recordings.archive import CUT_SHORT, Archive, Facts
from server.recordings.recording import LONG_ENOUGH, NEARLY_FULL, STUCK, TOO_SLOW, Limits, Recording
from tests.films import SMALL, content, nal_units, smallest_files, units
from tests.live import until

FREE = Limits(free_bytes=0, seconds=3600)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "recordings")


def begin(archive: Archive, limits: Limits = FREE, disk: Callable[[Any], Any] = lambda file: file) -> Recording:
    """`disk` may put itself in front of the file."""
    facts, file = archive.begin("room", "a", "telequilt", "_qs6x4a1")
    return Recording(archive, facts, disk(file), SMALL, limits, sound=False, note=OFF_AXIS)


class Slow:
    """A disk on which each write waits until it is let go."""

    def __init__(self, file: Any) -> None:
        self._file, self.go = file, threading.Event()

    def write(self, data: bytes) -> int:
        assert self.go.wait(20)
        return self._file.write(data)

    def __enter__(self) -> Slow:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def pictures(archive: Archive, facts: Facts) -> list[bytes]:
    return content(archive.film(facts.name)).pictures


def plain(made: list[AccessUnit]) -> list[bytes]:
    return [nal_units(unit.data) for unit in made]


async def test_it_begins_with_a_keyframe_and_misses_nothing_from_there(archive: Archive) -> None:
    made, recording = units(100), begin(archive)
    released: list[bool] = []
    recording.release = lambda: released.append(True)
    for unit in made[30:]:  # the next keyframe is number 40
        recording.put(unit)
    report = recording.report()
    assert report is not None
    assert report.seconds == pytest.approx(59 / 25, abs=0.06)
    facts = await recording.finish("asked to")
    assert pictures(archive, facts) == plain(made[40:])
    assert (facts.frames, facts.lost, facts.ended) == (60, 0, "asked to")
    assert facts == archive.get(facts.name) == recording.facts
    assert recording.report() is None
    assert released == [True]
    recording.put(made[80])  # comes too late, and changes nothing
    assert await recording.finish("asked again") == facts


async def test_a_slow_disk_loses_nothing_while_it_keeps_within_the_limit(archive: Archive) -> None:
    slow: list[Slow] = []
    made, recording = units(200), begin(archive, disk=lambda file: slow.append(Slow(file)) or slow[0])
    for unit in made:
        recording.put(unit)
    assert recording.waiting > 0.9 * sum(len(unit.data) for unit in made), "all of it waits"
    slow[0].go.set()
    facts = await recording.finish("asked to")
    assert recording.waiting == 0
    assert pictures(archive, facts) == plain(made)
    assert (facts.lost, facts.ended) == (0, "asked to")


async def test_beyond_the_limit_it_ends_with_the_reason_and_keeps_all_that_waited(
    archive: Archive, monkeypatch
) -> None:
    made = units(100)
    monkeypatch.setattr(module, "MOST_WAITING_BYTES", sum(len(unit.data) for unit in made[:70]))
    slow: list[Slow] = []
    recording = begin(archive, disk=lambda file: slow.append(Slow(file)) or slow[0])
    for unit in made:
        recording.put(unit)
    slow[0].go.set()
    await until(lambda: not recording.under_way)
    facts = recording.facts
    assert facts.ended == TOO_SLOW
    assert facts.lost == 0
    assert 69 <= facts.frames <= 71
    assert pictures(archive, facts) == plain(made[: facts.frames])


async def test_a_disk_that_hangs_does_not_hang_the_server(archive: Archive, monkeypatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.2)
    slow: list[Slow] = []
    recording = begin(archive, disk=lambda file: slow.append(Slow(file)) or slow[0])
    for unit in units(60):
        recording.put(unit)
    facts = await recording.finish("asked to")
    assert facts.ended == STUCK
    assert archive.get(facts.name).ended is None, "its file is open"
    slow[0].go.set()  # the disk answers after all
    recording._writer.join(20)
    assert archive.get(facts.name).ended == CUT_SHORT
    assert archive.forget("a") == 1, "nothing keeps the face"


async def test_a_film_that_somebody_took_away_keeps_no_avatar(archive: Archive) -> None:
    recording = begin(archive)
    for unit in units(30):
        recording.put(unit)
    (archive.folder / recording.facts.name).unlink()
    assert (await recording.finish("asked to")).ended == "asked to"
    assert not archive.listing()
    assert archive.forget("a") == 0


async def test_a_full_disk_ends_it_with_the_reason_and_what_was_written_plays(archive: Archive) -> None:
    made, recording = units(200), begin(archive)
    half = sum(len(unit.data) for unit in made) // 2
    with smallest_files(half):
        for unit in made:
            recording.put(unit)
        await until(lambda: not recording.under_way)
    facts = recording.facts
    assert facts.ended == "the disk is full"
    assert 50 < facts.frames < 100
    assert facts.lost >= 100 - facts.frames
    assert pictures(archive, facts) == plain(made[: facts.frames])
    assert archive.film(facts.name).stat().st_size == facts.bytes <= half


async def test_a_disk_that_is_full_from_the_beginning_leaves_nothing(archive: Archive) -> None:
    full = open("/dev/full", "wb", buffering=0)  # noqa: SIM115, closed by its recording
    recording = begin(archive, disk=lambda file: file.close() or full)
    for unit in units(60):
        recording.put(unit)
    await until(lambda: not recording.under_way)
    assert (recording.facts.ended, recording.facts.frames) == ("the disk is full", 0)
    assert list(archive.folder.iterdir()) == []


async def test_it_ends_before_its_disk_is_full(archive: Archive) -> None:
    recording = begin(archive, Limits(free_bytes=1 << 62, seconds=3600))
    made = units(60)
    for unit in made:
        recording.put(unit)
    await until(lambda: not recording.under_way)
    assert recording.facts.ended == NEARLY_FULL
    assert pictures(archive, recording.facts) == plain(made), "what came until then is kept"


async def test_it_ends_when_its_time_is_over(archive: Archive) -> None:
    recording, made = begin(archive, Limits(free_bytes=0, seconds=2.0)), units(100)
    for unit in made:
        recording.put(unit)
    await until(lambda: not recording.under_way)
    assert recording.facts.ended == LONG_ENOUGH
    assert recording.facts.seconds == 2.0
    assert pictures(archive, recording.facts) == plain(made[:50])


@pytest.mark.parametrize("sent", [0, 1, 5])
async def test_it_ends_when_its_time_is_over_although_the_camera_stands(
    archive: Archive, monkeypatch: pytest.MonkeyPatch, sent: int
) -> None:
    monkeypatch.setattr(module, "FIRST_PICTURE_SECONDS", 0.05)
    recording, made = begin(archive, Limits(free_bytes=0, seconds=0.25)), units(5)
    for unit in made[:sent]:
        recording.put(unit)
    await until(lambda: not recording.under_way)
    assert recording.facts.ended == LONG_ENOUGH
    assert recording.facts.frames == sent


async def test_what_ended_by_itself_leaves_no_timer(archive: Archive) -> None:
    recording = begin(archive)
    await recording.finish("asked to")
    assert recording._over.cancelled()


async def test_sound_that_the_disk_does_not_take_ends_it_too(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING_BYTES", 100_000)
    facts, file = archive.begin("room", "a", "telequilt", "_qs6x4a1")
    disk: Any = Slow(file)
    recording = Recording(archive, facts, disk, SMALL, FREE, sound=True, note=OFF_AXIS)
    recording.put(units(1)[0])
    before = recording.waiting
    recording.hear(bytes(1000), 0, 0.0)
    assert recording.waiting == before + 1000
    for packet in range(200):
        recording.hear(bytes(1000), packet * 960, packet * 0.02)
    assert recording.waiting <= 100_000
    disk.go.set()
    assert (await recording.finish("asked to")).ended == TOO_SLOW
    assert recording.waiting == 0


async def test_without_a_picture_nothing_is_kept(archive: Archive) -> None:
    recording = begin(archive)
    recording.hear(b"sound before any picture", 0, 0.0)
    facts = await recording.finish("asked to")
    assert (facts.frames, facts.bytes) == (0, 0)
    assert list(archive.folder.iterdir()) == []


async def test_two_who_end_it_at_once_get_the_same_answer(archive: Archive) -> None:
    recording = begin(archive)
    for unit in units(60):
        recording.put(unit)
    one, other = await asyncio.gather(recording.finish("asked to"), recording.finish("the caller left"))
    assert one == other
    assert one.ended == "asked to"
    assert archive.ended == {"asked to": 1}
