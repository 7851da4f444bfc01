"""A cluster on Ray itself: three machines of its own on this one, and what becomes of callers when processes are killed."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import ray
from ray.cluster_utils import Cluster
from ray.exceptions import RayError

from pipeline.avatar_files import BROUGHT_FILES
from server.channels.services import Services
from server.cluster import node
from server.cluster.members import DEAD_SECONDS
from server.cluster.ray_directory import NAMESPACE, directory
from server.settings import Settings
from tests.clusters import until as _until
from tests.exported import head
from tests.live import Client, free_port, painted_services, settings_for, until
from tests.test_brought import services_with_both

pytestmark = pytest.mark.soak
TOLD_SECONDS = 5.0
"Within which clients of a machine that died are told."
SLACK = 10.0
"For a machine that is busy with tests."


class Machines:
    """Raylets with a media node each, and a head without."""

    def __init__(
        self, folder: Any, count: int = 3, services: Callable[[Settings], Services] = painted_services
    ) -> None:
        self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        self.raylets = [self.cluster.add_node(num_cpus=1) for _ in range(count)]
        ray.init(address=self.cluster.address, namespace=NAMESPACE, log_to_driver=False)
        directory()
        self.actors = [
            node.start(settings_for(folder / f"node{number}"), services, raylet.node_id)
            for number, raylet in enumerate(self.raylets)
        ]
        self.states = [self.ready(actor) for actor in self.actors]

    def ready(self, actor: Any, seconds: float = 90.0) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while True:
            assert time.monotonic() < deadline, "a node never became warm"
            try:
                state = _asked(actor, 10)
            except RayError:
                state = {"ready": False, "failure": ""}
            assert not state["failure"], state
            if state["ready"]:
                return state
            time.sleep(0.2)

    def door(self, number: int) -> str:
        return f"http://127.0.0.1:{self.states[number]['port']}"

    def close(self) -> None:
        ray.shutdown()
        self.cluster.shutdown()


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    made = Machines(tmp_path)
    yield made
    made.close()


@asynccontextmanager
async def at(machines: Machines, number: int) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=machines.door(number), timeout=30) as http:
        yield http


async def holder(http: httpx.AsyncClient, channel: str) -> str:
    """The node that has `channel`, as a door tells it."""
    for one in (await http.get("/api/cluster")).json()["nodes"]:
        if channel in one["names"]:
            return one["node"]
    return ""


async def when(done: Callable[[], Any], seconds: float) -> float:
    """Seconds until the coroutine that `done` makes returns something true."""
    begun = time.monotonic()
    while not await done():
        assert time.monotonic() - begun < seconds, "it never came true"
        await asyncio.sleep(0.1)
    return time.monotonic() - begun


async def test_machines_are_one_server_and_each_death_takes_only_its_own(machines):
    """In the order in which one would try it; each step needs the cluster of the one before."""
    async with at(machines, 0) as a, at(machines, 1) as b, at(machines, 2) as c:
        await when(lambda: _all_there(a, 3), 30)
        callers = [Client(http) for http in (a, b, c)]
        for number, caller in enumerate(callers):
            assert (await caller.publish(f"room{number}")).status_code == 201
        await when(lambda: _held(a, 3), 20)
        spread = {await holder(a, f"room{number}") for number in range(3)}
        assert len(spread) == 3, "callers are spread"
        viewer = Client(a)
        assert (await viewer.view("room2")).status_code == 201
        await viewer.seen(5)

        # the directory dies: calls go on, and soon somebody new comes in
        os.kill(_process_of("Local", *machines.raylets, machines.cluster.head_node), 9)
        seen = len(viewer.pictures)
        again = await when(lambda: _comes_in(b, "new"), 20 + SLACK)
        await viewer.seen(seen + 10)
        print(f"directory killed: a new caller after {again:.1f} s")

        # a node's process dies: its callers are told, the name is free elsewhere, and Ray starts it anew
        names = [state["name"] for state in machines.states]
        await when(lambda: _held(a, 3), 20 + SLACK)
        victim = names.index(await holder(a, "room1"))
        door = next(http for number, http in enumerate((a, b, c)) if number != victim)
        os.kill(_process_of("MediaNode", machines.raylets[victim]), 9)
        told = await when(lambda: _gone(door, "room1"), DEAD_SECONDS + TOLD_SECONDS + SLACK)
        print(f"node's process killed: told after {told:.1f} s")
        moved = await when(lambda: _comes_in(door, "room1"), 20 + SLACK)
        print(f"node's process killed: the name taken up again after {told + moved:.1f} s")
        assert (await viewer.seen(len(viewer.pictures) + 5)) or victim == names.index(await holder(a, "room2"))
        machines.states[victim] = await asyncio.to_thread(machines.ready, machines.actors[victim])

        # a whole machine dies
        kept = await holder(door, "room2")
        lost = next(number for number in range(3) if names[number] != kept and number != victim)
        left = next(number for number in range(3) if number != lost)
        on_it = [number for number in range(3) if await holder(door, f"room{number}") == names[lost]]
        _kill_all(machines.raylets[lost])
        async with at(machines, left) as http:
            gone = await when(lambda: _missing(http, names[lost]), DEAD_SECONDS + TOLD_SECONDS + SLACK)
            print(f"machine killed: noticed after {gone:.1f} s")
            for number in on_it:
                moved = await when(lambda name=f"room{number}": _comes_in(http, name), TOLD_SECONDS + SLACK)
                print(f"machine killed: the name taken up again after {gone + moved:.1f} s")

            # and one is emptied
            leaving = next(number for number in range(3) if number not in (lost, left))
            assert (await http.post(f"/api/cluster/nodes/{machines.states[leaving]['name']}/drain")).status_code == 204
        for one in (*callers, viewer):
            await one.close()
        await until(lambda: _ended(machines.actors[leaving]), 30 + SLACK)


async def test_a_head_of_gaussians_is_fetched_by_the_machine_that_shows_it_and_forgotten_by_both(tmp_path):
    machines = Machines(tmp_path, 2, services_with_both)
    try:
        async with at(machines, 0) as a, at(machines, 1) as b:
            await when(lambda: _all_there(a, 2), 30 + SLACK)
            brought = await a.post("/api/avatars", files={"portrait": head().zipped()}, data={"consent": "me"})
            assert brought.status_code == 201, brought.text
            avatar, names = brought.json()["id"], [state["name"] for state in machines.states]
            async with Client(b) as caller, Client(a) as viewer:
                assert (await caller.publish("gaussians", avatar=avatar)).status_code == 201
                assert (await viewer.view("gaussians")).status_code == 201
                await viewer.seen(5)
                assert (await b.get("/api/channels/gaussians")).json()["engine"] == "splats"
                await when(lambda: _held(a, 1), 10 + SLACK)
                assert await holder(a, "gaussians") == names[1], "whose door was asked: loads are alike"
                kept = [tmp_path / f"node{number}" / "avatars" / avatar for number in range(2)]
                for name in BROUGHT_FILES:
                    assert (kept[0] / name).read_bytes() == (kept[1] / name).read_bytes(), name
            await when(lambda: _held(b, 0), 20 + SLACK)
            assert (await b.delete(f"/api/avatars/{avatar}")).status_code == 204
            assert not any(folder.exists() for folder in kept)
    finally:
        machines.close()


@pytest.fixture
def kept_by_redis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machines]:
    """A cluster whose head's knowledge Redis keeps."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not here (Debian: apt-get install redis-server): it keeps what Ray's head knows")
    port = free_port()
    redis = subprocess.Popen(
        ("redis-server", "--port", str(port), "--save", "", "--dir", str(tmp_path)), stdout=subprocess.DEVNULL
    )
    try:
        _until(lambda: _listens(port))
        monkeypatch.setenv("RAY_REDIS_ADDRESS", f"127.0.0.1:{port}")
        machines = Machines(tmp_path)
        yield machines
        machines.close()
    finally:
        redis.kill()
        redis.wait()


