"""Files on disk that cannot be read: each spoils itself alone, is named once, and stands in nobody's way."""

from __future__ import annotations

import json
import logging
import os
import stat
import struct
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.avatar_files import Consent
from pipeline.avatars import SAMPLE, AvatarDamaged, Avatars, NoRoomForAvatars, UnknownAvatar
from server.recordings.archive import UNREADABLE, Archive, Facts, UnknownRecording, mark_of
from server.recordings.film import Film
from server.recordings.fragments import Whole, examine
from tests.films import SMALL, units
from tests.painted import PaintedEngine, still_face

Spoil = Callable[[Path], object]

SPOILED: dict[str, Spoil] = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "a list": lambda path: path.write_bytes(b"[]"),
    "a number": lambda path: path.write_bytes(b"7"),
    "not UTF-8": lambda path: path.write_bytes(b"\xff\xfe\x00"),
    "nested without end": lambda path: path.write_bytes(b"[" * 200_000),
    "another one's": lambda path: path.write_bytes(b'{"id": "somebody-else-12345"}'),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "gone": lambda path: path.unlink(),
}


@pytest.fixture
def store(tmp_path: Path) -> Avatars:
    return Avatars(tmp_path, sample=still_face)


def kept(store: Avatars) -> str:
    return store.keep(still_face(), Consent.ME, "abc").id


@pytest.mark.parametrize("how", SPOILED)
def test_an_avatar_with_a_spoiled_record_is_set_aside_and_can_be_forgotten(
    store: Avatars, tmp_path: Path, how: str, caplog
):
    spoiled, whole = kept(store), kept(store)
    SPOILED[how](tmp_path / "avatars" / spoiled / "record.json")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert [record.id for record in store.records()] == [SAMPLE, whole]
    assert [spoiled in record.getMessage() for record in caplog.records] == [True]
    for ask in (store.get, store.observation, lambda one: store.ready(one, PaintedEngine())):
        with pytest.raises(AvatarDamaged, match="forget it"):
            ask(spoiled)
    store.forget(spoiled)
    assert not (tmp_path / "avatars" / spoiled).exists()
    assert store.get(whole).id == whole


@pytest.mark.parametrize("field", ["id", "name", "consent", "portrait_sha256", "created", "observation"])
@pytest.mark.parametrize("value", [None, [], {}, "?", 1e400])
def test_a_record_with_one_wrong_field_is_no_record(store: Avatars, tmp_path: Path, field: str, value: object):
    spoiled = kept(store)
    path = tmp_path / "avatars" / spoiled / "record.json"
    record = json.loads(path.read_text()) | {field: value}
    if isinstance(value, str) and field in ("name", "portrait_sha256"):
        return
    path.write_text(json.dumps(record))
    assert [record.id for record in store.records()] == [SAMPLE]
    store.forget(spoiled)


@pytest.mark.parametrize("how", SPOILED)
@pytest.mark.parametrize("file", ["observation.safetensors", "picture.png"])
def test_an_avatar_with_another_spoiled_file_is_listed_and_can_be_forgotten(
    store: Avatars, tmp_path: Path, how: str, file: str
):
    spoiled = kept(store)
    SPOILED[how](tmp_path / "avatars" / spoiled / file)
    assert [record.id for record in store.records()] == [SAMPLE, spoiled]
    if file.startswith("observation"):
        with pytest.raises(AvatarDamaged):
            store.ready(spoiled, PaintedEngine())
    elif how in ("gone", "a folder"):
        with pytest.raises(AvatarDamaged):
            store.picture(spoiled)
    store.forget(spoiled)
    assert list((tmp_path / "avatars").iterdir()) == []


def test_what_lies_beside_avatars_does_no_harm(store: Avatars, tmp_path: Path):
    whole = kept(store)
    (tmp_path / "avatars" / ("file-" + "x" * 20)).write_text("no folder")
    (tmp_path / "avatars" / "notes").mkdir()
    (tmp_path / "avatars" / f".forgotten-{whole}").mkdir()  # a deletion that failed
    (tmp_path / "avatars" / f".forgotten-{whole}" / "rest").write_text("")
    assert [record.id for record in store.records()] == [SAMPLE, whole]
    store.forget(whole)
    with pytest.raises(UnknownAvatar):
        store.get(whole)


def test_an_engine_that_refuses_leaves_no_lock_behind(store: Avatars):
    class Refusing(PaintedEngine):
        def enrol(self, portrait: object) -> str:
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        store.ready(kept(store), Refusing())
    assert store._enrolling == {}


