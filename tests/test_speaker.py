"""A display's machine plays the sound of what it shows, and shows it all the same where it can play nothing."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest

from server.commands.speaker import Speaker, audible
from server.commands.watching import Watcher
from tests.live import Client, Clip, serving, settings_for, until
from tests.test_call_sound import Tone
from tests.test_watching import Wall


def test_whoever_wants_none_has_none_and_who_lacks_the_library_is_told_how_to_get_it(monkeypatch):
    told: list[str] = []
    with audible(True, told.append) as speaker:
        assert speaker is None
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with audible(False, told.append) as speaker:
        assert speaker is not None
    assert len(told) == 1
    assert "libportaudio2" in told[0]


async def test_the_sound_of_a_channel_is_played_while_it_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    nowhere = tmp_path / "asound.conf"
    nowhere.write_text("pcm.!default { type null }\nctl.!default { type null }\n")
    monkeypatch.setenv("ALSA_CONFIG_PATH", str(nowhere))
    told: list[str] = []
    async with (
        serving(settings_for(tmp_path)) as (address, _),
        httpx.AsyncClient(base_url=address, timeout=30) as http,
        Client(http) as caller,
    ):
        assert (await caller.publish("room", Clip(), Tone(440.0))).status_code == 201
        with audible(False, told.append) as speaker:
            assert speaker is not None
            if told:
                played_by_hand(speaker)
            wall = Wall()
            watching = asyncio.create_task(
                Watcher(address, "room", lambda: None, wall, wall.told.append, speaker=speaker).run()
            )
            await until(lambda: speaker.played > 20 and bool(wall.shown))
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)


def played_by_hand(speaker: Speaker) -> None:
    """Where there is no PortAudio: take blocks as a sound card would."""
    loop = asyncio.get_running_loop()

    def play() -> None:
        speaker._play(np.zeros((960, 2), np.float32), 960)
        loop.call_later(0.02, play)

    play()
