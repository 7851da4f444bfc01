"""Long call: three at a table for ten minutes, everything on: faces looked for, voices mixed, heads told, all of it recorded. How old
the table's pictures are and what the server holds must stay flat.

    python -m benchmarks.long_call --minutes 10

Members are aiortc's, with a socket each, in this process; they count what comes and do not decode it. Says what was held and what
missed, and fails where anything was: memory, threads or handles grew, pictures grew older, or none was sent. How old they are
depends on the machine: for a recording every seat is rendered once more, in 8 large views beside the small ones of the table;
`--no-recorded` is the call alone.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import cv2
import httpx
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.endurance import Vitals, grown
from benchmarks.glass_to_glass import PUPPET_FRAMES, witnessed_server
from benchmarks.lib.harness import RESULTS, write
from display.screen import PRODUCT
from display.seating import SEAT_HEIGHT, SEAT_WIDTH, seated
from pipeline import puppet
from pipeline.preprocess.framing import stance_of
from pipeline.preprocess.tracker import open_tracker
from server.commands.attendance import Link, attending
from server.commands.puppet import Tone
from server.webrtc.client import PictureTrack, playing, publishing
from server.webrtc.live_video import LiveVideo
from server.webrtc.patches.receivers import take_packets

NAMES = ("Ana", "Bo", "Cy")
LOOK_EVERY = 10.0
"Seconds between looks at the table."
FACES_SECONDS = 16.0
"For which its middle view is looked at in the end."
FLAT = 1.25
"The ages of the later half of minutes, the first left out, may be so many times those of the earlier half."
LARGER = 3
"A seat is 144 pixels wide; FaceMesh wants more."

HEADINGS = ("minute", "fps", "age p50", "age p95 ms", "sound/s", "RSS MiB", "threads", "handles")


class Member:
    """One who takes part; `came` counts what comes to it."""

    def __init__(self, link: Link, name: str, pictures: list[np.ndarray], rate: float) -> None:
        self._link, self._name, self._pictures, self._rate = link, name, pictures, rate
        self.came: Counter[str] = Counter()

    async def enter(self, stack: AsyncExitStack) -> None:
        self.attendance = seat = await stack.enter_async_context(
            attending(self._link, self._name, lambda words: None, avatar="sample")
        )
        self.seat, last = seat.seat, len(self._pictures)  # everybody moves at a pace of their own
        self.camera = camera = PictureTrack(lambda n: self._pictures[seat.seat * n % last], self._rate)
        whip = f"{self._link.server}/whip/{seat.channel}"
        await stack.enter_async_context(publishing(whip, camera, Tone(seat.seat, time.monotonic()), token=seat.token))

    def yaw(self, at: float) -> float:
        """Degrees, of the face before its camera at a moment of time.monotonic()."""
        number = self.seat * round((at - self.camera.begun) * self._rate)
        return puppet.gesture(number % len(self._pictures) / puppet.RATE).yaw

    async def watch(self, stack: AsyncExitStack) -> None:
        whep = f"{self._link.server}/whep/{self._link.call}?as=table"
        await stack.enter_async_context(
            playing(whep, "video", "audio", token=self.attendance.token, opened=self._opened)
        )

    def _opened(self, kind: str, receiver: Any) -> None:
        take_packets(receiver, partial(self._count, kind))

    def _count(self, kind: str, packet: Any, data: bytes, codec: Any) -> bool:
        self.came[kind] += 1
        return False


async def hold(
    port: int, pictures: list[np.ndarray], rate: float, seconds: float, recorded: bool
) -> tuple[float, list[dict[str, Any] | None], Callable[[], dict[str, Any]]]:
    """One call of so long: when it began, what the server says of its table every LOOK_EVERY seconds, None where no picture is sent, and
    what tells whose faces are there in the end."""
    base = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient(base_url=base, timeout=20, trust_env=False) as http, AsyncExitStack() as stack:
        made = (await http.post("/api/calls", json={"title": "ten minutes"})).json()
        host = {"Authorization": f"Bearer {made['host']['token']}"}
        links = [f"{base}/{made['host']['link']}"]
        for name in NAMES[1:]:
            asked = await http.post(f"/api/calls/{made['call']}/invitations", json={"name": name}, headers=host)
            links.append(f"{base}/{asked.json()['link']}")
        members = [Member(Link.read(link), name, pictures, rate) for link, name in zip(links, NAMES, strict=True)]
        for member in members:
            await member.enter(stack)
        while made["call"] not in [one["name"] for one in (await http.get("/api/channels")).json()]:
            await asyncio.sleep(0.2)
        for member in members:
            await member.watch(stack)
        if recorded:
            (await http.post(f"/api/channels/{made['call']}/recording", headers=host)).raise_for_status()
        begun = time.monotonic()
        looks: list[dict[str, Any] | None] = []
        while time.monotonic() - begun < seconds:
            await asyncio.sleep(LOOK_EVERY)
            look = await _look(http, made["call"], members, host)
            looks.append(None if look is None else look | {"at_s": round(time.monotonic() - begun, 1)})
        shown = await _shown(f"{base}/whep/{made['call']}?as=view", members[0].attendance.token)
        return begun, looks, partial(_faces, shown, members)


async def _shown(whep: str, token: str) -> list[tuple[float, np.ndarray]]:
    """(when, [H, W, 3] uint8 RGB) of the middle view's pictures, for a while."""
    shown: list[tuple[float, np.ndarray]] = []
    async with playing(whep, "video", token=token) as tracks:
        video = tracks["video"]
        assert isinstance(video, LiveVideo)
        until = time.monotonic() + FACES_SECONDS
        while time.monotonic() < until:
            frame, _ = await video.take()
            shown.append((time.monotonic(), frame.to_ndarray(format="rgb24")))
    return shown