def test_there_is_a_most_of_avatars_and_a_least_of_free_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    store = Avatars(tmp_path, sample=still_face, most=2)
    first = kept(store)
    kept(store)
    with pytest.raises(NoRoomForAvatars, match="forget one") as full:
        kept(store)
    assert (full.value.reason, full.value.limit) == ("too-many-avatars", 2)
    store.forget(first)
    kept(store)
    with pytest.raises(NoRoomForAvatars, match="MiB are free"):
        kept(Avatars(tmp_path, sample=still_face, min_free_bytes=1 << 62))
    assert len(list((tmp_path / "avatars").iterdir())) == 2


def test_faces_are_for_this_user_alone_whatever_umask_and_older_versions_left(tmp_path: Path):
    outside = tmp_path / "outside"
    outside.write_text("not ours")
    outside.chmod(0o644)
    before = os.umask(0o022)
    try:
        avatar = kept(Avatars(tmp_path, sample=still_face))
        folder = tmp_path / "avatars"
        assert modes(folder) == {0o700, 0o600}
        for path in (folder, folder / avatar, *(folder / avatar).iterdir()):
            path.chmod(0o755)
        (folder / "link").symlink_to(outside)
        Avatars(tmp_path, sample=still_face)
        (folder / "link").unlink()
        assert modes(folder) == {0o700, 0o600}
        assert stat.S_IMODE(outside.stat().st_mode) == 0o644
    finally:
        os.umask(before)


def modes(folder: Path) -> set[int]:
    return {stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.rglob("*"))}


def recorded(archive: Archive, avatar: str = "a", channel: str = "room") -> str:
    """A film of which nothing but its box's head is there, ended. It does not say itself whom it shows."""
    facts, file = archive.begin(channel, avatar, "telequilt", "_qs6x4a1")
    with file:
        file.write(b"\0\0\0\x08free")
    archive._write(replace(facts, ended="asked to", frames=3, bytes=8, seconds=0.1))
    with archive._lock:
        del archive._under_way[facts.name]
    return facts.name


@pytest.mark.parametrize("how", [how for how in SPOILED if how != "gone"])
def test_a_recording_with_spoiled_facts_is_listed_as_such_and_stands_in_nobodys_way(tmp_path: Path, how: str):
    archive = Archive(tmp_path / "films")
    spoiled, whole = recorded(archive, "a", "one"), recorded(archive, "b", "two")
    SPOILED[how](archive._beside(spoiled))
    listed = {facts.name: facts for facts in archive.listing()}
    assert set(listed) == {spoiled, whole}
    assert (listed[spoiled].channel, listed[spoiled].avatar, listed[spoiled].ended) == ("one", "", UNREADABLE)
    assert [facts.name for facts in archive.listing("one")] == [spoiled]
    assert archive.film(spoiled).read_bytes() == b"\0\0\0\x08free"
    archive.delete(spoiled)
    assert archive.forget("b") == 1
    assert list((tmp_path / "films").iterdir()) == []


@pytest.mark.parametrize("how", SPOILED)
def test_of_a_forgotten_face_no_film_stays_though_its_facts_are_spoiled(tmp_path: Path, how: str):
    archive = Archive(tmp_path / "films")
    shown, others = recorded(archive, "a", "one"), recorded(archive, "b", "two")
    for name, avatar in ((shown, "a"), (others, "b")):
        filmed(archive.folder / name, avatar)
        SPOILED[how](archive._beside(name))
    assert archive.forget("nobody") == 0
    assert archive.forget("a") == 1
    assert [film.name for film in archive.folder.glob("*.mp4")] == [others], "each says itself whom it shows"
    assert archive.forget("b") == 1
    assert list((tmp_path / "films").iterdir()) == []


@pytest.mark.parametrize("how", [how for how in SPOILED if how != "gone"])
def test_a_film_of_which_nothing_says_whom_it_shows_goes_with_the_first_who_is_forgotten(tmp_path: Path, how: str):
    archive = Archive(tmp_path / "films")
    spoiled, whole = recorded(archive, "a", "one"), recorded(archive, "b", "two")
    SPOILED[how](archive._beside(spoiled))
    assert archive.forget("nobody") == 1
    assert [facts.name for facts in archive.listing()] == [whole]


