"""Withdrawal: consent to a portrait is taken back: what shows it ends, what was made of it is deleted, and what is left is looked for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass

import structlog

from pipeline.avatars import AvatarDamaged, UnknownAvatar
from server import workers
from server.channels.lobby import Lobby
from server.channels.services import Services
from server.provenance.consents import WITHDRAWN, Consents
from server.recordings import traces
from server.recordings.archive import mark_of
from server.settings import Settings

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Withdrawn:
    """What came of it on one machine."""

    had: bool
    "Whether it was kept here."
    ended: list[str]
    "Channels."
    recordings: int
    files: int
    "That were searched."
    found: tuple[str, ...]
    "Those that still hold something of it."


async def withdraw(
    lobby: Lobby,
    services: Services,
    settings: Settings,
    avatar: str,
    forget: Callable[[str], Awaitable[object]] | None = None,
) -> Withdrawn:
    """`forget`: what deletes it, in place of this server's own way. Raises Problem, OSError."""
    had = await workers.slow(services.avatars.keeps, avatar)
    photo = await workers.slow(_photo, services, avatar)
    films = await workers.slow(lobby.archive.listing)
    ended = lobby.withdraw(avatar)
    if forget is not None:
        await forget(avatar)
    else:
        async with lobby.forgetting(avatar):
            await workers.slow(lobby.archive.forget, avatar)
            if had:
                await workers.slow(services.avatars.forget, avatar)
    looked = await workers.slow(traces.look, avatar, (settings.data_dir, settings.recordings), [photo])
    shown = [film.name for film in films if film.avatar == avatar]
    done = Withdrawn(had, ended, len(shown), looked.files, looked.found)
    facts = {"channels": len(ended), "recordings": len(shown), "files": looked.files, "left": len(looked.found)}
    if had or shown or ended:
        await workers.slow(Consents(settings.provenance_dir).add, WITHDRAWN, avatar=mark_of(avatar), **facts)
        log.info("consent withdrawn", **facts)
    return done


def told(each: dict[str, Withdrawn]) -> dict[str, object]:
    """For JSON: of all machines together, and of each by its name."""
    found = [f"{node}{path}" for node, one in each.items() for path in one.found]
    whole: dict[str, object] = {
        "ended": [name for one in each.values() for name in one.ended],
        "recordings": sum(one.recordings for one in each.values()),
        "looked": {"files": sum(one.files for one in each.values()), "found": found},
    }
    return whole if len(each) == 1 else whole | {"nodes": {node: asdict(one) for node, one in each.items()}}


def _photo(services: Services, avatar: str) -> str:
    """The hash of the photo that it was made from; empty where that is not known here."""
    try:
        return services.avatars.get(avatar).portrait_sha256
    except (UnknownAvatar, AvatarDamaged):
        return ""
