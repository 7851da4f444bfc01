"""Gauntlet: all kinds of attack, in turn, against one victim; each kind's cases come from the seed and its name alone."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer

from benchmarks.hostile import asking, files, floods, heads, offers, peers, sockets
from benchmarks.hostile.target import Answer, Target, Tried
from benchmarks.hostile.victim import INNOCENT, Victim, innocents
from engines.splats import exporting

AT_ONCE = 8
"Requests: those that announce more than they send are given up after ten seconds."
SETTLES = 25.0
"Seconds until what was broken off is gone: a peer's patience is 10, a slow body's as well."
SDP, FRAGMENT = {"Content-Type": "application/sdp"}, {"Content-Type": "application/trickle-ice-sdpfrag"}


@dataclass
class Attack:
    """One kind. `run` tries so many cases."""

    name: str
    cases: int
    run: Callable[[int, Tried], Awaitable[None]]
    alone: bool
    "Without innocents beside it."
    tried: Tried = field(default_factory=Tried)
    seconds: float = 0.0
    pause: float = 0.0


class Gauntlet:
    """All kinds, against one victim."""

    def __init__(self, victim: Victim, seed: int) -> None:
        self.victim, self.target, self.seed = victim, victim.target, seed
        self.call = self.seat = self.invitation = ""
        self.known: list[tuple[str, str, tuple[str, ...]]] = []

    async def begin(self) -> None:
        """A call, so that there is one to be attacked, and the routes that the server names."""
        made = await self._json("POST", "/api/calls", {})
        self.call, host = made["call"], made["host"]["token"]
        sat = await self._json("POST", f"/api/calls/{self.call}/seats", {"name": "Eve", "consent": True}, host)
        self.seat = sat["token"]
        self.known = asking.routes(await self._json("GET", "/api/openapi.json"))

    def attacks(self, scale: float) -> list[Attack]:
        """Those that call themselves first: a busy machine has room for one caller."""
        innocent = f"/whep/{INNOCENT}"
        rows = (
            ("offers, published", 500, self._offers("/whip/offered", offers.PUBLISHED), True),
            ("trickled fragments", 150, self._fragments, True),
            ("media of a caller", 4000, self._media, True),
            ("callers at once", 120, self._callers, True),
            ("requests of every route", 1500, self._requests, False),
            ("offers, watched", 400, self._offers(innocent, offers.WATCHED), False),
            ("offers, drawn", 150, self._offers(f"{innocent}?as=geometry", offers.DRAWN), False),
            ("photos", 120, self._photos, False),
            ("heads of Gaussians", 80, self._heads, False),
            ("forms", 250, self._forms, False),
            ("films to verify", 90, self._films, False),
            ("a call's socket", 400, self._sockets, False),
            ("STUN of strangers", 6000, self._stun, False),
            ("feedback of a viewer", 4000, self._feedback, False),
            ("messages of a viewer", 250, self._messages, False),
            ("viewers at once", 240, self._viewers, False),
            ("stills at once", 60, self._stills, False),
            ("recordings at once", 60, self._recordings, False),
            ("slow ones", 120, self._slow, False),
        )
        return [Attack(name, max(4, round(cases * scale)), run, alone) for name, cases, run, alone in rows]

    async def all(self, attacks: list[Attack], folder: Path) -> None:
        """First what calls itself, then the rest beside innocents."""
        for attack in attacks:
            if attack.alone:
                await self.carry_out(attack)
        await asyncio.sleep(SETTLES)
        if rest := [attack for attack in attacks if not attack.alone]:
            async with innocents(self.victim, folder):
                for attack in rest:
                    await self.carry_out(attack)
        await asyncio.sleep(SETTLES)

    async def carry_out(self, attack: Attack) -> None:
        begun = time.monotonic()
        await attack.run(attack.cases, attack.tried)
        attack.seconds = round(time.monotonic() - begun, 1)
        attack.pause = 0.0 if attack.alone else self.victim.longest_pause(begun)
        typer.echo(f"{attack.name}: {dict(attack.tried.outcomes)} in {attack.seconds} s", err=True)

    async def _requests(self, count: int, tried: Tried) -> None:
        names = {"channel": INNOCENT, "call": self.call, "avatar": "sample", "seat": "1", "number": "1", "session": "x"}
        made = asking.requests(self.target, self._luck("requests"), self.known, names)
        turn = asyncio.Semaphore(AT_ONCE)

        async def one(sent: bytes) -> None:
            async with turn:
                tried.add(await self.target.send(sent), sent)

        # not what ends the call that others are tried on
        some = (sent for sent in made if not (sent.startswith(b"DELETE") and self.call.encode() in sent[:200]))
        await asyncio.gather(*(one(next(some)) for _ in range(count)))

    def _offers(self, path: str, instead: Mapping[str, tuple[str, ...]]) -> Callable[[int, Tried], Awaitable[None]]:
        async def run(count: int, tried: Tried) -> None:
            for made in self._some(offers.offers(self._luck(path), instead), count):
                answer = await self.target.ask("POST", path, made, SDP | self._somebody())
                tried.add(answer, made)
                if isinstance(answer, Answer) and answer.status == 201:
                    await self.target.ask("DELETE", answer.location)

        return run

    async def _fragments(self, count: int, tried: Tried) -> None:
        connection = peers.caller()
        await connection.setLocalDescription()
        offer = connection.localDescription.sdp.encode()
        await connection.close()
        answer = await self.target.ask("POST", "/whip/trickled", offer, SDP)
        location = answer.location if isinstance(answer, Answer) else "/whip/trickled/none"
        for made in self._some(offers.fragments(self._luck("fragments")), count):
            tried.add(
                await self.target.ask("PATCH", location, made, FRAGMENT | {"If-Match": "*"} | self._somebody()), made
            )

    async def _photos(self, count: int, tried: Tried) -> None:
        for made in self._some(files.photos(self._luck("photos")), count):
            await self._uploaded(_form(made), "x", tried)

    async def _heads(self, count: int, tried: Tried) -> None:
        for made in self._some(heads.heads(self._luck("heads"), exporting.packed()), count):
            await self._uploaded(_form(made), "x", tried)

    async def _forms(self, count: int, tried: Tried) -> None:
        for made in self._some(files.forms(self._luck("forms")), count):
            await self._uploaded(made, files.BOUNDARY.decode(), tried)

    async def _uploaded(self, body: bytes, boundary: str, tried: Tried) -> None:
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"} | self._somebody()
        answer = await self.target.ask("POST", "/api/avatars", body, headers)
        tried.add(answer, body)
        if isinstance(answer, Answer) and answer.status == 201:
            await self.target.ask("DELETE", answer.location, headers=self._somebody())

    async def _films(self, count: int, tried: Tried) -> None:
        for made in self._some(files.films(self._luck("films")), count):
            tried.add(await self.target.ask("POST", "/api/verify", made, self._somebody()), made)

    async def _sockets(self, count: int, tried: Tried) -> None:
        luck = self._luck("sockets")
        for _ in range(count):
            await sockets.talk(self.target, luck, self.call, self.seat, tried)

    async def _media(self, count: int, tried: Tried) -> None:
        await peers.media(self.target, self._luck("rtp"), count, tried)

    async def _callers(self, count: int, tried: Tried) -> None:
        await floods.callers(self.target, count, tried)

    async def _viewers(self, count: int, tried: Tried) -> None:
        await floods.viewers(self.target, count, INNOCENT, tried)

    async def _stills(self, count: int, tried: Tried) -> None:
        await floods.stills(self.target, count, INNOCENT, tried)

    async def _recordings(self, count: int, tried: Tried) -> None:
        await floods.recordings(self.target, count, INNOCENT, tried)

    async def _slow(self, count: int, tried: Tried) -> None:
        await floods.loris(self.target, self._luck("slow"), count, tried)

    async def _stun(self, count: int, tried: Tried) -> None:
        await peers.floods(self.target, self._luck("stun"), count, tried, INNOCENT)

    async def _feedback(self, count: int, tried: Tried) -> None:
        await peers.feedback(self.target, self._luck("rtcp"), count, tried, INNOCENT)

    async def _messages(self, count: int, tried: Tried) -> None:
        await peers.messages(self.target, self._luck("messages"), count, tried, INNOCENT)

    def _luck(self, name: str) -> random.Random:
        """Each kind has its own, so that none changes another's cases."""
        return random.Random(f"{self.seed} {name}")

    def _somebody(self) -> dict[str, str]:
        """Another client each time, so that no quota keeps us from what is behind it."""
        return {"X-Forwarded-For": f"203.0.{self._number()}"}

    def _number(self, counted: Iterator[int] = iter(range(1 << 30))) -> str:
        number = next(counted)
        return f"{number // 256 % 256}.{number % 256}"

    @staticmethod
    def _some(made: Iterator[bytes], count: int) -> Iterator[bytes]:
        return (next(made) for _ in range(count))

    async def _json(self, method: str, path: str, body: Any = None, token: str = "") -> Any:
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        target = Target(self.target.host, self.target.port, token or self.target.token)
        answer = await target.ask(method, path, b"" if body is None else json.dumps(body).encode(), headers)
        assert isinstance(answer, Answer), answer
        assert answer.status < 300, answer.body
        return json.loads(answer.body)


def _form(photo: bytes) -> bytes:
    head = b'--x\r\nContent-Disposition: form-data; name="consent"\r\n\r\nme\r\n--x\r\n'
    return head + b'Content-Disposition: form-data; name="portrait"; filename="a"\r\n\r\n' + photo + b"\r\n--x--\r\n"
