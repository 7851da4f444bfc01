"""A caller who does not look like the portrait is told, may confirm, and is kept from nothing; what was found is stated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from engines.contract import FaceObservation
from pipeline.avatars import Consent
from server.channels import likening
from server.settings import Settings
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

    async with serving(settings_for(tmp_path), services) as (base, app), httpx.AsyncClient(base_url=base) as http:
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
