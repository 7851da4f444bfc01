"""A caller who does not look like the portrait is told, may confirm, and is kept from nothing; what was found is stated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engines.contract import FaceObservation
from pipeline.avatar_files import Consent
from server.channels import likening
from server.settings import Settings
from tests.conversing import Call
from tests.live import Client, painted_services, serving, settings_for, until
from tests.painted import still_face
from tests.test_whip import problem


class Alike:
    """Says what it is told to say."""

    def __init__(self, cosine: float) -> None:
        self._cosine, self.asked = cosine, 0

    def cosine(self, one: FaceObservation, other: FaceObservation) -> float:
        self.asked += 1
        return self._cosine


@pytest.mark.parametrize(
    ("cosine", "consent", "found"),
    [(0.1, Consent.ME, "unlike"), (0.6, Consent.ME, "alike"), (0.1, Consent.SYNTHETIC, "not-compared")],
)
async def test_it_is_said_and_stated_and_blocks_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cosine: float, consent: Consent, found: str
):
    import httpx

    monkeypatch.setattr(likening, "APART_SECONDS", 0.01)
    judge = Alike(cosine)

    def services(settings: Settings):
        return replace(painted_services(settings), likeness=judge)

    async with (
        serving(settings_for(tmp_path), services) as (base, app),
        httpx.AsyncClient(base_url=base, timeout=60) as http,
    ):
        avatar = app.state.services.avatars.keep(still_face(), consent, "cafe" * 16).id
        async with Client(http) as caller:
            await caller.publish(avatar=avatar)
            channel = app.state.lobby.live("room")
            if found == "not-compared":
                await until(lambda: channel.session.newest is not None and channel.session.presence > 0.99)
                assert judge.asked == 0, "nobody is shown by it"
            else:
                await until(lambda: channel.likeness != "not-compared")
            assert (await http.get("/api/channels/room")).json()["likeness"] == found
            confirmed = await http.post("/api/channels/room/likeness")
            if found == "unlike":
                assert (confirmed.status_code, judge.asked) == (204, likening.LOOKS)
                assert (await http.get("/api/channels/room/provenance")).json()["likeness"] == "unlike-confirmed"
                assert [entry.event for entry in app.state.consents.entries()] == ["unlike-confirmed"]
            else:
                problem(confirmed, 409, "nothing-to-confirm")
            await caller.hang_up()


async def test_in_a_call_the_seat_alone_is_told_and_it_alone_confirms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import httpx

    monkeypatch.setattr(likening, "APART_SECONDS", 0.01)

    def services(settings: Settings):
        return replace(painted_services(settings), likeness=Alike(0.1))

    async with (
        serving(settings_for(tmp_path), services) as (base, app),
        httpx.AsyncClient(base_url=base, timeout=60) as http,
    ):
        avatar = app.state.services.avatars.keep(still_face(), Consent.ME, "cafe" * 16).id
        call = await Call.make(http, form="table")
        ana, hers = await call.join("Ana", "host", avatar=avatar)
        bo, his = await call.join("Bo", avatar="sample")
        path = f"/api/channels/{call.name}.{ana['seat']}"
        async with (
            member(base, ana) as asking,
            member(base, bo) as another,
            Client(asking) as one,
            Client(another) as two,
        ):
            assert (await one.publish(f"{call.name}.{ana['seat']}", driver="camera")).status_code == 201
            assert (await two.publish(f"{call.name}.{bo['seat']}", driver="puppet")).status_code == 201
            await hers.hears("likeness", found="unlike")
            problem(await another.post(f"{path}/likeness"), 403, "not-permitted")
            assert (await asking.post(f"{path}/likeness")).status_code == 204
            await hers.hears("likeness", found="unlike-confirmed")
            await hers.close()
            again = await call.enter(ana, resume=True)
            assert (await again.hears("welcome"))["likeness"] == "unlike-confirmed"
            assert not [message for message in his.told if message["t"] == "likeness"]

            stated = (await asking.get(f"{path}/provenance")).json()
            assert (stated["likeness"], stated["driven"]) == ("unlike-confirmed", ["camera"])
            await until(lambda: call.name in app.state.lobby.channels)
            table = (await asking.get(f"/api/channels/{call.name}/provenance")).json()
            assert (table["likeness"], table["driven"]) == ("unlike-confirmed", ["camera", "puppet"])
            assert [made["name"] for made in table["engine"]["members"]] == [ana["engine"]]
            assert table["seen_by"] == "whoever is in this call"
        await call.close()


async def test_what_moves_an_avatar_is_stated_as_its_caller_says(tmp_path: Path):
    import httpx

    async with serving(settings_for(tmp_path)) as (base, _), httpx.AsyncClient(base_url=base, timeout=60) as http:
        for query, driven in (({"driver": "puppet"}, ["puppet"]), ({}, ["unstated"])):
            async with Client(http) as caller:
                assert (await caller.publish(**query)).status_code == 201
                stated = (await http.get("/api/channels/room/provenance")).json()
                assert stated["driven"] == driven
                await caller.hang_up()
        async with Client(http) as caller:
            problem(await caller.publish(driver="me"), 400, "bad-parameter")


def member(base: str, seat: dict[str, Any]):
    import httpx

    return httpx.AsyncClient(base_url=base, headers={"Authorization": f"Bearer {seat['token']}"}, timeout=60)
