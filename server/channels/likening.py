"""Likening: a caller's live face held against the portrait, a few times and then never again. Says, states, and never decides."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from engines import catalogue
from engines.contract import FaceObservation, PortraitRejected
from pipeline.avatars import SAMPLE, AvatarDamaged, UnknownAvatar, WrongEngine
from pipeline.frame import Frame
from pipeline.likeness.comparing import ALIKE_FROM
from pipeline.session import Session
from server import workers
from server.channels.channel import Channel
from server.channels.services import Services
from server.provenance.statement import ALIKE, CAMERA, UNCOMPARED, UNLIKE, UNSTATED

log = structlog.get_logger(__name__)

LOOKS = 4
"Frames that are looked at; the most alike counts, since a face that turns or talks is less like any picture of it."
APART_SECONDS = 1.5
SURE = 0.99
"Presence from which a face is really followed."


@dataclass
class Likening:
    """Of all channels. Event loop only."""

    services: Services
    see_to: Callable[..., object]
    _going: set[Channel] = field(default_factory=set)

    def look_after(self, channel: Channel) -> None:
        """Begin, once a caller is seen."""
        if self.services.likeness is None or channel in self._going or channel.likeness != UNCOMPARED:
            return
        session, origin = channel.session, channel.origin
        compared = origin is not None and origin.consent.category in ("me", "consenting") and channel.avatar != SAMPLE
        compared = compared and not {CAMERA, UNSTATED}.isdisjoint(
            channel.driven
        )  # a puppet's face and a film's are not the caller's
        if compared and channel.engine != catalogue.LIVE and isinstance(session, Session) and session.presence > SURE:
            self._going.add(channel)
            self.see_to(self._compare(channel, session))

    async def _compare(self, channel: Channel, session: Session) -> None:
        """Never raises: where nothing can be compared, nothing is said."""
        try:
            best = -1.0
            for _ in range(LOOKS):
                if channel.life.over or best >= ALIKE_FROM:
                    break
                if session.newest is not None:
                    best = max(best, await workers.slow(self._cosine, channel.avatar, session.newest))
                await asyncio.sleep(APART_SECONDS)
            if best > -1.0:
                channel.likeness = ALIKE if best >= ALIKE_FROM else UNLIKE
                log.info("a caller's face was compared with the portrait", channel=channel.name, found=channel.likeness)
        except (UnknownAvatar, AvatarDamaged, WrongEngine):  # what was brought has no portrait to compare with
            pass
        finally:
            self._going.discard(channel)

    def _cosine(self, avatar: str, frame: Frame) -> float:
        """-1 where no face is to be seen well enough."""
        assert self.services.likeness is not None
        try:
            seen: FaceObservation = self.services.observe_portrait(frame)
        except PortraitRejected:
            return -1.0
        return self.services.likeness.cosine(self.services.avatars.observation(avatar), seen)
