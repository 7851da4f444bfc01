"""Cluster: what crossing machines costs on Ray, and how many callers one, two and three nodes let in.

    python -m benchmarks.cluster                  three machines of Ray's on this one; needs `pip install -e '.[cluster]'`

*Crossing*: an actor on the same and on another raylet is handed a quilt (1536x1024 RGB, 4.7 MB) or an observed face (20 KB), and says
when it has it. On one host, so without any network between. *Callers*: nodes with an engine that paints, each with two places, are asked
by one door for callers until all refuse: what is measured is that doors and directory spread them, and how long each takes to come in.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import ray
from ray.cluster_utils import Cluster
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from benchmarks.lib.harness import RESULTS, parser, show, write
from benchmarks.simulation.simulation import Blank
from pipeline.clock import Percentiles, percentiles
from server import workers
from server.channels.services import Services, open_services
from server.cluster import node
from server.cluster.ray_directory import NAMESPACE, RayRegistry, directory
from server.settings import Settings
from server.webrtc.client import PictureTrack, Refused, publishing

QUILT, FACE = (1024, 1536, 3), (20_000,)
PLACES = 2
"Of one node."
PICTURE = np.full((240, 320, 3), 90, np.uint8)


class Taker:
    """Takes what it is handed, and looks at its last byte."""

    def take(self, data: np.ndarray) -> int:
        return int(data.flat[-1])


def stand_in(settings: Settings) -> Services:
    """Everything real but the face and the engine."""
    real, engine = open_services(settings), Blank()
    return Services(real.avatars, real.deployments, lambda name: engine, lambda wants: engine)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--repeats", type=int, default=30, help="of each crossing, after five that are not counted")
    options.add_argument("--seconds", type=float, default=5.0, help="how long callers are watched")
    options.add_argument("--out", type=Path, default=RESULTS, help="folder for the JSON")
    wanted = options.parse_args()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    raylets = [cluster.add_node(num_cpus=1) for _ in range(3)]
    ray.init(address=cluster.address, namespace=NAMESPACE, log_to_driver=False)
    try:
        measure(wanted, [one.node_id for one in raylets])
    finally:
        ray.shutdown()
        cluster.shutdown()


def measure(wanted: argparse.Namespace, machines: list[str]) -> None:
    crossings = crossed(machines, wanted.repeats)
    show(
        "to an actor and back, milliseconds",
        ["what", "p50", "p95"],
        [[what, f"{one.p50:.1f}", f"{one.p95:.1f}"] for what, one in crossings.items()],
    )
    with tempfile.TemporaryDirectory() as folder:
        held = [
            asyncio.run(holding(machines[:count], Path(folder) / str(count), wanted.seconds)) for count in (1, 2, 3)
        ]
    show(
        f"callers let in by one door, {PLACES} places a node",
        ["nodes", "callers", "to come in, p50 ms", "pictures a second, least"],
        [[one["nodes"], one["callers"], f"{one['came_in'].p50:.0f}", f"{one['least_fps']:.1f}"] for one in held],
    )
    print(
        write(
            "cluster",
            {"what": "crossing machines, and callers by nodes", "crossings": crossings, "held": held},
            wanted.out,
        )
    )


def crossed(machines: list[str], repeats: int) -> dict[str, Percentiles]:
    """On the same machine as a caller of its own, and on another one."""
    takers: dict[str, Any] = {
        where: _on(machine, Taker) for where, machine in zip(("same", "another"), machines, strict=False)
    }
    asker: Any = _on(machines[0], _Asker)
    found = {}
    for what, shape in (("a quilt", QUILT), ("an observed face", FACE)):
        for where, taker in takers.items():
            times: Any = ray.get(asker.times.remote(taker, shape, repeats))
            found[f"{what} ({int(np.prod(shape)) / 1e6:.2g} MB), {where} machine"] = percentiles(times)
    times = asyncio.run(_asking(repeats))
    return found | {"the directory is asked where a name is": percentiles(times)}


class _Asker:
    def times(self, taker: Any, shape: tuple[int, ...], repeats: int) -> list[float]:
        """Seconds of each hand-over of an array that is new each time."""
        found = []
        for number in range(repeats + 5):
            data = np.full(shape, number % 256, np.uint8)
            begun = time.perf_counter()
            ray.get(taker.take.remote(data))
            found.append(time.perf_counter() - begun)
        return found[5:]


async def _asking(repeats: int) -> list[float]:
    registry, found = RayRegistry(), []
    for _ in range(repeats + 5):
        begun = time.perf_counter()
        await registry.owner("nobody")
        found.append(time.perf_counter() - begun)
    return found[5:]


async def holding(machines: list[str], folder: Path, seconds: float) -> dict[str, Any]:
    """How many callers come in by the first machine's door, and how their pictures fare."""
    directory()
    actors = [
        node.start(Settings(data_dir=folder / str(number), port=0, max_channels=PLACES), stand_in, machine)
        for number, machine in enumerate(machines)
    ]
    try:
        doors = [f"http://127.0.0.1:{(await _warm(actor))['port']}" for actor in actors]
        async with httpx.AsyncClient(base_url=doors[0], timeout=30) as http, AsyncExitStack() as callers:
            while sum(one["welcome"] for one in (await http.get("/api/cluster")).json()["nodes"]) < len(machines):
                await asyncio.sleep(0.2)
            times = await _fill(doors[0], callers)
            await asyncio.sleep(2)
            before, begun = await _finished(http), time.monotonic()
            await asyncio.sleep(seconds)
            after, spent = await _finished(http), time.monotonic() - begun
        rates = [(after[name] - before.get(name, 0)) / spent for name in after]
        return {"nodes": len(machines), "callers": len(rates), "came_in": percentiles(times), "least_fps": min(rates)}
    finally:
        for actor in actors:
            await workers.slow(_end, actor)


async def _fill(door: str, callers: AsyncExitStack) -> list[float]:
    """Callers, one after another, until one is refused; how long each took to come in, in seconds."""
    times: list[float] = []
    while True:
        begun = time.perf_counter()
        track = PictureTrack(lambda number: PICTURE, 25)
        try:
            await callers.enter_async_context(publishing(f"{door}/whip/caller{len(times)}", track))
        except Refused:
            return times
        times.append(time.perf_counter() - begun)
        await asyncio.sleep(1)


async def _finished(http: httpx.AsyncClient) -> dict[str, int]:
    """Channel -> pictures whose stages are done."""
    return {one["name"]: one["session"]["frames"] for one in (await http.get("/api/channels")).json()}


async def _warm(actor: Any) -> dict[str, Any]:
    while True:
        try:
            state: Any = await actor.state.remote()
        except RayError as failure:
            raise RuntimeError(f"a node does not begin: {failure}") from None
        if state["failure"]:
            raise RuntimeError(state["failure"])
        if state["ready"]:
            return state
        await asyncio.sleep(0.2)


def _end(actor: Any) -> None:
    ray.get(actor.stop.remote())
    ray.kill(actor)


def _on(machine: str, kind: Callable[..., Any]) -> Any:
    remote: Any = ray.remote(kind)
    return remote.options(scheduling_strategy=NodeAffinitySchedulingStrategy(machine, soft=False), num_cpus=0).remote()


if __name__ == "__main__":
    main()
