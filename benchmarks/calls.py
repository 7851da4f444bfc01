"""Calls: what a call's sound and pictures cost, in processor time, held against what they cost when that was written down.

    python -m benchmarks.calls

    python -m benchmarks.calls --anew

A packet of sound that is passed on to one viewer, by the server's own way from the caller's packet to the socket; a packet that is mixed
for one listener of three, four and eight of whom three speak and take turns; a table's picture of three, from its members' newest to
what a viewer's sender takes. Rendering is not in it (stage_times), nor what members receive.

A machine's speed varies, by the half where others share its host. So a fixed piece of other work is measured before and after each tenth
of a second (benchmarks/lib/yardstick.py: interpreted Python and datagrams beside packets, libopus beside mixing, libx264 beside
pictures), and costs are compared in yards of it, by their medians: what has become dearer by more than 20 % is named, and the exit
status is 1. --anew writes down what they cost now, to be compared with from then on; only figures of the
same kind of machine are compared.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription

from benchmarks.lib import yardstick
from benchmarks.lib.harness import RESULTS, circumstances, parser, show, write
from benchmarks.lib.stand_in import DRAWN, drawn
from benchmarks.lib.yardstick import LEAST_SLICES, Cost, Slice, comparison, measured
from benchmarks.live import chirp
from display.colour import plain
from display.seating import Seating, seated
from pipeline.mosaic import Mosaic
from pipeline.stages import Picture
from server import workers
from server.channels.forms import sent_as
from server.media.delay import Delay
from server.media.encode import best_codec, layout_for
from server.media.playout import BLOCK
from server.media.present import Presenter, ViewerTrack
from server.tally import Tally
from server.webrtc.audio import Line, VoiceTrack
from server.webrtc.mixer import RATE, Desk, Encoder
from server.webrtc.patches.tuning import tune_libraries
from server.webrtc.redundancy import Repeating
from server.webrtc.voice_line import Said

LIMIT_CORES = 0.3
"What mixing for eight members may take."
SPEAKERS = 3
TURN = 100
"Blocks after which somebody else speaks: two seconds."
TICKS = 50
"Of the mixer in a slice: a second of sound."
PACKETS, TURNS = 400, 6
"Passed on in a slice, one after the other, and turns of the event loop in which one of them leaves: no clock wakes anybody for it."
PICTURES, SEATS, PICTURES_RATE = 25, 3, 25
"A table's in a slice, of how many members, and how many a second."
OPUS = 96
"Payload type; any will do."


def main() -> None:
    options = parser(__doc__)
    options.formatter_class = argparse.RawDescriptionHelpFormatter
    options.description = __doc__
    add = options.add_argument
    add("--members", type=int, nargs="+", default=[3, 4, 8], help="how many sit in the call")
    add("--slices", type=int, default=24, help="of each cost, after one that does not count")
    add("--anew", action="store_true", help="write the figures down, to be compared with from now on")
    add("--out", type=Path, default=RESULTS, help="folder with the figures to compare with: calls.json")
    wanted = options.parse_args()
    if wanted.slices < LEAST_SLICES:
        options.error(f"--slices is at least {LEAST_SLICES}")
    path = wanted.out / "calls.json"
    begin = wanted.anew or not path.exists()
    before = {} if begin else _written(path)
    costs = asyncio.run(_costs(wanted.members, wanted.slices))
    _show(costs, before, wanted.members)
    if begin:
        print(write("calls", {"limit_cores": LIMIT_CORES, "costs": costs}, wanted.out))
    elif found := comparison(costs, before):
        sys.exit("\n".join(found))


def _written(path: Path) -> dict[str, Cost]:
    """The figures to compare with; none where they are another machine's."""
    told, here = json.loads(path.read_text()), circumstances()["machine"]
    if any(told["machine"][what] != here[what] for what in ("processor", "cores")):
        print(
            f"{path} is of another machine ({told['machine']['processor']}, {told['machine']['cores']} cores): nothing is compared."
        )
        print("--out FOLDER keeps this one's figures, and compares with them from its second time on.")
        return {}
    return {name: Cost(**cost) for name, cost in told["costs"].items()}


