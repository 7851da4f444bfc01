"""Avatars are kept whole, survive a restart, and leave nothing when forgotten."""

import threading
from pathlib import Path

import numpy as np
import pytest

from engines.contract import FaceObservation
from pipeline import avatars as module
from pipeline.avatar_files import Consent
from pipeline.avatars import SAMPLE, Avatars, UnknownAvatar
from tests.painted import PaintedEngine, still_face


@pytest.fixture
def store(tmp_path: Path) -> Avatars:
    return Avatars(tmp_path, sample=still_face)


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_an_avatar_survives_a_restart(store: Avatars, tmp_path: Path):
    record = store.keep(still_face(41), Consent.ME, "abc", "Ada")
    again = Avatars(tmp_path, sample=still_face)
    assert again.get(record.id) == record
    assert [r.id for r in again.records()] == [SAMPLE, record.id]
    seen, kept = still_face(41), again.observation(record.id)
    for name in ("landmarks", "shape", "neutral", "pose", "crop", "matte"):
        assert np.array_equal(getattr(seen, name), getattr(kept, name)), name
    assert again.picture(record.id).startswith(b"\x89PNG")


def test_forgetting_leaves_nothing(store: Avatars, tmp_path: Path):
    before = files(tmp_path)
    record = store.keep(still_face(), Consent.ME, "abc")
    store.ready(record.id, PaintedEngine())
    store.forget(record.id)
    assert files(tmp_path) == before
    for ask in (store.get, store.observation, store.picture, store.forget):
        with pytest.raises(UnknownAvatar):
            ask(record.id)
    with pytest.raises(UnknownAvatar):
        store.ready(record.id, PaintedEngine())


def test_a_failed_write_leaves_nothing(store: Avatars, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    before = files(tmp_path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "sync", full)
    with pytest.raises(OSError, match="No space"):
        store.keep(still_face(), Consent.ME, "abc")
    assert files(tmp_path) == before
    assert len(store.records()) == 1


def test_a_crash_half_way_is_cleared_up_at_the_next_start(store: Avatars, tmp_path: Path):
    half = tmp_path / "avatars" / ".half-written"
    half.mkdir()
    (half / "picture.png").write_bytes(b"...")
    Avatars(tmp_path, sample=still_face)
    assert not half.exists()


@pytest.mark.parametrize("name", ["", ".", "..", "../avatars", "a/b", "x" * 200, "nobody-of-this-name"])
def test_ids_are_no_paths(store: Avatars, name: str):
    with pytest.raises(UnknownAvatar):
        store.observation(name)


def test_the_sample_is_there_and_stays(store: Avatars):
    assert store.get(SAMPLE).consent is Consent.PUBLIC_DOMAIN
    assert store.ready(SAMPLE, PaintedEngine()) == "an avatar"
    with pytest.raises(UnknownAvatar, match="cannot be forgotten"):
        store.forget(SAMPLE)


class Counting(PaintedEngine):
    def __init__(self) -> None:
        self.enrolled = 0
        self.entered = threading.Event()

    def enrol(self, portrait: FaceObservation) -> str:
        self.enrolled += 1
        self.entered.wait(0.2)
        return "an avatar"


def test_two_who_ask_at_once_share_one_enrolment(store: Avatars):
    record, engine = store.keep(still_face(), Consent.SYNTHETIC, "abc"), Counting()
    asking = [threading.Thread(target=store.ready, args=(record.id, engine)) for _ in range(4)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    assert engine.enrolled == 1


def test_only_the_newest_few_are_kept_warm(tmp_path: Path):
    store, engine = Avatars(tmp_path, sample=still_face, warm=2), Counting()
    ids = [store.keep(still_face(i), Consent.ME, "abc").id for i in range(3)]
    engine.entered.set()
    for avatar in [*ids, ids[2], ids[0]]:
        store.ready(avatar, engine)
    assert engine.enrolled == 4
