"""Faring: how each member's own picture goes, told to that member's own page when it changes. Told facts; no sockets, no clock."""

from __future__ import annotations

from typing import Any

from server.channels.condition import Condition, State

UNSAID = (State.CONNECTING, State.STILL, State.SLOWED)
"The seat's own row says the first two, and everybody is told of the third (strain.py)."


class Faring:
    """Of one call."""

    def __init__(self) -> None:
        self._told: dict[int, tuple[int | None, str, str]] = {}

    def see(self, seat: int, socket: int | None, condition: Condition) -> dict[str, Any] | None:
        """The message for the page behind `socket`, a seat's newest, unless it knows already."""
        state = State.LIVE if condition.state in UNSAID else condition.state
        why = condition.why if state is not State.LIVE else ""
        before = self._told.get(seat, (None, State.LIVE, ""))
        self._told[seat] = now = (socket, str(state), why)
        known = now == before or (state is State.LIVE and before[1] == State.LIVE)
        return None if socket is None or known else {"t": "condition", "state": str(state), "why": why}

    def forget(self, seat: int) -> None:
        self._told.pop(seat, None)