def _show(costs: dict[str, Cost], before: dict[str, Cost], members: list[int]) -> None:
    rows = [
        [name, f"{one.microseconds:.0f}", f"{one.yards:.4f}", f"{one.spread:.4f}", _times(one, before.get(name))]
        for name, one in costs.items()
    ]
    cores = ", ".join(
        f"{costs[_mixed(some)].microseconds * some * RATE / BLOCK / 1e6:.3f} core for {some}" for some in members
    )
    headings = ["processor time of", "us", "yards", "half within", "times what it was"]
    show("a call's sound and pictures", headings, rows, f"mixing takes {cores}; eight may take {LIMIT_CORES}")


def _times(now: Cost, before: Cost | None) -> str:
    return "" if before is None else f"{now.yards / before.yards:.2f}"


def _mixed(members: int) -> str:
    return f"a packet mixed for one of {members}"


async def _costs(members: list[int], slices: int) -> dict[str, Cost]:
    async with AsyncExitStack() as opened:
        passing, sound, pictures = yardstick.Interpreted(), yardstick.Sound(), yardstick.Pictures()
        work = {"a packet passed on": (await opened.enter_async_context(_passed_on()), passing.lay)}
        work |= {_mixed(some): (Mixing(some).slice, sound.lay) for some in members}
        work[f"a table's picture of {SEATS}"] = Tabled(SEATS).slice, pictures.lay
        return await measured(work, slices)


# ---- mixed ----


