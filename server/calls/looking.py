"""Looking: where each member's head is, told to that member's own page and to nobody else; it is not kept."""

from __future__ import annotations

from functools import partial

from engines.contract import FaceObservation
from server.calls.conference import Conference
from server.calls.part import Part
from server.channels.channel import Channel


class Looking(Part):
    """By the face that drives the avatar: nothing more is looked for."""

    def __init__(self, conference: Conference) -> None:
        self.conference = conference

    def arrived(self, seat: int, channel: Channel) -> None:
        channel.looked = partial(self._looked, seat)

    def _looked(self, seat: int, seen: FaceObservation, captured: float) -> None:
        if seen.place is None:
            return
        x, y, z = (round(float(side), 1) for side in seen.place)
        self.conference.look(seat, x=x, y=y, z=z, seen=round(float(seen.confidence), 2), at=round(captured, 4))
