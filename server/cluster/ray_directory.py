"""Directory: the one actor of Ray that all nodes ask (registry.py). Detached: it outlives whoever made it, and Ray starts it
anew where it died; what it knew the nodes' next reports bring back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import ray
from ray.exceptions import RayError

from server import workers
from server.cluster.members import Heard, Report
from server.cluster.registry import DoesNotFit, Local

NAME, NAMESPACE = "telequilt-directory", "telequilt"
SECONDS = 2.0
"For an answer. One takes about two milliseconds."


class RayRegistry:
    """Registry, by Ray's actor. Of the event loop that asks."""

    def __init__(self) -> None:
        self._actor: Any = None

    async def admit(self, key: bytes, token: str) -> bytes:
        return await self._ask("admit", key, token)

    async def join(self, report: Report, forgotten: Iterable[str]) -> Heard:
        return await self._ask("join", report, tuple(forgotten))

    async def beat(self, report: Report, known: int) -> Heard | None:
        return await self._ask("beat", report, known)

    async def leave(self, node: str) -> None:
        await self._ask("leave", node)

    async def owner(self, name: str) -> Report | None:
        return await self._ask("owner", name)

    async def place(self, name: str, asked: str, but: tuple[str, ...] = ()) -> Report | None:
        return await self._ask("place", name, asked, but)

    async def drain(self, node: str, on: bool) -> bool:
        return await self._ask("drain", node, on)

    async def forget(self, avatar: str) -> None:
        await self._ask("forget", avatar)

    async def live(self, avatar: str) -> bool:
        return await self._ask("live", avatar)

    async def lost(self, call: str) -> Any:
        return await self._ask("lost", call)

    async def nodes(self) -> tuple[Report, ...]:
        return await self._ask("nodes")

    async def _ask(self, what: str, *given: Any) -> Any:
        """Raises ConnectionError where it does not answer, and what it raises itself."""
        try:
            if self._actor is None:
                self._actor = await workers.slow(directory)
            async with asyncio.timeout(SECONDS):
                return await getattr(self._actor, what).remote(*given)
        except DoesNotFit as failure:  # Ray raises what is that, and its own error, in one
            raise DoesNotFit(str(failure.args[0]).strip().splitlines()[-1]) from None
        except (TimeoutError, RayError, ValueError) as failure:
            self._actor = None
            raise ConnectionError(f"the directory does not answer: {failure!r}") from None


def directory() -> Any:
    """The actor, made where there is none. Of all who make it at once, Ray makes one."""
    kind: Any = ray.remote(Local)
    return kind.options(
        name=NAME,
        namespace=NAMESPACE,
        lifetime="detached",
        get_if_exists=True,
        num_cpus=0,
        max_restarts=-1,
        max_task_retries=0,
    ).remote()


def known() -> bool:
    """Whether there is one."""
    try:
        ray.get_actor(NAME, namespace=NAMESPACE)
    except ValueError:
        return False
    return True
