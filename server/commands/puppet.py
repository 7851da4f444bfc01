"""Puppet: the scripted face (a synthetic source) as a caller."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from urllib.parse import quote

from pipeline.puppet import RATE, Puppet
from server import workers
from server.webrtc.client import PictureTrack, publishing


async def play(
    server: str, channel: str, avatar: str, token: str | None, seconds: float | None, tell: Callable[[str], None]
) -> None:
    """Publish the puppet into `channel` of the Telequilt at `server` until cancelled. Raises Refused or Unreachable."""
    server = server.partition("#")[0].rstrip("/")  # as `serve` prints it: with a slash, and the token in the fragment
    puppet = await workers.slow(Puppet)
    track = PictureTrack(lambda number: puppet.frame(number / RATE).pixels, RATE)
    async with publishing(f"{server}/whip/{quote(channel)}?avatar={quote(avatar)}", track, token=token):
        tell(f"{server}/view/{quote(channel)}")
        await asyncio.sleep(seconds if seconds is not None else float("inf"))