def _faces(shown: list[tuple[float, np.ndarray]], members: list[Member]) -> dict[str, Any]:
    """How often an independent FaceMesh finds three faces, and how each one's turning goes with each member's script."""
    turns, places = np.full((len(shown), len(members)), np.nan), seated(range(1, len(members) + 1)).places
    tracker = open_tracker(None)
    try:
        for row, (_, view) in zip(turns, shown, strict=True):
            for at, place in enumerate(places):
                seat = view[place.top : place.top + SEAT_HEIGHT, place.left : place.left + SEAT_WIDTH]
                seat = cv2.resize(seat, None, fx=LARGER, fy=LARGER, interpolation=cv2.INTER_CUBIC)
                if faces := tracker.search(seat):
                    upright = stance_of(faces[0].points).upright
                    row[at] = np.degrees(np.arctan2(upright[0, 2], upright[2, 2]))
    finally:
        tracker.close()
    when, found = np.array([at for at, _ in shown]), np.isfinite(turns)
    together = [[_together(turns[:, at], when, member) for member in members] for at in range(len(members))]
    return {
        "pictures": len(shown),
        "three_found": round(float(found.all(axis=1).mean()), 3),
        "yaw_with_members": together,
    }


def _together(turns: np.ndarray, when: np.ndarray, member: Member) -> float:
    """Of a seat's yaw and a member's script, as old as goes best with it: their correlation."""
    found = np.isfinite(turns)
    ages = np.arange(0.0, 0.6, 0.04)
    truths = [[member.yaw(at - age) for at in when[found]] for age in ages]
    return round(max((float(np.corrcoef(turns[found], truth)[0, 1]) for truth in truths), key=abs), 3)


async def _look(
    http: httpx.AsyncClient, call: str, members: list[Member], host: dict[str, str]
) -> dict[str, Any] | None:
    """None while nobody's link is thought to carry a picture."""
    report = (await http.get(f"/api/channels/{call}")).json()
    if not report["streams"]:
        return None
    stream = report["streams"][0]
    return {
        "pictures": stream["pictures"],
        "age_p50_ms": stream["age"]["p50"],
        "age_p95_ms": stream["age"]["p95"],
        "sound_packets": min(member.came["audio"] for member in members),
        "recording": (await http.get(f"/api/calls/{call}", headers=host)).json()["recording"] is not None,
    }


