"""Joining: this machine's process in a Ray cluster: a media node of its own for as long as it runs."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import ray
from ray.exceptions import RayError

from server.channels.services import Services, open_services
from server.cluster import node
from server.cluster.ray_directory import NAMESPACE
from server.settings import Settings

LOOK_EVERY = 0.5
"Seconds between looks at the node."
STARTS_WITHIN = 20.0
"Seconds in which Ray starts a node's process where it has what that needs: 3 to 8 on two busy cores."
NO_RAY = (
    "no Ray runs on this machine. On the first one: ray start --head --port=6379 --disable-usage-stats\n"
    "on every other: ray start --address=FIRST:6379\nthen this command again on each. docs/cluster.md has the whole of it"
)


class NoRay(RuntimeError):
    """There is no Ray to join."""


class NodeFailed(RuntimeError):
    """This machine's node cannot run; the message says why."""


def join() -> None:
    """Raises NoRay."""
    try:
        ray.init(
            address=os.environ.get("RAY_ADDRESS", "auto"),
            namespace=NAMESPACE,
            logging_level=logging.ERROR,
            log_to_driver=True,
        )
    except (ConnectionError, RayError) as failure:
        raise NoRay(f"{NO_RAY} ({failure})" if "RAY_ADDRESS" in os.environ else NO_RAY) from None


class Machine:
    """One machine's node, started and looked after from another process."""

    def __init__(self, settings: Settings, services: Callable[[Settings], Services] = open_services) -> None:
        self._actor = node.start(settings, services)

    def state(self) -> dict[str, Any] | None:
        """The node's; None while Ray starts its process anew."""
        try:
            return ray.get(self._actor.state.remote(), timeout=5)
        except RayError:
            return None

    def ready(self, waits: Callable[[], None]) -> dict[str, Any]:
        """The node's state once it is warm; `waits` is told, once, where Ray takes long to start its process. Raises NodeFailed."""
        patience = time.monotonic() + STARTS_WITHIN
        while True:
            state = self.state()
            if state is None and time.monotonic() > patience:
                waits()
                patience = float("inf")
            if state is not None and (state["failure"] or state["ended"]):
                raise NodeFailed(state["failure"] or "the node has ended")
            if state is not None and state["ready"]:
                return state
            time.sleep(LOOK_EVERY)

    def wait(self, lost: Callable[[], None], back: Callable[[dict[str, Any]], None]) -> None:
        """Until the node has been drained. `lost` is told where its process died, `back` once Ray has started it anew."""
        there = True
        while True:
            state = self.state()
            if state is None and there:
                lost()
            elif state is not None and state["failure"]:
                raise NodeFailed(state["failure"])
            elif state is not None and state["ended"]:
                return
            elif state is not None and state["ready"] and not there:
                back(state)
            there = state is not None and (there or state["ready"])
            time.sleep(LOOK_EVERY)

    def stop(self) -> None:
        """End all that is live on it, and then the node."""
        with suppress(RayError):
            ray.get(self._actor.stop.remote(), timeout=30)
        ray.kill(self._actor, no_restart=True)
