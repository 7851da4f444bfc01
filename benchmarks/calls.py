"""Calls: what sound costs in a call: packets passed on, and voices mixed for each listener.

    python -m benchmarks.calls --members 3 4 8

Processor time, not duration: of a process that sends packets of Opus through WebRTC to another one, and of a mixer's desk, tick
after tick, for members of whom three speak at a time and take turns. Eight members may take 0.3 of a core.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import statistics
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import av
import numpy as np
import structlog
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from benchmarks.lib.harness import RESULTS, parser, show, write
from benchmarks.live import chirp
from server import workers
from server.media.playout import BLOCK
from server.media.rates import SOUND_CLOCK
from server.tally import Tally
from server.webrtc.mixer import RATE, Desk, Encoder

LIMIT_CORES = 0.3
"What mixing for eight members may take."
SPEAKERS = 3
TURN = 100
"Blocks after which somebody else speaks: two seconds."
PACKETS = 2500
PACE = 500
"Packets a second that are passed on."


@dataclass(frozen=True)
class Mixed:
    """What mixing took."""

    members: int
    cores: float
    us_per_tick: float
    us_per_packet: float
    "Of those that left: one for each listener, shared or not."
    encoded_per_tick: float


def main() -> None:
    options = parser(__doc__)
    add = options.add_argument
    add("--members", type=int, nargs="+", default=[3, 4, 8], help="how many sit in the call")
    add("--seconds", type=float, default=6.0, help="of mixing, each run")
    add("--repeats", type=int, default=3, help="how often each run is repeated, in turns")
    add("--out", type=Path, default=RESULTS, help="folder for the JSON")
    wanted = options.parse_args()
    forwarded, runs = [], []
    for _ in range(wanted.repeats):
        forwarded.append(asyncio.run(_forwarding()))
        runs.append([_mixing(members, wanted.seconds) for members in wanted.members])
    middle = [sorted(repeated, key=lambda run: run.cores)[len(repeated) // 2] for repeated in zip(*runs, strict=True)]
    per_packet = statistics.median(forwarded)
    rows = [_row(one) for one in middle]
    rows.insert(0, ["one packet passed on", "", f"{per_packet:.0f}", "", ""])
    headings = ["sound", "cores", "us a packet", "us a tick of 20 ms", "encoded a tick"]
    show(
        "processor time of sound in a call",
        headings,
        rows,
        f"median of {wanted.repeats} runs; eight may take {LIMIT_CORES}",
    )
    facts = {"limit_cores": LIMIT_CORES, "forwarded_us_per_packet": {"median": per_packet, "runs": forwarded}}
    print(write("calls", facts | {"mixed": {"median": middle, "runs": runs}}, wanted.out))


def _row(one: Mixed) -> list[str]:
    name, encoded = f"mixed for {one.members}", f"{one.encoded_per_tick:.1f}"
    return [name, f"{one.cores:.3f}", f"{one.us_per_packet:.0f}", f"{one.us_per_tick:.0f}", encoded]


# ---- mixed ----


def _mixing(members: int, seconds: float) -> Mixed:
    """Every member hears the others, SPEAKERS of them speak."""
    encoded, ticks = 0, round(seconds * RATE / BLOCK)
    seats = list(range(1, members + 1))
    voices, silence = [_voice(seat) for seat in seats], _silence()
    desk = Desk(Tally(structlog.get_logger(__name__)))
    begun = time.thread_time()
    for number in range(ticks):
        speak = {seats[(number // TURN + turn) % members] for turn in range(SPEAKERS)}
        came = [
            (seat, (voice if seat in speak else silence)[number % len(voice)], number * BLOCK)
            for seat, voice in zip(seats, voices, strict=True)
        ]
        encoded += len(desk.tick(came, seats, frozenset(seats)))
    spent = time.thread_time() - begun
    return Mixed(
        members=members,
        cores=round(spent / seconds, 4),
        us_per_tick=round(1e6 * spent / ticks, 1),
        us_per_packet=round(1e6 * spent / ticks / members, 1),
        encoded_per_tick=round(encoded / ticks, 2),
    )


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


# ---- passed on ----


class _Packets(MediaStreamTrack):
    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        encoder = Encoder()
        self._packets = [encoder.encode(np.zeros((BLOCK, 2))) for _ in range(10)]
        wave = chirp.wave(0, 10 * BLOCK).reshape(10, BLOCK) / np.float32(32768)
        self._packets = [encoder.encode(np.stack([block, block], 1)) for block in wave]
        self.sent, self.begun = 0, time.monotonic()

    async def recv(self) -> Any:
        if self.sent >= PACKETS:
            raise MediaStreamError
        await asyncio.sleep(max(0.0, self.begun + self.sent / PACE - time.monotonic()))
        packet = av.Packet(self._packets[self.sent % len(self._packets)])
        packet.pts, packet.time_base = self.sent * BLOCK, SOUND_CLOCK
        self.sent += 1
        return packet


async def _forwarding() -> float:
    """Microseconds of processor time for each packet that this process sends to another one."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    other = context.Process(target=_listen, args=(theirs,), daemon=True)
    other.start()
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    track = _Packets()
    connection.addTransceiver(track, "sendonly")
    try:
        await connection.setLocalDescription(await connection.createOffer())
        ours.send(connection.localDescription.sdp)
        answer = await workers.slow(ours.recv)
        await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        while track.sent < PACKETS // 10:
            await asyncio.sleep(0.02)
        before, first = time.process_time(), track.sent
        while track.sent < PACKETS:
            await asyncio.sleep(0.1)
        return round(1e6 * (time.process_time() - before) / (track.sent - first), 1)
    finally:
        await connection.close()
        other.terminate()
        other.join()


def _listen(pipe: Connection) -> None:
    asyncio.run(_listening(pipe))


async def _listening(pipe: Connection) -> None:
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    await connection.setRemoteDescription(RTCSessionDescription(pipe.recv(), "offer"))
    await connection.setLocalDescription(await connection.createAnswer())
    pipe.send(connection.localDescription.sdp)
    await asyncio.sleep(120)


if __name__ == "__main__":
    main()
