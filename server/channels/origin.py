"""Origin: what is stated of a channel (server/provenance/statement.py): what made it, of whom, with whose consent, who sees it."""

from __future__ import annotations

import time
import uuid
from dataclasses import replace

from display.label import TEXT
from display.screen import Screen
from engines import catalogue
from engines.contract import UnknownEngine
from pipeline.avatar_files import Consent as Kept
from pipeline.avatars import SAMPLE
from server.channels.channel import Channel
from server.channels.services import Services
from server.provenance.statement import (
    ALIKE,
    CONFIRMED,
    LIVE,
    SEVERAL,
    UNCOMPARED,
    UNLIKE,
    UNSTATED,
    Consent,
    Engine,
    Statement,
)
from server.settings import Settings

WORST = (UNLIKE, CONFIRMED, UNCOMPARED, ALIKE)
"Of several people at a table, what is said of the first of these counts."


def origin_of(engine: str, avatar: str, settings: Settings, services: Services) -> Statement:
    """What is known once a session is made of them. Not from the event loop. Raises UnknownAvatar, AvatarDamaged."""
    record = services.avatars.get(avatar)
    consent = Consent(record.consent.value, None if avatar == SAMPLE else record.created)
    abilities = services.engine(engine).abilities
    if engine == catalogue.LIVE:
        consent = Consent(LIVE)
    elif avatar == SAMPLE and abilities.brought:
        consent = Consent(Kept.SYNTHETIC.value)  # its mannequin
    made = engine_of(engine, settings)
    if record.engine:
        made = replace(made, weights={**made.weights, "avatar": record.portrait_sha256})
    return Statement(str(uuid.uuid4()), time.time(), made, consent, abilities.mark if settings.mark else "")


def engine_of(engine: str, settings: Settings) -> Engine:
    """Which build of an engine works here."""
    try:
        build = catalogue.build(engine, settings.engine_options)
    except (UnknownEngine, OSError):  # one that is not in the catalogue; weights that somebody has taken away meanwhile
        return Engine(engine)
    return Engine(build.name, build.code_sha256, build.weights, build.synthetic)


def statement(channel: Channel, settings: Settings, whole: Screen | None = None) -> Statement:
    """What is stated of a live channel now; of a film or a still of it as `whole`."""
    shown = channel.members() if channel.gathered else [channel]
    stated = replace(
        channel.origin or _gathered(channel, settings),
        driven=tuple(dict.fromkeys(driver for one in shown for driver in one.driven)) or (UNSTATED,),
        seen_by=_seen_by(channel, settings),
        geometry=any(one.geometry for one in shown),
        likeness=min((one.likeness for one in shown), key=WORST.index, default=UNCOMPARED),
        shown=_shown(channel),
        agreed=channel.agreed() if channel.agreed is not None and whole is not None else None,
    )
    return stated if whole is None else stated.of(whole.columns, whole.rows, whole.views, whole.aspect)


def _gathered(channel: Channel, settings: Settings) -> Statement:
    """Of a channel that shows what others make: a table."""
    origins = [one.origin for one in channel.members() if one.origin is not None]
    marks = dict.fromkeys(one.mark for one in origins) or {TEXT: None}
    mark = ", ".join(marks) if settings.mark else ""
    made = Engine("table", members=tuple({one.engine.name: one.engine for one in origins}.values()))
    return Statement(channel.name, channel.since, made, Consent(SEVERAL), mark)


def _seen_by(channel: Channel, settings: Settings) -> str:
    if channel.held or channel.gathered:
        return "whoever is in this call"
    return "this machine's user" if settings.private else "whoever has this server's token and the channel's name"


def _shown(channel: Channel) -> tuple[str, ...]:
    places = {"another server": channel.handed_over is not None, "a display of the server's": channel.displayed}
    return tuple(place for place, there in places.items() if there)
