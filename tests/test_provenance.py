"""What we make says what it is: signed, read back by our command's reader and by another one, told apart from what was changed."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from server.provenance import keys as module
from server.provenance.credentials import Signer, Unsigned
from server.provenance.keys import Keys, KeyUnusable
from server.provenance.reading import examine
from server.provenance.statement import (
    CAMERA,
    CONFIRMED,
    FILM,
    LABEL,
    LIVE,
    PUPPET,
    SEVERAL,
    UNSTATED,
    Agreed,
    Consent,
    Engine,
    manifest,
)
from server.provenance.verdict import Finding, lines_of, verdict
from server.recordings import archive as archives
from server.recordings import fragments
from server.recordings.archive import EARLIER, PENDING, SIGNED, UNSIGNED, Archive
from tests.films import content
from tests.signed import archive_in, coded_anew, filmed, flipped, signer_in, stated, still


def others(path: Path) -> dict:
    """What a reader of the standard says that shares no code with ours."""
    reader = pytest.importorskip("encypher_c2pa", reason="no other reader of C2PA here: pip install encypher-c2pa")
    return reader.verify(str(path))


def test_a_film_is_signed_when_it_ends_and_both_readers_find_it_whole(tmp_path: Path):
    archive = archive_in(tmp_path)
    facts = filmed(archive)
    film = archive.film(facts.name)
    assert (facts.credentials, facts.unsigned) == (SIGNED, "")
    assert facts.bytes == film.stat().st_size
    assert archive.get(facts.name) == facts
    assert content(film).decoded == facts.frames == 50
    assert fragments.described(film) == "whose", "by which it is forgotten"
    found = examine(film, signer_in(tmp_path).keys.anchors())
    assert found.finding is Finding.VALID, found
    assert found.stated["consent"]["category"] == "me"
    assert found.stated["engine"]["code_sha256"] == "ab" * 32
    assert found.stated["tiling"] == {"columns": 6, "rows": 4, "views": 24, "aspect": 1}
    assert dict(found.lines)["Mark in every view"] == "“AI avatar”"
    other = others(film)
    assert (other["integrity"], other["signature"], other["hard_binding"]) == ("valid", "valid", "match")


def test_changed_coded_anew_unsigned_and_foreign_are_told_apart(tmp_path: Path):
    archive = archive_in(tmp_path)
    film = archive.film(filmed(archive).name)
    anchors = signer_in(tmp_path).keys.anchors()
    plain = archive_in(tmp_path / "plain", Signer(Keys(tmp_path / "plain" / "keys")))
    foreign = plain.film(filmed(plain).name)
    text = tmp_path / "letter.mp4"
    text.write_text("Dear sir or madam")
    kinds = {
        film: Finding.VALID,
        flipped(film): Finding.CHANGED,
        flipped(film, 2000): Finding.CHANGED,  # within the manifest
        coded_anew(film): Finding.UNSIGNED,
        foreign: Finding.UNVOUCHED,
        text: Finding.UNREADABLE,
    }
    assert {path.name: examine(path, anchors).finding for path in kinds} == {
        path.name: kind for path, kind in kinds.items()
    }
    assert examine(flipped(film), anchors).stated == {}, "nothing of it can be believed"
    assert others(flipped(film))["integrity"] == "invalid"
    assert others(foreign)["integrity"] == "valid"
    more = film.with_name("more.mp4")
    more.write_bytes(film.read_bytes() + b"\x00\x00\x00\x10mdatlaterpic")
    assert examine(more, anchors).finding is Finding.CHANGED, "what is appended is no part of it"


def test_a_still_is_signed_and_keeps_its_pixels(tmp_path: Path):
    from PIL import Image

    signer, png = signer_in(tmp_path), still()
    place = tmp_path / "still.png"
    place.write_bytes(signer.still(png, stated().told(), "still.png"))
    assert examine(place, signer.keys.anchors()).finding is Finding.VALID
    assert examine(flipped(place), signer.keys.anchors()).finding is Finding.CHANGED
    (tmp_path / "plain.png").write_bytes(png)
    with Image.open(place) as signed, Image.open(tmp_path / "plain.png") as plain:
        assert signed.tobytes() == plain.tobytes()
    assert others(place)["integrity"] == "valid"


def test_a_killed_server_leaves_a_film_that_is_signed_late(tmp_path: Path):
    killed = filmed(archive_in(tmp_path), ended=False)
    film = tmp_path / "recordings" / killed.name
    with film.open("r+b") as file:
        file.truncate(film.stat().st_size - 1000)  # in the middle of a fragment
    (film.parent / f".{killed.name}.signing").write_bytes(b"half a copy")
    again = archive_in(tmp_path)
    assert again.get(killed.name).credentials == PENDING
    assert again.sign_late() == 1
    facts = again.get(killed.name)
    assert (facts.credentials, facts.ended) == (SIGNED, archives.CUT_SHORT)
    assert others(film)["integrity"] == "valid"
    assert examine(film, signer_in(tmp_path).keys.anchors()).finding is Finding.VALID
    assert [path.name for path in film.parent.glob(".*")] == []
    assert again.sign_late() == 0, "once"


def test_one_killed_between_signing_and_saying_so_is_not_signed_twice(tmp_path: Path):
    archive = archive_in(tmp_path)
    facts = filmed(archive)
    archive._write(replace(facts, credentials=PENDING))
    size = archive.film(facts.name).stat().st_size
    assert archive.get(facts.name).credentials == SIGNED
    assert size == facts.bytes


def test_what_cannot_be_signed_is_kept_and_said_to_be_unsigned(tmp_path: Path):
    class Broken(Signer):
        def film(self, *what: object, **more: object) -> Path:
            raise Unsigned("the key is at the operator's")

    archive = archive_in(tmp_path, Broken(Keys(tmp_path / "keys")))
    facts = filmed(archive)
    assert (facts.credentials, facts.unsigned) == (UNSIGNED, "the key is at the operator's")
    assert archive.get(facts.name) == facts
    assert content(archive.film(facts.name)).decoded == 50
    assert archive_in(tmp_path).sign_late() == 1, "once it can be"


def test_films_of_earlier_versions_are_read_and_said_to_be_unsigned(tmp_path: Path):
    archive = archive_in(tmp_path)
    facts = filmed(archive, told={"damaged": True})
    assert facts.credentials == UNSIGNED
    assert "damaged" in facts.unsigned
    beside = archive._beside(facts.name)
    stored = json.loads(beside.read_text())
    for later in archives.LATER:
        del stored[later]
    beside.write_text(json.dumps(stored))
    archive.film(facts.name)
    assert (archive.get(facts.name).credentials, archive.get(facts.name).unsigned) == (UNSIGNED, EARLIER)


def test_a_film_that_is_deleted_while_it_is_signed_stays_deleted(tmp_path: Path):
    class Slow(Signer):
        def film(self, path: Path, *what: object, **more: object) -> Path:  # type: ignore[override]
            copy = super().film(path, *what, **more)  # type: ignore[arg-type]
            archive._delete(path.name)
            return copy

    archive = archive_in(tmp_path, Slow(Keys(tmp_path / "provenance")))
    filmed(archive)
    assert list(archive.folder.iterdir()) == []


def test_no_room_for_a_copy_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    archive = archive_in(tmp_path)
    monkeypatch.setattr(Archive, "free", lambda self: 1000)
    assert "no room" in filmed(archive).unsigned


# keys -----------------------------------------------------------------------------------------------------------------------


def test_a_key_is_made_once_for_its_owner_alone(tmp_path: Path):
    keys = Keys(tmp_path / "new" / "provenance")
    made = keys.credential()
    assert Keys(keys.folder).credential() == made
    assert stat.S_IMODE(keys.folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in keys.folder.iterdir()} == {0o600}
    assert sorted(path.name for path in keys.folder.iterdir()) == ["root.pem", "signing.pem"]
    assert b"PRIVATE" not in keys.anchors()


def test_a_replaced_key_leaves_older_signatures_valid_and_another_root_does_not(tmp_path: Path):
    archive, keys = archive_in(tmp_path), signer_in(tmp_path).keys
    before = archive.film(filmed(archive).name)
    old = keys.credential()
    assert keys.replace().fingerprint != old.fingerprint
    after = archive.film(filmed(archive).name)
    assert [examine(film, keys.anchors()).finding for film in (before, after)] == [Finding.VALID] * 2
    keys.replace(root=True)
    assert examine(before, keys.anchors()).finding is Finding.UNVOUCHED


def test_a_key_of_a_year_is_replaced_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    keys = Keys(tmp_path)
    old = keys.credential()
    assert keys.credential() == old
    monkeypatch.setattr(module, "REPLACED_AFTER", timedelta(seconds=-1))
    assert keys.credential().fingerprint != old.fingerprint
    assert old.certificate.not_valid_after_utc - datetime.now(UTC) > timedelta(days=9 * 365), (
        "no trusted clock is asked"
    )


@pytest.mark.parametrize("kind", ["ec -name secp384r1", "ed25519"])
def test_the_operators_own_key_signs(tmp_path: Path, kind: str):
    theirs = Keys(tmp_path / "theirs")
    theirs.credential()
    certificate, key = operators(tmp_path, kind)
    signer = Signer(Keys(tmp_path / "ours", certificate, key))
    place = tmp_path / "still.png"
    place.write_bytes(signer.still(still(), stated().told(), "still.png"))
    assert examine(place, signer.keys.anchors()).finding is Finding.VALID
    assert examine(place, theirs.anchors()).finding is Finding.UNVOUCHED
    assert not signer.keys.credential().ours
    assert others(place)["integrity"] == "valid"


def operators(folder: Path, kind: str) -> tuple[Path, Path]:
    """A certificate authority's chain and a key, made by OpenSSL as an operator would."""
    key, chain = folder / "own.key", folder / "own.pem"
    algorithm = (
        ["-newkey", "ed25519"]
        if kind == "ed25519"
        else ["-newkey", "ec", "-pkeyopt", f"ec_paramgen_curve:{kind.split()[-1]}"]
    )

    def openssl(*words: object) -> None:
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)

    openssl("req", "-x509", *algorithm, "-nodes", "-keyout", folder / "ca.key", "-out", folder / "ca.pem", "-days", 30,
            "-subj", "/O=Example/CN=Example CA", "-addext", "keyUsage=critical,keyCertSign")  # fmt: skip
    openssl(
        "req", *algorithm, "-nodes", "-keyout", key, "-out", folder / "own.csr", "-subj", "/O=Example/CN=Example films"
    )
    extensions = folder / "extensions"
    extensions.write_text(
        "basicConstraints=critical,CA:false\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=emailProtection\n"
        "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid"
    )
    openssl("x509", "-req", "-in", folder / "own.csr", "-CA", folder / "ca.pem", "-CAkey", folder / "ca.key", "-days", 30,
            "-out", folder / "leaf.pem", "-extfile", extensions)  # fmt: skip
    chain.write_bytes((folder / "leaf.pem").read_bytes() + (folder / "ca.pem").read_bytes())
    return chain, key


