"""Consent: written down so that changes are found out, withdrawn so that nothing is left, and what is stated of a live channel."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
import pytest_asyncio
from typer.testing import CliRunner

from server.__main__ import app as command_line
from server.provenance.consents import FORGOTTEN, GIVEN, LOG, MARK_OFF, WITHDRAWN, Consents
from server.recordings import traces
from server.recordings.archive import mark_of
from tests.filming import RECORDING, http_of, live_server, recorded_for
from tests.films import smallest_files
from tests.live import Client
from tests.signed import archive_in, filmed, flipped, signer_in, stated
from tests.test_whip import problem

live = pytest_asyncio.fixture(scope="module", loop_scope="module")(live_server)
http = pytest_asyncio.fixture(loop_scope="module")(http_of)
async_here = pytest.mark.asyncio(loop_scope="module")


# the log -------------------------------------------------------------------------------------------------------------------


def test_lines_are_added_rotated_and_linked_for_the_owner_alone(tmp_path: Path):
    log = Consents(tmp_path / "provenance", most_bytes=500)
    for number in range(20):
        Consents(log.folder, most_bytes=500).add(GIVEN, avatar=f"a{number}", consent="me")
    files = sorted(path.name for path in log.folder.glob(f"{LOG}*"))
    assert len(files) > 3
    assert files[:2] == [LOG, f"{LOG}.1"]
    assert {stat.S_IMODE((log.folder / name).stat().st_mode) for name in files} == {0o600}
    entries = list(log.entries())
    assert [entry.facts["avatar"] for entry in entries] == [f"a{number}" for number in range(20)]
    assert all(entry.linked for entry in entries)


@pytest.mark.parametrize("change", ["edit", "take out", "garbage"])
def test_a_line_that_was_changed_is_found_out(tmp_path: Path, change: str):
    log = Consents(tmp_path)
    for number in range(5):
        log.add(GIVEN, avatar=f"a{number}", consent="me")
    lines = (tmp_path / LOG).read_bytes().splitlines(keepends=True)
    lines[2:3] = {"edit": [lines[2].replace(b'"me"', b'"consenting"')], "take out": [], "garbage": [b"\xff\n"]}[change]
    (tmp_path / LOG).write_bytes(b"".join(lines))
    assert not all(entry.linked for entry in log.entries())
    log.add(WITHDRAWN, avatar="a1")
    assert list(log.entries())[-1].linked, "it goes on from what is there"


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path: Path):
    (tmp_path / "file").write_text("")
    Consents(tmp_path / "file" / "below").add(GIVEN)


@pytest.mark.parametrize("torn", ["by a full disk", "by a server that was killed"])
def test_half_a_line_takes_no_other_along(tmp_path: Path, torn: str):
    log = Consents(tmp_path)
    log.add(GIVEN, avatar="a0", consent="me")
    whole = (tmp_path / LOG).stat().st_size
    if torn == "by a full disk":
        with (
            smallest_files(whole + 20),
            pytest.raises(OSError, match="No space"),
        ):  # the kernel takes 20 bytes of the next line
            log._add(GIVEN, {"avatar": "a1", "consent": "me"})
        assert (tmp_path / LOG).stat().st_size == whole, "half a line is none"
    else:
        with (tmp_path / LOG).open("ab") as file:
            file.write(b'{"at": 1700000000.0, "ev')
    log.add(WITHDRAWN, avatar="a2")
    entries = list(log.entries())
    assert [entry.facts.get("avatar") for entry in entries if entry.event != "unreadable"] == ["a0", "a2"]
    assert entries[-1].linked


# withdrawing ---------------------------------------------------------------------------------------------------------------


@async_here
async def test_withdrawing_ends_the_call_and_leaves_nothing(live, http):
    avatars, folder = live.app.state.services.avatars, live.app.state.settings.data_dir
    from pipeline.avatar_files import Consent
    from tests.painted import still_face

    record = avatars.keep(still_face(), Consent.CONSENTING, "cafe" * 16, "A name")
    async with Client(http) as caller:
        await caller.publish("room", avatar=record.id)
        told = (await http.get("/api/channels/room/provenance")).json()
        assert (told["consent"]["category"], told["mark"], told["geometry"]) == ("consenting", "AI avatar", False)
        assert told["seen_by"] == "this machine's user"
        assert told["engine"]["name"] == "relief"
        await http.post(RECORDING)
        await recorded_for(http, 0.3)
        problem(await http.delete(f"/api/avatars/{record.id}"), 409, "avatar-live")
        done = await http.post(f"/api/avatars/{record.id}/withdrawal")
        assert done.status_code == 200, done.text
        assert (done.json()["ended"], done.json()["recordings"]) == (["room"], 1)
        assert done.json()["looked"]["found"] == []
        assert done.json()["looked"]["files"] > 0
        gone = problem(await http.get("/api/channels/room"), 404, "not-live")
        assert gone["ended"] == "consent to the portrait was withdrawn"
    assert not avatars.keeps(record.id)
    assert list((folder / "recordings").glob("*")) == []
    entry = list(Consents(live.app.state.settings.provenance_dir).entries())[-1]
    assert (entry.event, entry.facts["avatar"], entry.facts["left"]) == (WITHDRAWN, mark_of(record.id), 0)
    assert "A name" not in (live.app.state.settings.provenance_dir / LOG).read_text()
    problem(await http.post(f"/api/avatars/{record.id}/withdrawal"), 404, "unknown-avatar")
    problem(await http.post("/api/avatars/sample/withdrawal"), 403, "built-in")


def test_looking_finds_what_was_left(tmp_path: Path):
    avatar = "b" * 22
    assert traces.look(avatar, [tmp_path]).files == 0
    (tmp_path / "notes.json").write_text(json.dumps({"avatar": avatar}))
    (tmp_path / "large.bin").write_bytes(b"\0" * (traces.PIECE - 5) + mark_of(avatar).encode() + b"\0" * 9)
    (tmp_path / "provenance").mkdir()
    Consents(tmp_path / "provenance").add(FORGOTTEN, avatar=mark_of(avatar))
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "w.safetensors").write_text(avatar)
    found = traces.look(avatar, [tmp_path]).found
    assert sorted(Path(path).name for path in found) == ["large.bin", "notes.json"]


def test_withdrawing_without_a_server(tmp_path: Path):
    from pipeline.avatar_files import Consent
    from pipeline.avatars import Avatars
    from tests.painted import still_face

    record = Avatars(tmp_path, still_face).keep(still_face(), Consent.ME, "cafe" * 16, "[bold]Me")
    archive = archive_in(tmp_path)
    filmed(archive)
    run = CliRunner().invoke
    listed = run(command_line, ["consent", "list", "--data-dir", str(tmp_path)])
    assert record.id in listed.stdout
    assert "[bold]Me" in listed.stdout
    done = run(command_line, ["consent", "withdraw", record.id, "--offline", "--data-dir", str(tmp_path)])
    assert (done.exit_code, "nothing is left of it" in done.stdout) == (0, True), done.output
    assert len(archive.listing()) == 1, "another's"
    logged = run(command_line, ["consent", "log", "--data-dir", str(tmp_path)])
    assert (logged.exit_code, "withdrawn" in logged.stdout) == (0, True)
    assert (
        run(command_line, ["consent", "withdraw", record.id, "--offline", "--data-dir", str(tmp_path)]).exit_code == 2
    )


# verifying -----------------------------------------------------------------------------------------------------------------


def test_verify_has_words_exit_codes_and_json(tmp_path: Path):
    archive, run = archive_in(tmp_path), CliRunner().invoke
    film = archive.film(filmed(archive).name)
    plain = tmp_path / "plain.txt"
    plain.write_text("Dear sir or madam")

    def verify(*words: object):
        return run(command_line, ["verify", "--data-dir", str(tmp_path), *map(str, words)])

    good = verify(film)
    assert (good.exit_code, "vouched for here" in good.stdout) == (0, True), good.output
    assert verify(flipped(film)).exit_code == 4
    assert verify(plain).exit_code == verify(tmp_path / "nobody.mp4").exit_code == 1
    both = verify("--json", film, flipped(film))
    told = json.loads(both.stdout)
    assert (both.exit_code, [one["finding"] for one in told]) == (4, ["valid", "changed"])
    assert told[0]["stated"]["session"] == "a-session"
    elsewhere = tmp_path / "elsewhere"
    assert run(command_line, ["verify", "--data-dir", str(elsewhere), str(film)]).exit_code == 3
    root = signer_in(tmp_path).keys.folder / "root.pem"
    assert run(command_line, ["verify", "--data-dir", str(elsewhere), "--trust", str(root), str(film)]).exit_code == 0
    signing = run(command_line, ["signing", "show", "--data-dir", str(tmp_path)])
    assert "es256" in signing.stdout
    assert run(command_line, ["signing", "replace", "--data-dir", str(tmp_path)]).exit_code == 0
    assert verify(film).exit_code == 0


@async_here
async def test_the_page_is_told_what_a_file_says_and_keeps_nothing(live, http):
    settings = live.app.state.settings
    archive = live.app.state.archive
    film = archive.film(filmed(archive, told=stated().told()).name)
    found = (await http.post("/api/verify", content=film.read_bytes())).json()
    assert (found["finding"], found["stated"]["consent"]["category"]) == ("valid", "me")
    assert (await http.post("/api/verify", content=flipped(film).read_bytes())).json()["finding"] == "changed"
    problem(await http.post("/api/verify", content=b""), 400, "file-missing")
    assert list(settings.provenance_dir.glob(".looked*")) == []
    assert (await http.get("/verify")).status_code == 200


@async_here
async def test_a_mark_that_is_switched_off_is_logged_and_stated(tmp_path: Path):
    from tests.filming import calling
    from tests.live import settings_for

    async with calling(settings_for(tmp_path, mark=False)) as (http, app), Client(http) as caller:
        await caller.publish()
        assert (await http.get("/api/channels/room/provenance")).json()["mark"] == ""
        await caller.hang_up()
        assert [entry.event for entry in app.state.consents.entries()] == [MARK_OFF]
