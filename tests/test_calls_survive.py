"""A call goes on after whatever had it has died: people find their seats again."""

from __future__ import annotations

import json
import os
import time

import httpx
import pytest

from server.calls import events as of
from server.calls.events import ROLES, Being, Shared, State
from server.calls.invitations import Invitations
from server.calls.kept import FILE, OUTDATED_SECONDS, Kept
from server.calls.memory import recalled, remembered
from server.calls.rehearsals import Taken
from server.calls.rules import AWAY_SECONDS, Call
from tests.conversing import Call as Talking
from tests.live import serving, settings_for

TILING = {"as": "quilt"}


def of_two() -> tuple[Call, dict[int, Taken], Invitations]:
    call, invitations = Call(0.0, title="Two", seats=4, tiling=TILING), Invitations()
    invitations.add("once", 1)
    invitations.add("gone", None)
    invitations.revoke("gone")
    for number, (name, role) in enumerate((("Ana", "host"), ("Ben", "member")), 1):
        call.on(of.Seated(name, ROLES[role], 0.0, agrees=frozenset(Shared), muted=number == 2), 1.0)
        call.on(of.Connected(number, number, 1, False), 1.0)
    call.on(of.Changed(locked=True, title=None, form=None), 2.0)
    return call, {1: Taken("sample", "relief"), 2: Taken("sample", "live")}, invitations


def test_what_is_remembered_is_recalled_and_everybody_may_come_back():
    memory = json.loads(json.dumps(remembered(*of_two(), now=3.0)))
    call, taken, invitations = recalled(memory, TILING, now=1000.0)
    assert {seat.name: seat.being for seat in call.seats.values()} == {"Ana": Being.AWAY, "Ben": Being.AWAY}
    assert taken[2] == Taken("sample", "live")
    assert (call.title, call.limit, call.locked, call.next) == ("Two", 4, True, 3)
    assert invitations.usable("once")
    assert not invitations.usable("gone")
    call.on(of.Connected(1, 7, 1, True), 1001.0)
    assert call.seats[1].being is Being.PRESENT
    assert call.host == 1
    assert call.seats[1].epoch == 2
    call.on(of.Tick(), 1000.0 + AWAY_SECONDS)
    assert set(call.seats) == {1}
    assert call.state is State.OPEN


def test_a_yes_to_being_recorded_is_asked_for_anew():
    call, _, _ = recalled(remembered(*of_two(), now=3.0), TILING, now=1000.0)
    assert not any(seat.agreed for seat in call.seats.values())
    assert call.recording is None


def test_who_waits_to_be_let_in_is_not_taken_along():
    call = Call(0.0, approve=True, tiling=TILING)
    call.on(of.Seated("Host", ROLES["host"], 0.0), 0.0)
    call.on(of.Seated("Waits", ROLES["member"], 0.0), 0.0)
    taken = {1: Taken("sample", "relief"), 2: Taken("sample", "relief")}
    assert [row["name"] for row in remembered(call, taken, Invitations(), 1.0)["people"]] == ["Host"]


def test_the_file_is_for_its_owner_is_read_once_and_not_when_it_is_old(tmp_path):
    kept = Kept(tmp_path)
    kept.write({"a": {"people": []}})
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    assert kept.read() == {"a": {"people": []}}
    assert kept.read() == {}
    again = Kept(tmp_path)
    again.write({"a": {}})
    past = time.time() - OUTDATED_SECONDS - 1
    os.utime(tmp_path / FILE, (past, past))
    assert again.read() == {}
    again.write({"b": {}})
    again.write({})
    assert not (tmp_path / FILE).exists()


@pytest.mark.parametrize("said", ["", "[]", "{", '{"a": 3}', '{"a": {"people": [{}]}}', "\x00"])
async def test_a_damaged_file_keeps_no_server_from_starting(tmp_path, said):
    (tmp_path / FILE).write_text(said)
    async with serving(settings_for(tmp_path)) as (_, app):
        assert app.state.calls.conferences == {}


async def test_after_a_crash_people_find_their_seats_and_after_a_stop_there_is_no_call(tmp_path):
    async with (
        serving(settings_for(tmp_path)) as (address, app),
        httpx.AsyncClient(base_url=address, timeout=30) as http,
    ):
        call = await Talking.make(http, title="Goes on")
        seat, _ = await call.join("Ana")
        while not (tmp_path / FILE).exists():
            await app.state.calls._keep()
        left = (tmp_path / FILE).read_bytes()  # as a process leaves it that is killed now
        await call.close()
    assert not (tmp_path / FILE).exists()
    (tmp_path / FILE).write_bytes(left)
    async with (
        serving(settings_for(tmp_path)) as (address, app),
        httpx.AsyncClient(base_url=address, timeout=30) as http,
    ):
        again = Talking(http, {"call": call.name, "host": {"token": call.host}})
        socket = await again.enter(seat, resume=True)
        told = await socket.hears("welcome")
        assert (told["title"], told["seat"]) == ("Goes on", seat["seat"])
        await again.close()
