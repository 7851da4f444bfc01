"""Engines kept on disk: only what was built for exactly this, whole, is given out, whatever happens to the folder."""

from __future__ import annotations

import json
import multiprocessing
import os
from dataclasses import fields, replace
from pathlib import Path

import pytest

from engines.runtime.cache import Cache, Key, NotKept, Standing

KEY = Key(
    component="lift",
    gpu="NVIDIA H200",
    capability="9.0",
    driver="580.1",
    tensorrt="11.0.0",
    torch_tensorrt="2.13.0",
    torch="2.13.0",
    precision="float16",
    shapes="1x3x512x512",
    program="a" * 64,
    weights="b" * 64,
)
ENGINE = bytes(range(256)) * 40


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "engines")


def only(cache: Cache, pattern: str) -> Path:
    (found,) = cache.folder.glob(pattern)
    return found


def test_what_was_written_is_read_by_another_process_object(cache: Cache) -> None:
    entry = cache.write(KEY, ENGINE)
    assert Cache(cache.folder).read(KEY) == ENGINE
    assert Cache(cache.folder).entries() == [entry]
    assert entry.size == len(ENGINE)


def test_others_may_not_look_into_the_folder(cache: Cache) -> None:
    cache.write(KEY, ENGINE)
    assert cache.folder.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("part", [part.name for part in fields(Key) if part.name != "component"])
def test_whatever_differs_it_is_not_the_engine_and_is_named(cache: Cache, part: str) -> None:
    cache.write(KEY, ENGINE)
    with pytest.raises(NotKept, match=rf"built for lift was for another {part}$"):
        cache.read(replace(KEY, **{part: "other"}))
    assert cache.read(KEY) == ENGINE


def test_another_stage_was_never_built(cache: Cache) -> None:
    cache.write(KEY, ENGINE)
    with pytest.raises(NotKept, match="no engine was built for expression"):
        cache.read(replace(KEY, component="expression"))


def test_an_empty_folder_is_no_error(cache: Cache) -> None:
    assert cache.entries() == []
    cache.drop(KEY)
    with pytest.raises(NotKept):
        cache.read(KEY)


class TestDamage:
    @pytest.mark.parametrize("left", [0, 1, len(ENGINE) - 1])
    def test_truncated(self, cache: Cache, left: int) -> None:
        cache.write(KEY, ENGINE)
        only(cache, "*.engine").write_bytes(ENGINE[:left])
        with pytest.raises(NotKept, match=rf"has {left} of {len(ENGINE)} bytes"):
            cache.read(KEY)

    def test_one_bit(self, cache: Cache) -> None:
        cache.write(KEY, ENGINE)
        only(cache, "*.engine").write_bytes(bytes([ENGINE[0] ^ 1]) + ENGINE[1:])
        with pytest.raises(NotKept, match="not what was written"):
            cache.read(KEY)

    def test_an_engine_that_is_gone(self, cache: Cache) -> None:
        cache.write(KEY, ENGINE)
        only(cache, "*.engine").unlink()
        with pytest.raises(NotKept, match="cannot be read"):
            cache.read(KEY)

    @pytest.mark.parametrize("note", [b"", b"{", b"[]", b'{"key": {}}', b"\xff\xfe"])
    def test_a_note_that_is_none(self, cache: Cache, note: bytes) -> None:
        cache.write(KEY, ENGINE)
        only(cache, "*.json").write_bytes(note)
        with pytest.raises(NotKept, match="damaged"):
            cache.read(KEY)
        assert cache.entries() == []

    def test_a_note_under_another_keys_name(self, cache: Cache) -> None:
        cache.write(KEY, ENGINE)
        other = replace(KEY, weights="c" * 64)
        only(cache, "*.json").rename(cache.folder / f"{other.name}.json")
        with pytest.raises(NotKept, match="damaged"):
            cache.read(other)

    def test_a_note_that_leads_out_of_the_folder(self, cache: Cache, tmp_path: Path) -> None:
        cache.write(KEY, ENGINE)
        note = only(cache, "*.json")
        note.write_text(json.dumps(json.loads(note.read_text()) | {"sha256": "/../../secret".ljust(64, "a")}))
        with pytest.raises(NotKept, match="damaged"):
            cache.read(KEY)

    def test_is_mended_by_writing_it_again(self, cache: Cache) -> None:
        cache.write(KEY, ENGINE)
        only(cache, "*.engine").write_bytes(b"")
        cache.write(KEY, ENGINE)
        assert cache.read(KEY) == ENGINE


