"""Examination: what `doctor --cluster` finds of the cluster that this machine is part of. Looks, changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
import ray

from server.cluster.joining import NoRay, join
from server.cluster.members import Report
from server.cluster.ray_directory import RayRegistry, known

FINE, SLOWER, LACKING = "fine", "works, could be better", "lacking"
Found = tuple[str, str, str, str]
"What, its health, what was found, and what mends it."


def look() -> Iterator[Found]:
    try:
        join()
    except NoRay as missing:
        yield "Ray", LACKING, str(missing).splitlines()[0], "ray start --head --port=6379 --disable-usage-stats"
        return
    machines = sum(one["Alive"] for one in ray.nodes())
    yield "Ray", FINE, f"{ray.__version__}, {machines} machine{'s' * (machines != 1)}", ""
    if not known():
        yield "cluster's directory", SLOWER, "nobody has begun the cluster yet", "python -m server serve --cluster"
        return
    try:
        nodes = asyncio.run(RayRegistry().nodes())
    except ConnectionError as failure:
        yield "cluster's directory", LACKING, str(failure), "Ray starts it anew by itself; ray status says how Ray is"
        return
    yield "cluster's directory", FINE, f"{len(nodes)} node{'s' * (len(nodes) != 1)}", ""
    for one in nodes:
        yield _door(one)
    if len(nodes) < machines:
        yield (
            "machines without a node",
            SLOWER,
            f"{machines - len(nodes)} of {machines}",
            "python -m server serve --cluster, there",
        )


def _door(node: Report) -> Found:
    """Whether the node's door can be reached from here, as the other doors have to."""
    try:
        httpx.get(f"{node.door}/healthz", timeout=3, trust_env=False).raise_for_status()
    except httpx.HTTPError as failure:
        return (
            f"node {node.node}",
            LACKING,
            f"{node.door} is not reached from here: {failure}",
            "open that TCP port between the machines",
        )
    state = "is being emptied" if node.draining else "takes callers" if node.welcome else "is full, or warms up"
    return f"node {node.node}", FINE, f"{node.door}, {len(node.names)} channels and calls, {state}", ""
