"""Films as files: every picture in them, whole after any cut, sound in its place; and what is kept of them on disk."""

from __future__ import annotations

import io
import json
import struct
import tracemalloc
from itertools import pairwise
from pathlib import Path

import pytest

from display.tiling import OFF_AXIS
from server.media.encode import AccessUnit
from server.recordings.archive import CUT_SHORT, NAME, Archive, StillRecording, UnknownRecording, mark_of
from server.recordings.film import Film, FilmFailed, SoundClock
from server.recordings.fragments import MOST_HEAD, Whole, described, examine
from tests.films import BEGUN, SMALL, content, nal_units, playable, units

WHOSE = mark_of("somebody")
SUFFIX = "_qs6x4a1"
SILENCE = b"\xf8\xff\xfe"
"20 ms of Opus."


def filmed(path: Path, made: list[AccessUnit], file: io.RawIOBase | None = None, sounds: int = 0) -> Path:
    with path.open("wb", buffering=0) as plain:
        film = Film(file or plain, SMALL, made[0], sound=sounds > 0, note=OFF_AXIS, whose=WHOSE)  # type: ignore[arg-type]
        for number, unit in enumerate(made):
            film.picture(unit)
            for packet in range(number * 2, min(number * 2 + 2, sounds)):
                film.sound(SILENCE, packet * 960, BEGUN + packet * 0.02)
        film.close()
    return path


# ---- the file ----


def test_a_damaged_size_has_no_film_in_memory(tmp_path: Path) -> None:
    def box(kind: bytes, inside: bytes) -> bytes:
        return struct.pack(">I4s", 8 + len(inside), kind) + inside

    large = tmp_path / "large.mp4"
    large.write_bytes(box(b"moov", box(b"trak", box(b"mdia", box(b"hdlr", bytes(MOST_HEAD + 1))))))
    tracemalloc.start()
    assert examine(large) == Whole()
    assert tracemalloc.get_traced_memory()[1] < MOST_HEAD / 4
    tracemalloc.stop()