class TestWriting:
    def test_a_newer_engine_takes_the_place_of_the_older(self, cache: Cache) -> None:
        cache.write(KEY, ENGINE)
        cache.write(KEY, ENGINE[::-1])
        assert cache.read(KEY) == ENGINE[::-1]
        assert len(list(cache.folder.glob("*.engine"))) == 1

    def test_a_full_disk_leaves_what_was_there(self, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
        cache.write(KEY, ENGINE)
        before = sorted(cache.folder.iterdir())

        def full(_: int) -> None:
            raise OSError("no space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", full)
            with pytest.raises(OSError, match="no space"):
                cache.write(KEY, ENGINE[::-1])
        assert cache.read(KEY) == ENGINE
        assert sorted(cache.folder.iterdir()) == before

    def test_what_is_dropped_is_gone_and_nothing_else(self, cache: Cache) -> None:
        other = replace(KEY, component="expression")
        cache.write(KEY, ENGINE)
        cache.write(other, ENGINE)
        cache.drop(KEY)
        assert [entry.key for entry in cache.entries()] == [other]
        assert cache.read(other) == ENGINE
        assert len(list(cache.folder.glob("*.engine"))) == 1

    def test_several_processes_at_once_lose_and_mix_nothing(self, cache: Cache) -> None:
        shared, context = replace(KEY, component="shared"), multiprocessing.get_context("spawn")
        writers = [context.Process(target=_write_often, args=(cache.folder, shared, n)) for n in range(3)]
        for writer in writers:
            writer.start()
        while any(writer.is_alive() for writer in writers):
            for key in (shared, *(replace(KEY, component=f"own {n}") for n in range(3))):
                try:
                    engine = cache.read(key)
                except NotKept:  # not there yet, or just being replaced
                    continue
                assert len(set(engine)) == 1
                assert len(engine) == 100_000
        assert [writer.exitcode for writer in writers] == [0, 0, 0]
        assert {entry.key.component for entry in cache.entries()} == {"shared", "own 0", "own 1", "own 2"}
        assert len(list(cache.folder.glob("*.engine"))) == 4
        assert not list(cache.folder.glob(".*.[0-9]*"))


def _write_often(folder: Path, shared: Key, number: int) -> None:
    cache = Cache(folder)
    for turn in range(20):
        cache.write(shared, bytes([10 * number + turn % 10]) * 100_000)
        cache.write(replace(shared, component=f"own {number}"), bytes([number]) * 100_000)
    assert cache.read(replace(shared, component=f"own {number}"))[0] == number


class TestStanding:
    """What `engines list` says of an entry."""

    def test_of_use(self, cache: Cache) -> None:
        assert cache.standing(cache.write(KEY, ENGINE), [KEY]) == (Standing.READY, "")

    @pytest.mark.parametrize(
        ("part", "standing"),
        [
            ("gpu", Standing.FOREIGN),
            ("capability", Standing.FOREIGN),
            ("driver", Standing.STALE),
            ("tensorrt", Standing.STALE),
            ("weights", Standing.STALE),
        ],
    )
    def test_of_none_and_why(self, cache: Cache, part: str, standing: Standing) -> None:
        entry = cache.write(replace(KEY, **{part: "other"}), ENGINE)
        assert cache.standing(entry, [KEY]) == (standing, f"built for another {part}")

    def test_without_a_gpu(self, cache: Cache) -> None:
        assert cache.standing(cache.write(KEY, ENGINE), [])[0] is Standing.FOREIGN

    def test_damaged_comes_before_all_else(self, cache: Cache) -> None:
        entry = cache.write(KEY, ENGINE)
        only(cache, "*.engine").write_bytes(b"")
        assert cache.standing(entry, [KEY])[0] is Standing.DAMAGED