def test_a_key_that_is_not_the_certificates_says_so(tmp_path: Path):
    one, other = Keys(tmp_path / "one"), Keys(tmp_path / "other")
    for keys in (one, other):
        keys.credential()
    mixed = Keys(tmp_path, one.folder / "signing.pem", other.folder / "signing.pem")
    with pytest.raises(KeyUnusable, match=r"not for that key.*TELEQUILT_SIGNING_KEY"):
        mixed.credential()
    (one.folder / "signing.pem").write_text("garbage")
    with pytest.raises(KeyUnusable, match="signing replace"):
        one.credential()
    with pytest.raises(Unsigned, match="signing replace"):
        Signer(one).still(still(), stated().told(), "still.png")


# what is stated -------------------------------------------------------------------------------------------------------------


def test_how_it_came_to_be_is_iptcs_word():
    puppet = stated(driven=(PUPPET,))
    assert stated().source_type == puppet.source_type == "compositeSynthetic"
    assert replace(puppet, consent=Consent("synthetic", 1.0)).source_type == "trainedAlgorithmicMedia"
    assert (
        replace(stated(driven=(CAMERA, PUPPET)), consent=Consent("synthetic", 1.0)).source_type == "compositeSynthetic"
    )
    assert replace(stated(), consent=Consent(LIVE)).source_type == "compositeCapture"
    assert replace(puppet, consent=Consent(LIVE)).source_type == "compositeSynthetic", "no camera took that"