def test_a_film_says_itself_whose_face_it_shows_without_the_key_to_it(tmp_path: Path) -> None:
    whole = filmed(tmp_path / "a.mp4", units(100))
    assert described(whole) == WHOSE
    assert "somebody" not in WHOSE
    first = whole.read_bytes()[: whole.stat().st_size // 2]
    (tmp_path / "cut.mp4").write_bytes(first)
    assert described(tmp_path / "cut.mp4") == WHOSE, "it stands at the head, wherever the film was cut"
    for length in range(0, 1200, 7):
        (tmp_path / "cut.mp4").write_bytes(first[:length])
        assert described(tmp_path / "cut.mp4") in ("", WHOSE)


def test_a_film_holds_every_picture_as_it_was_encoded_and_when_it_was_taken(tmp_path: Path) -> None:
    made = units(100)
    film = content(filmed(tmp_path / "a.mp4", made))
    assert film.pictures == [nal_units(unit.data) for unit in made]
    assert film.times == pytest.approx([number / 25 for number in range(100)], abs=1e-4)
    assert film.keyframes == [number for number, unit in enumerate(made) if unit.keyframe] == [0, 40, 80]
    assert (film.width, film.height, film.decoded) == (SMALL.width, SMALL.height, 100)
    assert film.tracks == ["h264"]
    assert examine(tmp_path / "a.mp4") == Whole((tmp_path / "a.mp4").stat().st_size, 100, 4.0)


def test_a_film_cut_anywhere_plays_up_to_its_last_whole_fragment(tmp_path: Path) -> None:
    made = units(100)
    whole = filmed(tmp_path / "a.mp4", made, sounds=200).read_bytes()
    cut = tmp_path / "cut.mp4"
    kept = []
    for end in [*range(0, len(whole), len(whole) // 40), len(whole)]:
        cut.write_bytes(whole[:end])
        left = examine(cut)
        kept.append(left.pictures)
        assert left.bytes <= end
        cut.write_bytes(whole[: left.bytes])
        if left.pictures:
            film = content(cut)
            assert film.decoded == left.pictures
            assert film.times[-1] + 0.04 == pytest.approx(left.seconds, abs=1e-3)
    assert kept == sorted(kept)
    assert kept[-1] == 100
    assert max(b - a for a, b in pairwise(kept)) <= 50, "little is lost at once"


def test_a_player_shows_no_less_of_a_cut_film_than_is_whole(tmp_path: Path) -> None:
    whole = filmed(tmp_path / "a.mp4", units(100)).read_bytes()
    cut = tmp_path / "cut.mp4"
    for share in (0.3, 0.55, 0.8, 0.97):
        cut.write_bytes(whole[: round(len(whole) * share)])
        assert playable(cut) >= examine(cut).pictures > 0


@pytest.mark.parametrize(
    "rubbish",
    [b"", b"\0" * 4096, b"\xff" * 64, b"\0\0\0\x10moof\0\0\0\x08traf", b"\0\0\0\x08moov\0\0\0\x10moofxxxxxxxx"],
)
def test_what_is_no_film_has_nothing_whole(tmp_path: Path, rubbish: bytes) -> None:
    (tmp_path / "a.mp4").write_bytes(rubbish)
    assert examine(tmp_path / "a.mp4").pictures == 0


class Miser(io.RawIOBase):
    """A file that takes a few bytes at a time, as files may."""

    def __init__(self) -> None:
        self.taken = bytearray()

    def write(self, data) -> int:
        self.taken += bytes(data[:1000])
        return min(1000, len(data))


def test_a_disk_that_takes_little_at_a_time_gets_it_all(tmp_path: Path) -> None:
    made, miser = units(50), Miser()
    filmed(tmp_path / "b.mp4", made, miser)
    assert bytes(miser.taken) == filmed(tmp_path / "a.mp4", made).read_bytes()


def test_a_full_disk_fails_with_its_reason(tmp_path: Path) -> None:
    made = units(60)
    with open("/dev/full", "wb", buffering=0) as full:
        film = Film(full, SMALL, made[0], sound=False, note=OFF_AXIS, whose=WHOSE)
        with pytest.raises(FilmFailed, match="the disk is full"):
            film.picture(made[0])
        with pytest.raises(FilmFailed, match="the disk is full"):
            film.close()


# ---- sound ----


def test_sound_lies_where_it_was_heard(tmp_path: Path) -> None:
    film = content(filmed(tmp_path / "a.mp4", units(100), sounds=200))
    assert film.tracks == ["h264", "opus"]
    assert film.decoded == 100
    assert len(film.sounds) == 200
    assert film.sounds[0] == pytest.approx(0.0, abs=0.01)
    assert film.sounds[-1] == pytest.approx(199 * 0.02, abs=0.01)


def test_a_muted_caller_holds_no_picture_up(tmp_path: Path) -> None:
    film = content(filmed(tmp_path / "a.mp4", units(100), sounds=3))
    assert film.decoded == 100
    assert len(film.sounds) == 3


def test_the_callers_count_is_followed_and_its_jumps_are_not() -> None:
    clock = SoundClock(origin=10.0)
    assert clock.place(960_000, 10.0) == 0
    assert clock.place(960_960, 10.07) == pytest.approx(960, abs=10), "astray by 50 ms, and led by a hundredth"
    assert clock.place(961_920, 10.04) == pytest.approx(1920, abs=10)
    assert clock.place(960_000, 10.05) is None, "one that was overtaken"
    assert clock.place(500_000_000, 11.0) == 48_000, "its sender began anew: our clock says where"
    assert clock.place(500_000_960, 11.02) == 48_960


def test_a_clock_that_drifts_is_led_back_unheard() -> None:
    clock, farthest = SoundClock(origin=0.0), 0.0
    for packet in range(0, 180_000, 50):  # an hour, 0.1 % too fast
        came = packet * 0.02
        place = clock.place(round(packet * 960 * 1.001), came)
        if place is not None:
            farthest = max(farthest, abs(place / 48_000 - came))
    assert farthest <= 0.03


# ---- what is kept ----


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "recordings")


def kept(archive: Archive, channel: str = "room", avatar: str = "an-avatar", pictures: int = 60) -> str:
    facts, file = archive.begin(channel, avatar, "telequilt", SUFFIX)
    with file:
        made = units(pictures)
        film = Film(file, SMALL, made[0], sound=False, note=OFF_AXIS, whose=WHOSE)
        for unit in made:
            film.picture(unit)
        film.close()
    return archive.finish(facts, pictures, "asked to").name


def test_names_say_channel_time_and_tiling_and_are_never_taken_twice(archive: Archive) -> None:
    names = [kept(archive), kept(archive), kept(archive, "other")]
    assert len(set(names)) == 3
    assert all(NAME.fullmatch(name) and name.endswith("_qs6x4a1.mp4") for name in names)
    assert [one.name for one in archive.listing("other")] == names[2:]
    assert {one.name for one in archive.listing()} == set(names)
    one = archive.get(names[0])
    assert (one.frames, one.seconds, one.lost, one.ended) == (60, 2.4, 0, "asked to")
    assert one.bytes == archive.film(names[0]).stat().st_size


def test_only_its_owner_may_read_a_recording(archive: Archive) -> None:
    film = archive.film(kept(archive))
    assert archive.folder.stat().st_mode & 0o077 == 0
    assert all(file.stat().st_mode & 0o077 == 0 for file in (film, film.with_suffix(".json")))


def test_forgetting_an_avatar_deletes_what_shows_it_and_nothing_else(archive: Archive) -> None:
    shown, other = kept(archive, avatar="a"), kept(archive, avatar="b")
    assert archive.forget("a") == 1
    assert [one.name for one in archive.listing()] == [other]
    assert not list(archive.folder.glob(f"{Path(shown).stem}*"))
    assert archive.forget("a") == 0


def test_what_is_being_recorded_can_be_neither_deleted_nor_forgotten(archive: Archive) -> None:
    facts, file = archive.begin("room", "a", "telequilt", SUFFIX)
    for refused in (lambda: archive.delete(facts.name), lambda: archive.film(facts.name), lambda: archive.forget("a")):
        with pytest.raises(StillRecording):
            refused()
    file.close()
    assert archive.finish(facts, 0, "asked to").frames == 0
    assert list(archive.folder.iterdir()) == [], "a recording without a picture is none"


def test_after_a_killed_server_a_recording_ends_with_its_last_whole_fragment(archive: Archive) -> None:
    facts, file = archive.begin("room", "a", "telequilt", SUFFIX)
    made = units(90)
    film = Film(file, SMALL, made[0], sound=False, note=OFF_AXIS, whose=WHOSE)
    for unit in made:
        film.picture(unit)
    later = Archive(archive.folder)
    assert later.get(facts.name).ended is None, "its server lives, and holds the lock"
    with pytest.raises(StillRecording):
        later.forget("a")

    file.write(b"\0\0\1\0moof and then the power went")
    file.close()
    mended = later.get(facts.name)
    assert mended.ended == CUT_SHORT
    assert mended.frames == content(later.film(facts.name)).decoded > 60
    assert later.film(facts.name).stat().st_size == mended.bytes
    assert Archive(archive.folder).get(facts.name) == mended, "once is enough"
    assert later.forget("a") == 1


def test_nothing_is_left_of_a_server_that_was_killed_before_the_first_picture(archive: Archive) -> None:
    _, file = archive.begin("room", "a", "telequilt", SUFFIX)
    file.close()
    assert Archive(archive.folder).listing() == []
    assert list(archive.folder.iterdir()) == []


def test_other_files_in_the_folder_are_left_alone(archive: Archive) -> None:
    name = kept(archive)
    for other in ("holiday.mp4", "holiday.json", "room-20260101T000000Z_qs6x4a1.mp4"):
        (archive.folder / other).write_bytes(b"mine")
    assert [one.name for one in archive.listing()] == [name]
    archive.forget("an-avatar")
    assert sorted(path.name for path in archive.folder.iterdir()) == [
        "holiday.json",
        "holiday.mp4",
        "room-20260101T000000Z_qs6x4a1.mp4",
    ]


@pytest.mark.parametrize(
    "name", ["../secret.mp4", "a/b_qs6x4a1.mp4", "", "room.mp4", "room-20260101T000000Z_qs6x4a1.json"]
)
def test_no_name_leads_out_of_the_folder(archive: Archive, name: str) -> None:
    kept(archive)
    for ask in (archive.get, archive.film, archive.delete):
        with pytest.raises(UnknownRecording):
            ask(name)


def test_facts_survive_a_disk_without_room_for_them(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    name = kept(archive)
    place = archive.folder / Path(name).with_suffix(".json")
    stored = json.loads(place.read_text()) | {"ended": None}
    place.write_text(json.dumps(stored))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    assert Archive(archive.folder).get(name).frames == 60
    assert json.loads(place.read_text()) == stored, "to be mended another day"
    assert not list(archive.folder.glob("*.part"))
