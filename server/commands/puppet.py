"""Puppet: the scripted face (a synthetic source) as a caller, or as a member of a call, where it speaks too."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from fractions import Fraction
from urllib.parse import quote

import av
import numpy as np
from aiortc.mediastreams import MediaStreamTrack

from pipeline import puppet as script
from pipeline.puppet import RATE, Puppet
from server import workers
from server.commands.attendance import Link, attending
from server.webrtc.client import PictureTrack, publishing

SOUND_RATE = 48_000
PACKET = 960
"Samples of 20 ms."
LOWEST, SEMITONE = 196.0, 2 ** (1 / 12)
"Hz of the first seat's voice, a low G; each further seat's is a third higher."
LOUDNESS = 0.25
LOOK_EVERY = 0.5
"Seconds between two looks at whether a connection still stands."


async def play(
    server: str, channel: str, avatar: str, token: str | None, seconds: float | None, tell: Callable[[str], None]
) -> None:
    """Publish the puppet into `channel` of the Telequilt at `server` until cancelled, anew where the connection is lost. Raises
    Refused or Unreachable."""
    server = server.partition("#")[0].rstrip("/")  # as `serve` prints it: with a slash, and the token in the fragment
    puppet = await workers.slow(Puppet)
    url = f"{server}/whip/{quote(channel)}?avatar={quote(avatar)}&driver=puppet"
    deadline: float | None = None
    while deadline is None or time.monotonic() < deadline:
        track = PictureTrack(lambda number: puppet.frame(number / RATE).pixels, RATE)
        async with publishing(url, track, token=token) as connection:
            tell(f"{server}/view/{quote(channel)}")
            deadline = deadline or time.monotonic() + (seconds if seconds is not None else float("inf"))
            while connection.connectionState not in ("failed", "closed") and time.monotonic() < deadline:
                await asyncio.sleep(min(LOOK_EVERY, max(0.0, deadline - time.monotonic())))


async def join(link: Link, name: str, avatar: str, seconds: float | None, tell: Callable[[str], None]) -> None:
    """Sit in the call of `link`, move and speak, until cancelled or the seat is over. Raises Refused or Unreachable."""
    puppet = await workers.slow(Puppet)
    deadline = time.monotonic() + (seconds if seconds is not None else float("inf"))
    async with attending(link, name, tell, avatar=avatar) as seat:
        tell(f"{seat.name} sits on seat {seat.seat}. Ctrl-C lets it leave.")
        while not seat.over.done() and time.monotonic() < deadline:
            begun = time.monotonic()
            face = PictureTrack(lambda number: puppet.frame(number / RATE).pixels, RATE)
            async with AsyncExitStack() as stack:
                url = f"{link.server}/whip/{seat.channel}?driver=puppet"
                connection = await stack.enter_async_context(
                    publishing(url, face, Tone(seat.seat, begun), token=seat.token)
                )
                while connection.connectionState not in ("failed", "closed") and time.monotonic() < deadline:
                    await asyncio.wait([seat.over], timeout=LOOK_EVERY)
                    if seat.over.done():
                        break
    if seat.over.done():
        tell(f"The seat is over: {seat.over.result()}.")


class Tone(MediaStreamTrack):
    """A voice of one tone, as loud as the puppet's mouth is open: each seat has a tone of its own."""

    kind = "audio"

    def __init__(self, seat: int, begun: float) -> None:
        """`begun`: when the face's script began, of time.monotonic()."""
        super().__init__()
        self._hertz = LOWEST * SEMITONE ** (4 * (seat - 1) % 24)
        self._begun, self._sent = begun, 0

    async def recv(self) -> av.AudioFrame:
        await asyncio.sleep(max(0.0, self._begun + (self._sent + PACKET) / SOUND_RATE - time.monotonic()))
        frame = av.AudioFrame.from_ndarray(self._samples()[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = SOUND_RATE, self._sent, Fraction(1, SOUND_RATE)
        self._sent += PACKET
        return frame

    def _samples(self) -> np.ndarray:
        """[PACKET] int16."""
        at = (self._sent + np.arange(PACKET)) / SOUND_RATE
        edges = [script.mouth(at[0]), script.mouth(at[-1])]
        loud = np.interp(np.arange(PACKET), [0, PACKET - 1], edges)
        return (32767 * LOUDNESS * loud * np.sin(2 * np.pi * self._hertz * at)).astype(np.int16)