@pytest.mark.parametrize(
    ("driven", "words"),
    [
        ((CAMERA,), "moved by a person's face before a camera."),
        ((FILM,), "moved by the face in a film."),
        ((PUPPET,), "moved by a scripted face, which is nobody's."),
        ((CAMERA, PUPPET), "moved by a person's face before a camera, then by a scripted face, which is nobody's."),
        ((UNSTATED,), "moved by a face of which nothing says whether it was before a camera."),
        (True, "moved by a face of which nothing says whether it was before a camera."),  # films of earlier versions
    ],
)
def test_what_moved_it_is_said_in_the_action_and_to_people(driven: Any, words: str):
    told = stated().told() | {"driven": driven}
    action = manifest(told, "film.mp4", "video/mp4")["assertions"][0]["data"]["actions"][0]
    assert (
        action["description"]
        == dict(lines_of(told))["What it shows"]
        == f"A synthetic 3D avatar of a portrait, {words}"
    )


def test_a_table_says_what_made_each_who_sits_there():
    made = Engine("table", members=(Engine("relief", "a" * 64), Engine("live", "b" * 64)))
    told = replace(stated(driven=(CAMERA, PUPPET)), engine=made, consent=Consent(SEVERAL)).told()
    lines = dict(lines_of(told))
    assert lines["Engine"] == "relief, code aaaaaaaaaaaa…, without weights; live, code bbbbbbbbbbbb…, without weights"
    assert lines["What it shows"].startswith(
        "Synthetic 3D avatars of several people, moved by a person's face before a camera, and by"
    )