def filmed(path: Path, avatar: str) -> None:
    """A film's head."""
    with path.open("wb", buffering=0) as file:
        made = units(2)
        film = Film(file, SMALL, made[0], sound=False, note="", whose=mark_of(avatar))
        for unit in made:
            film.picture(unit)
        film.close()


@pytest.mark.parametrize("field", [field.name for field in fields(Facts)])
@pytest.mark.parametrize("value", [[], {}, float("nan"), "../../elsewhere.mp4"])
def test_facts_with_one_wrong_field_are_none(tmp_path: Path, field: str, value: object):
    archive = Archive(tmp_path / "films")
    name = recorded(archive)
    stored = json.loads(archive._beside(name).read_text())
    archive._beside(name).write_text(json.dumps(stored | {field: value}))
    texts = ("channel", "avatar", "screen", "ended", "unsigned")
    fits = (isinstance(value, str) and field in texts) or (isinstance(value, dict) and field == "provenance")
    assert (archive.get(name).ended == UNREADABLE) == (not fits)


def test_facts_without_their_film_are_no_recording(tmp_path: Path):
    archive = Archive(tmp_path / "films")
    name = recorded(archive)
    (archive.folder / name).unlink()
    assert archive.listing() == []
    with pytest.raises(UnknownRecording):
        archive.film(name)
    archive.delete(name)
    assert list((tmp_path / "films").iterdir()) == []


def test_a_recording_that_cannot_be_deleted_keeps_no_other_from_being_forgotten(tmp_path: Path):
    archive = Archive(tmp_path / "films")
    stuck, other = recorded(archive, "a", "one"), recorded(archive, "a", "two")
    path = archive.folder / stuck
    whole = archive._delete

    def refuse(name: str) -> None:
        if name == stuck:
            raise PermissionError(1, "not permitted")
        whole(name)

    archive._delete = refuse  # type: ignore[method-assign]
    with pytest.raises(PermissionError):
        archive.forget("a")
    assert path.exists()
    assert not (archive.folder / other).exists()


@pytest.mark.parametrize("seed", range(4))
def test_nothing_in_a_film_makes_its_examination_raise(tmp_path: Path, seed: int):
    rng = np.random.default_rng(seed)
    film = tmp_path / "film.mp4"
    boxes = [b"moov", b"trak", b"mdia", b"hdlr", b"tkhd", b"mdhd", b"moof", b"traf", b"tfhd", b"tfdt", b"trun", b"mdat"]
    for _ in range(200):
        data = b"".join(
            struct.pack(">I4s", int(rng.integers(0, 64)), boxes[rng.integers(len(boxes))])
            + rng.bytes(int(rng.integers(0, 40)))
            for _ in range(12)
        )
        film.write_bytes(data)
        assert 0 <= examine(film).bytes <= len(data)


def test_a_run_of_billions_of_pictures_fills_no_memory(tmp_path: Path):
    def box(kind: bytes, *inside: bytes) -> bytes:
        body = b"".join(inside)
        return struct.pack(">I4s", 8 + len(body), kind) + body

    media = box(b"mdia", box(b"hdlr", bytes(8) + b"vide"), box(b"mdhd", bytes(12) + struct.pack(">I", 0)))
    head = box(b"moov", box(b"trak", box(b"tkhd", bytes(12) + struct.pack(">I", 1)), media))
    run = box(b"trun", struct.pack(">II", 0, 0xFFFFFFFF))
    fragment = box(b"moof", box(b"traf", box(b"tfhd", struct.pack(">II", 0, 1)), box(b"tfdt", bytes(8)), run))
    film = tmp_path / "film.mp4"
    film.write_bytes(head + fragment + box(b"mdat", b"x"))
    assert examine(film) == Whole(len(head), 0, 0.0)


@pytest.mark.parametrize("ours", [True, False])
def test_films_are_for_this_user_alone(tmp_path: Path, ours: bool):
    folder = tmp_path / "films"
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    archive = Archive(folder, ours=ours)
    name = recorded(archive)
    (folder / "holiday.mp4").write_text("another's")
    (folder / "holiday.mp4").chmod(0o644)
    for path in (folder / name, archive._beside(name)):
        path.chmod(0o644)
    folder.chmod(0o755)
    Archive(folder, ours=ours)
    assert stat.S_IMODE(folder.stat().st_mode) == (0o700 if ours else 0o755)
    assert {stat.S_IMODE(path.stat().st_mode) for path in (folder / name, archive._beside(name))} == {0o600}
    assert stat.S_IMODE((folder / "holiday.mp4").stat().st_mode) == 0o644