async def test_who_is_live_stays_so_while_rays_head_is_started_anew(kept_by_redis):
    machines = kept_by_redis
    async with at(machines, 0) as a, at(machines, 1) as b, Client(a) as caller, Client(b) as viewer:
        await when(lambda: _all_there(a, 3), 30)
        assert (await caller.publish("steady")).status_code == 201
        assert (await viewer.view("steady")).status_code == 201
        await viewer.seen(5)
        await asyncio.to_thread(machines.cluster.head_node.kill_gcs_server, False)
        await asyncio.sleep(5)
        await viewer.seen(len(viewer.pictures) + 10)
        await asyncio.to_thread(machines.cluster.head_node.start_gcs_server)
        back = await when(lambda: _comes_in(b, "new"), 60)
        print(f"Ray's head away for 5 s: a new caller {back:.1f} s after it is back")
        await viewer.seen(len(viewer.pictures) + 10)


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


async def _all_there(http: httpx.AsyncClient, count: int) -> bool:
    nodes = (await http.get("/api/cluster")).json()["nodes"]
    return len(nodes) == count and all(one["welcome"] for one in nodes)


async def _missing(http: httpx.AsyncClient, node: str) -> bool:
    return node not in [one["node"] for one in (await http.get("/api/cluster")).json()["nodes"]]


async def _held(http: httpx.AsyncClient, count: int) -> bool:
    return sum(len(one["names"]) for one in (await http.get("/api/cluster")).json()["nodes"]) == count


async def _gone(http: httpx.AsyncClient, channel: str) -> bool:
    return (await http.get(f"/api/channels/{channel}")).status_code != 200


async def _comes_in(http: httpx.AsyncClient, channel: str) -> bool:
    async with Client(http) as caller:
        return (await caller.publish(channel)).status_code == 201


def _kill_all(raylet: Any) -> None:
    """As when its power fails."""
    above = psutil.Process(raylet.all_processes["raylet"][0].process.pid)
    for one in (above, *above.children(recursive=True)):
        one.kill()


def _process_of(kind: str, *raylets: Any) -> int:
    """The process of an actor of class `kind` on one of the machines `raylets`."""
    above = [psutil.Process(one.all_processes["raylet"][0].process.pid) for one in raylets]
    below = [child for one in above for child in one.children(recursive=True)]
    found = [one.pid for one in below if f"ray::{kind}" in " ".join(one.cmdline())]
    assert len(found) == 1, (kind, found)
    return found[0]


def _asked(actor: Any, seconds: float) -> dict[str, Any]:
    state: Any = ray.get(actor.state.remote(), timeout=seconds)
    return state


def _ended(actor: Any) -> bool:
    try:
        return _asked(actor, 5)["ended"]
    except RayError:
        return False