def test_the_manifest_says_all_of_it_and_no_name():
    told = stated(agreed=Agreed(3, {"me": 2, "synthetic": 1}), likeness=CONFIRMED).told()
    made = manifest(told, "film.mp4", "video/mp4")
    assert made["assertions"][0]["data"]["actions"][0]["digitalSourceType"].endswith("/compositeSynthetic")
    ours = next(one["data"] for one in made["assertions"] if one["label"] == LABEL)
    assert ours["agreed"] == {"members": 3, "portraits": {"me": 2, "synthetic": 1}}
    assert "name" not in {key for key in ours if key != "engine"}


def test_words_are_found_for_what_others_stated():
    found = verdict(
        {"active_manifest": "x", "manifests": {"x": {"assertions": [{"label": LABEL, "data": {"mark": 7}}]}}}
    )
    assert found.finding is Finding.VALID
    assert ("Statement", "in a form that this version does not know") in found.lines


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(change=st.dictionaries(st.sampled_from(sorted(stated().told())), ANYTHING, max_size=3))
@example(change={"began": 1e300})
def test_whatever_a_stranger_has_stated_and_signed_is_read_or_said_to_be_unknown(change: dict[str, Any]):
    told = stated().told() | {"began": "2026-01-01T00:00:00+00:00"} | change
    assertions = [{"label": LABEL, "data": told}]
    found = verdict({"active_manifest": "x", "manifests": {"x": {"assertions": assertions}}})
    assert found.finding is Finding.VALID
    assert all(isinstance(words, str) for line in found.lines for words in line)


def test_a_reader_that_breaks_off_or_dawdles_is_no_verdict_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from server.provenance import reading

    place = tmp_path / "a.png"
    place.write_bytes(still())
    monkeypatch.setattr(reading, "WALL_SECONDS", 0.01)
    assert examine(place).finding is Finding.UNREADABLE
    with pytest.raises(FileNotFoundError):
        examine(tmp_path / "nobody.mp4")
    assert os.listdir(tmp_path) == ["a.png"]


def test_who_states_more_than_anybody_reads_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from server.provenance import reading

    place = tmp_path / "still.png"
    place.write_bytes(signer_in(tmp_path).still(still(), stated().told(), place.name))
    assert "report" in reading._read(str(place), b"")
    monkeypatch.setattr(reading, "MOST_REPORT", 1000)
    assert reading._read(str(place), b"") == {"failure": "it states too much"}