def by_minute(looks: list[dict[str, Any]], samples: list[dict[str, float]]) -> list[dict[str, float]]:
    """Medians of each whole minute."""
    rows = []
    for minute in range(int(looks[-1]["at_s"] // 60)):
        within = [look for look in looks if 60 * minute <= look["at_s"] < 60 * minute + 60]
        seen = [sample for sample in samples if 60 * minute <= sample["at_s"] < 60 * minute + 60]
        if len(within) < 2:
            continue
        lasted = within[-1]["at_s"] - within[0]["at_s"]
        row = {"minute": minute + 1, "fps": round((within[-1]["pictures"] - within[0]["pictures"]) / lasted, 1)}
        row |= {
            name: round(float(np.median([look[name] for look in within])), 1) for name in ("age_p50_ms", "age_p95_ms")
        }
        row["sound_per_s"] = round((within[-1]["sound_packets"] - within[0]["sound_packets"]) / lasted, 1)
        row |= {name: float(np.median([one[name] for one in seen])) for name in ("rss_mib", "threads", "handles")}
        rows.append(row)
    return rows


def missed(rows: list[dict[str, float]], without: int, recorded: bool, looks: list[dict[str, Any]]) -> list[str]:
    """What was to hold and did not."""
    found = list(grown(rows))
    ages = [row["age_p95_ms"] for row in rows[1:]]
    half = len(ages) // 2
    if half and np.median(ages[-half:]) > FLAT * np.median(ages[:half]):
        found.append(f"pictures grew older: {np.median(ages[:half]):.0f} to {np.median(ages[-half:]):.0f} ms (p95)")
    if without:
        found.append(f"{without} looks found that no picture was sent")
    if recorded and not all(look["recording"] for look in looks):
        found.append("it was not recorded all the time")
    return found


def main(
    minutes: Annotated[float, typer.Option(min=1.1, help="Length of the call.")] = 10.0,
    rate: Annotated[float, typer.Option(help="The cameras' frames a second.")] = 25.0,
    recorded: Annotated[bool, typer.Option(help="Record all of it, as members have agreed to.")] = True,
    port: Annotated[int, typer.Option(help="Where the server listens meanwhile.")] = 8770,
    out: Annotated[Path, typer.Option(help="Folder for the JSON.")] = RESULTS,
) -> None:
    """Hold one call of three for minutes; show ages, memory, threads and handles minute by minute."""
    console = Console()
    with console.status("drawing what the cameras see"):
        pictures = [cv2.resize(frame.pixels, (320, 240)) for frame in islice(puppet.Puppet().frames(), PUPPET_FRAMES)]
    with (
        console.status(f"a call of {minutes:g} minutes"),
        witnessed_server(port, "cpu", PRODUCT, adapt=True) as server,
        Vitals(server) as vitals,
    ):
        began = time.monotonic()
        begun, looked, look_for_faces = asyncio.run(hold(port, pictures, rate, 60 * minutes + 12, recorded))
    samples = [sample | {"at_s": sample["at_s"] - (begun - began)} for sample in vitals.samples]
    looks = [look for look in looked if look is not None]
    rows, faces = by_minute(looks, samples), look_for_faces()
    table = Table(title="three at a table, minute by minute (medians)")
    for heading in HEADINGS:
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(*(f"{value:g}" for value in row.values()))
    console.print(table)
    console.print(faces)
    without = looked.count(None)
    lacking = missed(rows, without, recorded, looks)
    console.print(f"missed: {'; '.join(lacking)}" if lacking else "held: ages, memory, threads and handles are flat")
    facts = {"minutes": minutes, "camera_fps": rate, "recorded": recorded, "missed": lacking, "by_minute": rows}
    facts |= {"faces": faces, "looks": looks, "looks_without_a_picture": without}
    console.print(write("long_call" if recorded else "long_call_unrecorded", facts, out))
    if lacking:
        raise SystemExit("; ".join(lacking))


if __name__ == "__main__":
    typer.run(main)
