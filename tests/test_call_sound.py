"""What is heard in a call: everybody but oneself, from where they sit; and who speaks is told. Over a real server and real peers."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from fractions import Fraction
from itertools import pairwise
from typing import Any

import av
import httpx
import numpy as np
import pytest
from aiortc.mediastreams import MediaStreamTrack

from server.calls.sound import Sound
from server.media.playout import BLOCK
from server.webrtc import mixer
from tests.conversing import Call
from tests.live import Client, Clip, serving, settings_for, until

TONES = (400.0, 900.0, 1500.0)
HEARD = 1.6
"Seconds of a listener's stream that are looked at, after its first second."


class Tone(MediaStreamTrack):
    """A microphone that hears a tone."""

    kind = "audio"

    def __init__(self, frequency: float, size: float = 0.2) -> None:
        super().__init__()
        self._frequency, self._size, self._at, self._begun = frequency, size, 0, time.monotonic()

    async def recv(self) -> av.AudioFrame:
        await asyncio.sleep(max(0.0, self._begun + self._at / 48_000 - time.monotonic()))
        t = (self._at + np.arange(960)) / 48_000
        wave = np.round(32767 * self._size * np.sin(2 * math.pi * self._frequency * t)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(wave[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, self._at, Fraction(1, 48_000)
        self._at += 960
        return frame


class Listener:
    """Hears one stream of the mix."""

    def __init__(self) -> None:
        self.packets: list[tuple[bytes, int, float]] = []

    def hear(self, payload: bytes, position: int, captured: float) -> None:
        self.packets.append((payload, position, captured))

    def level(self, frequency: float) -> np.ndarray:
        """dB of a tone, left and right."""
        decoder: Any = av.CodecContext.create("libopus", "r")
        blocks = [
            frame.to_ndarray().reshape(-1, 2).astype(float) / 32768
            for payload, *_ in self.packets
            for frame in decoder.decode(av.Packet(payload))
        ]
        sound = np.concatenate(blocks)[-round(HEARD * 48_000) :]
        spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))[:, None], axis=0)) ** 2
        at = round(frequency * len(sound) / 48_000)
        return 10 * np.log10(spectrum[at - 4 : at + 5].sum(0) + 1e-9)

    async def fill(self) -> None:
        """Until there is enough to look at, from now on."""
        self.packets.clear()
        await until(lambda: len(self.packets) * BLOCK / 48_000 > HEARD + 1.0)


async def until_heard(listeners: Iterable[Listener], is_right: Callable[[], bool]) -> None:
    """What they hear is looked at again where this machine had no time for sound meanwhile."""
    for _ in range(10):
        await asyncio.gather(*(listener.fill() for listener in listeners))
        if is_right():
            return
    raise AssertionError("it never sounded as it should")


@asynccontextmanager
async def seated(http: httpx.AsyncClient, call: Call, frequencies: tuple[float, ...], first: str = "host"):
    """(their bodies, the first one's socket) of members who each sound their tone."""
    async with AsyncExitStack() as stack:
        joined = [await call.join(f"M{n}", "member" if n else first) for n in range(len(frequencies))]
        for (seat, _), frequency in zip(joined, frequencies, strict=True):
            headers = {"Authorization": f"Bearer {seat['token']}"}
            asking = await stack.enter_async_context(
                httpx.AsyncClient(base_url=http.base_url, headers=headers, timeout=60)
            )
            client = await stack.enter_async_context(Client(asking))
            answer = await client.publish(seat["whip"].removeprefix("whip/"), Clip(), Tone(frequency))
            assert answer.status_code == 201, answer.text
        yield [seat["seat"] for seat, _ in joined], joined[0][1], joined[0][0]["token"]


@pytest.fixture
async def served(tmp_path):
    async with (
        serving(settings_for(tmp_path, min_free_bytes=0)) as (address, app),
        httpx.AsyncClient(base_url=address, timeout=60) as http,
    ):
        made = await Call.make(http, title="Tea")
        yield http, app, made
        await made.close()


def sound_of(app: Any, call: Call) -> Sound:
    (found,) = (part for part in app.state.calls.conferences[call.name].parts if isinstance(part, Sound))
    return found


def at_its_side(side: int, heard: np.ndarray) -> bool:
    """Left is 1, the middle 0, right -1; in dB."""
    return side * (heard[0] - heard[1]) > 5 if side else abs(heard[0] - heard[1]) < 2


def carries(listener: Listener, everybody: Listener, tone: float) -> bool | None:
    """Whether a tone is heard as loud as in the mix of all; None where it is neither that nor silent."""
    difference = listener.level(tone).max() - everybody.level(tone).max()
    return True if abs(difference) < 3 else False if difference < -40 else None


async def test_each_of_three_hears_the_others_from_where_they_sit_and_not_itself(served):
    http, app, call = served
    async with seated(http, call, TONES) as (seats, socket, _):
        sound = sound_of(app, call)
        await until(lambda: len(sound._seats) == 3 and all(one.voice for one in sound._seats.values()))
        for seat in seats:
            sound.sent(seat, 0.15)
        listeners = {seat: Listener() for seat in [*seats, 0]}
        for seat, listener in listeners.items():
            sound.join(seat, listener.hear)
        everybody = listeners[0]

        def from_where_they_sit() -> bool:
            return all(
                at_its_side(side, everybody.level(tone))
                and all(carries(listeners[one], everybody, tone) is (one != speaker) for one in seats)
                for side, speaker, tone in zip((1, 0, -1), seats, TONES, strict=True)
            )

        await until_heard(listeners.values(), from_where_they_sit)
        told = await socket.hears("speaking", seats=seats)
        assert told["loudest"] in seats
        metrics = (await http.get("/metrics")).text
        assert mixer.spent() > 0
        assert "telequilt_mixer_seconds_total" in metrics
        assert 'telequilt_event_loop_lag_ms{quantile="p99"}' in metrics
        for listener in listeners.values():
            sound.leave(listener.hear)
        assert sound._thread is None, "nobody hears it, and nothing is mixed"
        positions = [position for _, position, _ in everybody.packets]
        assert all((b - a) % BLOCK == 0 and b > a for a, b in pairwise(positions))


async def test_who_is_muted_by_the_host_is_not_heard_and_does_not_speak(served):
    http, app, call = served
    async with seated(http, call, TONES) as (seats, socket, _):
        sound = sound_of(app, call)
        await socket.hears("speaking", seats=seats)
        answer = await call.ask("PATCH", f"/seats/{seats[1]}", muted=True)
        assert answer.status_code == 200, answer.text
        await socket.hears("speaking", seats=[seats[0], seats[2]])
        listener = Listener()
        for seat in seats:
            sound.sent(seat, 0.1)
        sound.join(0, listener.hear)
        await until_heard([listener], lambda: listener.level(TONES[0]).max() - listener.level(TONES[1]).max() > 40)


def tones(sounds: list[Any]) -> list[float]:
    """dB of each of TONES in decoded stereo."""
    sound = np.concatenate([frame.to_ndarray().reshape(-1, 2)[:, 0] for frame in sounds])
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    at = [round(tone * len(sound) / 48_000) for tone in TONES]
    return [20 * math.log10(spectrum[one - 4 : one + 5].max() + 1) for one in at]


def heard_alone(sounds: list[Any]) -> bool:
    """The others, and not oneself, in the newest second; a machine that was kept busy in it is given another one."""
    if len(sounds) < 120:
        return False
    own, *others = tones(sounds[-50:])
    return min(others) - own > 30


@asynccontextmanager
async def watching(http: httpx.AsyncClient, call: Call, token: str):
    """Somebody who watches and hears the call."""
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        httpx.AsyncClient(base_url=http.base_url, headers=headers, timeout=60) as asking,
        Client(asking) as viewer,
    ):
        assert (await viewer.view(call.name, audio=True)).status_code == 201
        yield viewer


async def test_at_a_table_one_hears_the_others_as_old_as_they_are_in_its_picture(served):
    http, app, call = served
    async with seated(http, call, TONES) as (seats, socket, token):
        await socket.hears("form", 60.0, **{"as": "table"})
        begun = time.monotonic()
        async with watching(http, call, token) as viewer:
            await until(lambda: len(viewer.pictures) > 5 and heard_alone(viewer.sounds))
            there = sound_of(app, call)._seats
            assert all(there[seat].at_table > begun for seat in seats), "the table tells how old they are"
            assert all((there[seat].delay.seconds or 0) > 0 for seat in seats)


async def test_who_watches_the_call_hears_one_as_he_is_and_several_mixed(served):
    http, app, call = served
    async with seated(http, call, TONES[:2]) as (seats, socket, token):
        await socket.hears("speaking", seats=seats)
        sound = sound_of(app, call)
        async with watching(http, call, token) as viewer:
            await until(lambda: len(viewer.sounds) > 40)
            assert sound._thread is None, "one other is passed on as he is"
            async with seated(http, call, TONES[2:], first="member"):
                await until(lambda: sound._thread is not None)
                heard = len(viewer.sounds)
                await until(lambda: heard_alone(viewer.sounds[heard:]))
