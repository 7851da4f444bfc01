"""Node: the actor of Ray that one machine runs: it owns the machine's devices, sessions and sockets."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from server.channels.services import Services, open_services
from server.cluster.ray_directory import NAMESPACE, RayRegistry
from server.cluster.station import Station, name_of
from server.settings import Settings, is_loopback


class MediaNode:
    """A station in a process of Ray's. Nothing of a frame leaves it but to clients."""

    def __init__(self, settings: Settings, services: Callable[[Settings], Services] = open_services) -> None:
        address = "127.0.0.1" if is_loopback(settings.host) else ray.util.get_node_ip_address()
        self._station = Station(settings, RayRegistry, address, services)
        self._thread = threading.Thread(target=self._station.run, name="station", daemon=True)
        self._thread.start()

    def state(self) -> dict[str, Any]:
        return self._station.state

    def stop(self) -> None:
        """Ends all that is live, and says goodbye."""
        self._station.stop()
        self._station.ended.wait()


def start(settings: Settings, services: Callable[[Settings], Services] = open_services, here: str = "") -> Any:
    """The media node of this machine, or of the one that Ray calls `here`. Ray starts it anew where its process dies; all of the
    machine's processors and GPUs are its own, as far as they are free: a second one, to try things out, begins without."""
    here = here or ray.get_runtime_context().get_node_id()
    all_of_it, free = next(one["Resources"] for one in ray.nodes() if one["NodeID"] == here), ray.available_resources()
    has = {kind: min(all_of_it.get(kind, 0), free.get(kind, 0)) for kind in ("CPU", "GPU")}
    kind: Any = ray.remote(MediaNode)
    return kind.options(
        name=f"node-{name_of(settings)}", namespace=NAMESPACE, get_if_exists=False, max_restarts=-1, max_concurrency=4,
        num_cpus=has["CPU"], num_gpus=has["GPU"],
        scheduling_strategy=NodeAffinitySchedulingStrategy(here, soft=False),
    ).remote(settings, services)  # fmt: skip
