"""Clusters: several nodes in this process that share a directory of its own: all of a cluster but Ray."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from server.channels.services import Services
from server.cluster.members import Heard, Members, Report
from server.cluster.registry import Local, Registry
from server.cluster.station import Station
from server.settings import Settings
from tests.live import PLENTY, painted_services, settings_for

TOKEN = "the-clusters-own-0123456789"
"Of those that have one."


class Flaky(Local):
    """A directory that can be away, hear nothing of some nodes, or lose its memory as one that Ray starts anew."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.unheard: set[str] = set()

    async def join(self, report: Report, forgotten: Iterable[str]) -> Heard:
        self._check(report.node)
        return await super().join(report, forgotten)

    async def beat(self, report: Report, known: int) -> Heard | None:
        self._check(report.node)
        return await super().beat(report, known)

    async def leave(self, node: str) -> None:
        self._check(node)
        await super().leave(node)

    async def owner(self, name: str) -> Report | None:
        self._check()
        return await super().owner(name)

    async def place(self, name: str, asked: str, but: tuple[str, ...] = ()) -> Report | None:
        self._check(asked)
        return await super().place(name, asked, but)

    def remembers(self, node: str, call: str, name: str) -> bool:
        """Whether a node has told of somebody in a call, who could come back to it elsewhere."""
        return name in str(self.members._seen[node].report.calls.get(call))

    def miss(self, node: str) -> None:
        """Hear nothing of it any more, as if it had been silent for long."""
        self.unheard.add(node)
        self.members._seen[node].heard = float("-inf")

    def lose_all(self) -> None:
        self.members = Members(time.monotonic())

    def _check(self, node: str = "") -> None:
        if self.away or node in self.unheard:
            raise ConnectionError("away")


@contextmanager
def stations(
    folder: Path,
    count: int,
    registry: Registry | None = None,
    services: Callable[[Settings], Services] = painted_services,
    **more: Any,
) -> Iterator[list[Station]]:
    """`count` warm nodes, each with a data folder of its own, who know each other and what was forgotten."""
    directory = registry if registry is not None else Local()
    made = [begun(folder / f"node{number}", directory, services, **more) for number in range(count)]
    try:
        for station in made:
            ready(station)
        until(lambda: all(len(known(one)) == count for one in made))
        until(lambda: all(asked(one, f"/api/avatars/{'A' * 22}").status_code == 404 for one in made))
        yield made
    finally:
        for station in made:
            station.stop()
        for station in made:
            assert station.ended.wait(30)


def begun(
    folder: Path, directory: Registry, services: Callable[[Settings], Services] = painted_services, **more: Any
) -> Station:
    station = Station(settings_for(folder, **more), lambda: directory, "127.0.0.1", services)
    threading.Thread(target=station.run, daemon=True).start()
    return station


def ready(station: Station) -> str:
    """Its address, once it is warm."""
    until(lambda: station.state["ready"] or station.state["ended"], 120)
    assert not station.state["failure"], station.state
    return f"http://127.0.0.1:{station.port}"


def welcomed(station: Station) -> str:
    """Its address, once the others know that it takes callers, which its first report after it is warm tells them."""
    address = ready(station)
    until(lambda: station.name in known(station))
    return address


def known(station: Station) -> list[str]:
    """The nodes that it has heard of."""
    return [one["node"] for one in asked(station, "/api/cluster").json()["nodes"] if one["welcome"]]


def asked(station: Station, path: str) -> httpx.Response:
    return httpx.get(f"http://127.0.0.1:{station.port}{path}", headers={"Authorization": f"Bearer {TOKEN}"})


def until(condition: Callable[[], bool], seconds: float = PLENTY) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)
