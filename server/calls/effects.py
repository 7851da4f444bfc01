"""Effects: what is to be done when something has happened to a call: the words with which rules.py answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from server.calls.events import Shared


@dataclass(frozen=True)
class Take:
    """A seat has been given."""

    seat: int


@dataclass(frozen=True)
class Tell:
    """Send a seat's socket a message. It has one."""

    seat: int
    message: dict[str, Any]


@dataclass(frozen=True)
class Renew:
    """Send a seat's socket a fresh token."""

    seat: int


@dataclass(frozen=True)
class Close:
    """Close one socket, after what it has been told."""

    seat: int
    socket: int
    code: int
    bye: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StopPublishing:
    seat: int


@dataclass(frozen=True)
class StopViewing:
    seat: int


@dataclass(frozen=True)
class Show:
    """Send pictures to a seat's WHEP sessions, or no more; sound goes on."""

    seat: int
    pictures: bool


@dataclass(frozen=True)
class Mute:
    """Let a seat's sound through no more, or again."""

    seat: int
    muted: bool


@dataclass(frozen=True)
class MakeTable:
    pass


@dataclass(frozen=True)
class DropTable:
    pass


@dataclass(frozen=True)
class Reform:
    """The host wishes another form: auto, pair or table."""

    form: str


@dataclass(frozen=True)
class Start:
    """Everybody agrees to it."""

    what: Shared


@dataclass(frozen=True)
class Stop:
    what: Shared
    why: str


@dataclass(frozen=True)
class Forget:
    """Nothing of this seat is kept."""

    seat: int


@dataclass(frozen=True)
class Refuse:
    """What was asked for is not done. `kind`: a word of refusals.py."""

    kind: str
    members: dict[str, Any] = field(default_factory=dict)


Effect = (
    Take
    | Tell
    | Renew
    | Close
    | StopPublishing
    | StopViewing
    | Show
    | Mute
    | MakeTable
    | DropTable
    | Reform
    | Start
    | Stop
    | Forget
    | Refuse
)