class Mixing:
    """Every member hears the others, SPEAKERS of them speak."""

    def __init__(self, members: int) -> None:
        self._seats = list(range(1, members + 1))
        self._voices, self._silence = [_voice(seat) for seat in self._seats], _silence()
        self._desk = Desk(Tally(structlog.get_logger(__name__)))
        self._tick = 0

    async def slice(self) -> float:
        begun = time.thread_time()
        for _ in range(TICKS):
            self._desk.tick(self._came(), self._seats, frozenset(self._seats))
            self._tick += 1
        return (time.thread_time() - begun) / TICKS / len(self._seats)

    def _came(self) -> list[tuple[int, bytes, int]]:
        number, members = self._tick, len(self._seats)
        speak = {self._seats[(number // TURN + turn) % members] for turn in range(SPEAKERS)}
        return [
            (seat, (voice if seat in speak else self._silence)[number % len(voice)], number * BLOCK)
            for seat, voice in zip(self._seats, self._voices, strict=True)
        ]


def _voice(seat: int) -> list[bytes]:
    """Two seconds of somebody who speaks, in packets that may be repeated."""
    at = np.arange(2 * RATE) / RATE
    pitch = 2 * np.pi * np.cumsum(100 + 20 * seat + 8 * np.sin(2 * np.pi * 3 * at)) / RATE
    wave = (
        np.sum([np.sin(number * pitch) / number for number in range(1, 16)], axis=0)
        * (1 + np.sin(2 * np.pi * 4 * at))
        / 2
    )
    return _coded((0.1 * wave).astype(np.float32))


def _silence() -> list[bytes]:
    return _coded(np.zeros(2 * RATE, np.float32))


def _coded(wave: np.ndarray) -> list[bytes]:
    encoder = Encoder()
    return [encoder.encode(np.stack([block, block], 1)) for block in wave.reshape(-1, BLOCK)]


# ---- at a table ----


class Tabled:
    """Pictures of all seats into one, that one coded, and fanned out to a viewer."""

    def __init__(self, members: int) -> None:
        codec = best_codec()
        self._seating, self._layout = seated(range(1, members + 1)), layout_for(codec)
        self._mosaic = Mosaic(PICTURES_RATE, self._layout)
        self._mosaic.seat(self._seating, 0.0)
        self._drawn = _pictures(self._seating, self._layout)
        self._presenter = Presenter(lambda screen: sent_as(screen, PICTURES_RATE), codec)
        self._viewer = ViewerTrack()
        self._presenter.join(self._viewer, self._seating.screen())
        self._number = 0

    async def slice(self) -> float:
        begun = time.process_time()
        for _ in range(PICTURES):
            await self._one()
        return (time.process_time() - begun) / PICTURES

    async def _one(self) -> None:
        self._number += 1
        now = self._number / PICTURES_RATE
        for seat, pictures in self._drawn.items():
            self._mosaic.offer(seat, pictures[(self._number + seat) % DRAWN], now)
        picture, _ = self._mosaic.compose(now)
        self._presenter.present(picture)
        await self._viewer.recv()


def _pictures(seating: Seating, layout: Any) -> dict[int, list[Picture]]:
    """Seat -> what it shows, one after the other."""
    found = {}
    for place in seating.places:
        screen = seating.seat(place)
        views = drawn(screen.views, screen.tile_height, screen.tile_width)
        rows = [screen.rows, screen.columns, screen.tile_height, screen.tile_width, 4]
        quilts = [
            np.flip(one.reshape(rows), 0).swapaxes(1, 2).reshape(screen.quilt_height, -1, 4) for one in views.numpy()
        ]
        found[place.seat] = [Picture(screen, plain(quilt, layout), layout, 0, 0.0) for quilt in quilts]
    return found


# ---- passed on ----


@asynccontextmanager
async def _passed_on() -> AsyncIterator[Slice]:
    """Packets of a caller to another process, as they go to a viewer."""
    tune_libraries()
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    other = context.Process(target=_listen, args=(theirs,), daemon=True)
    other.start()
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    track, line = _line()
    sender = connection.addTransceiver(track, "sendonly").sender
    try:
        await connection.setLocalDescription(await connection.createOffer())
        ours.send(connection.localDescription.sdp)
        answer = await workers.slow(ours.recv)
        await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        while connection.connectionState != "connected":
            await asyncio.sleep(0.02)
        yield Passing(line, sender).slice
    finally:
        await connection.close()
        other.terminate()
        other.join()


def _line() -> tuple[VoiceTrack, Line]:
    """What one viewer's sender reads, and where a caller's packets come in for it."""
    delay = Delay()
    delay.picture(0.0)
    line = Line(delay, 0.0, Tally(structlog.get_logger(__name__)))
    track = VoiceTrack(lambda: True, lambda: None)
    track.repeating = Repeating(OPUS)
    line.listeners.add(track.put)
    return track, line


@dataclass
class Passing:
    line: Line
    sender: RTCRtpSender
    number: int = 0

    def __post_init__(self) -> None:
        wave = chirp.wave(0, 10 * BLOCK).reshape(10, BLOCK) / np.float32(32768)
        encoder = Encoder()
        self.packets = [encoder.encode(np.stack([block, block], 1)) for block in wave]

    async def slice(self) -> float:
        first, spent = await self._sent(), time.process_time()
        for _ in range(PACKETS):
            now = time.monotonic()
            self.line.put(Said(self.number * BLOCK, self.packets[self.number % len(self.packets)], now), now)
            self.number += 1
            for _ in range(TURNS):
                await asyncio.sleep(0)
        return (time.process_time() - spent) / (await self._sent() - first)

    async def _sent(self) -> int:
        """Those that wait are not many."""
        await asyncio.sleep(0.01)
        reports = await self.sender.getStats()
        return next(one.packetsSent for one in reports.values() if one.type == "outbound-rtp")


def _listen(pipe: Connection) -> None:
    asyncio.run(_listening(pipe))


async def _listening(pipe: Connection) -> None:
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    await connection.setRemoteDescription(RTCSessionDescription(pipe.recv(), "offer"))
    await connection.setLocalDescription(await connection.createAnswer())
    pipe.send(connection.localDescription.sdp)
    await asyncio.sleep(600)


if __name__ == "__main__":
    main()
