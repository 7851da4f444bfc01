"""Events: what may happen to a call: the words in which rules.py is told. What it answers with is in effects.py."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


@dataclass(frozen=True)
class Grants:
    """What a token allows."""

    publish: bool = False
    "Its own seat only."
    view: bool = True
    host: bool = False
    record: bool = False

    @property
    def role(self) -> str:
        if self.host:
            return "host"
        return "member" if self.publish else "recorder" if self.record else "viewer"


ROLES = {
    "host": Grants(publish=True, host=True, record=True),
    "member": Grants(publish=True),
    "viewer": Grants(),
    "recorder": Grants(record=True),
}


class Being(StrEnum):
    """Where a seat stands."""

    WAITING = "waiting"
    "For the host's yes."
    JOINING = "joining"
    "Taken; neither control nor media has come."
    PRESENT = "present"
    AWAY = "away"
    "Both are lost. Its place and its session are kept for a while."
    GONE = "gone"


class Publishing(StrEnum):
    NONE = "none"
    CONNECTING = "connecting"
    LIVE = "live"
    STALLED = "stalled"
    "Connected, without pictures."


class Shared(StrEnum):
    """What leaves a call, and only with everybody's yes."""

    RECORDING = "recording"
    HANDOVER = "handover"
    "To another server."


class State(StrEnum):
    """Where a call stands."""

    EMPTY = "empty"
    "Nobody has come yet."
    OPEN = "open"
    CLOSING = "closing"
    "Everybody has gone; somebody may come back."
    ENDED = "ended"


@dataclass(frozen=True)
class Seated:
    """Somebody with an invitation wants a seat."""

    name: str
    grants: Grants
    lasts: float = 0.0
    "Seconds for which a plain seat, of a client without a socket, is held; 0: this is not one."
    agrees: frozenset[Shared] = frozenset()
    "To what is asked of everybody."
    muted: bool = False
    live: bool = False
    "Shown as the camera's own picture, not as an avatar."


@dataclass(frozen=True)
class Approved:
    seat: int


@dataclass(frozen=True)
class Denied:
    seat: int


@dataclass(frozen=True)
class Connected:
    """A socket has said hello with this seat's token."""

    seat: int
    socket: int
    epoch: int
    "Of the token."
    resume: bool = False
    "By itself, after a loss; not because a person asked for it."


@dataclass(frozen=True)
class Disconnected:
    seat: int
    socket: int


@dataclass(frozen=True)
class PublishStarted:
    seat: int


@dataclass(frozen=True)
class MediaLive:
    seat: int


@dataclass(frozen=True)
class MediaStalled:
    seat: int


@dataclass(frozen=True)
class MediaLost:
    seat: int


@dataclass(frozen=True)
class Drawable:
    """Whether who watches a seat may draw its avatar (as=geometry)."""

    seat: int
    drawable: bool


@dataclass(frozen=True)
class ViewStarted:
    """The first of a seat's WHEP sessions is connected."""

    seat: int


@dataclass(frozen=True)
class ViewEnded:
    """The last one is gone."""

    seat: int


@dataclass(frozen=True)
class Set:
    """A seat changes what is told of it, or, `by_host`, is muted. None leaves as it is."""

    seat: int
    name: str | None = None
    muted: bool | None = None
    camera: bool | None = None
    by_host: bool = False


@dataclass(frozen=True)
class Watching:
    """Whether a seat's page can be seen by anybody."""

    seat: int
    visible: bool


@dataclass(frozen=True)
class Spoke:
    """Who speaks now, all of them."""

    seats: tuple[int, ...]
    loudest: int | None = None


@dataclass(frozen=True)
class Together:
    """Two seats' devices hear the same: they are in one room, and echo."""

    seat: int
    other: int


@dataclass(frozen=True)
class LookedFrom:
    """Where a member's head is, for its own page alone."""

    seat: int
    look: dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """Somebody wants something to which everybody has to agree."""

    what: Shared
    by: int
    "A seat; 0 for who runs the server."
    to: str = ""
    "Where it goes, for people."


@dataclass(frozen=True)
class Agreed:
    seat: int
    what: Shared
    yes: bool


@dataclass(frozen=True)
class Stopped:
    what: Shared
    why: str


@dataclass(frozen=True)
class Left:
    seat: int


@dataclass(frozen=True)
class Removed:
    seat: int
    why: str = "removed"


@dataclass(frozen=True)
class Changed:
    """The host changes the call. None leaves as it is."""

    locked: bool | None = None
    title: str | None = None
    form: str | None = None


@dataclass(frozen=True)
class Formed:
    """What is sent now has another tiling, or begins or ceases to be a table. `tiling` as in the message `form`."""

    tiling: dict[str, Any]


@dataclass(frozen=True)
class CapacityLost:
    detail: str
    "For people: what is given up."


@dataclass(frozen=True)
class CapacityBack:
    pass


@dataclass(frozen=True)
class Ended:
    why: str = "ended"


@dataclass(frozen=True)
class Tick:
    """Time has passed."""


Event = (
    Seated
    | Approved
    | Denied
    | Connected
    | Disconnected
    | PublishStarted
    | MediaLive
    | MediaStalled
    | MediaLost
    | Drawable
    | ViewStarted
    | ViewEnded
    | Set
    | Watching
    | Spoke
    | Together
    | LookedFrom
    | Asked
    | Agreed
    | Stopped
    | Left
    | Removed
    | Changed
    | Formed
    | CapacityLost
    | CapacityBack
    | Ended
    | Tick
)
