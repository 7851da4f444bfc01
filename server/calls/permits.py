"""Permits: why somebody may not take a seat, publish or watch just now; None where they may. Rules as in rules.py."""

from __future__ import annotations

from server.calls import events as of
from server.calls.agreement import Agreements
from server.calls.effects import Refuse
from server.calls.events import Being, Shared
from server.calls.seats import Seat

NO_SEAT = Refuse("no-such-seat")


def sit(event: of.Seated, beside: int, most: int, locked: bool, agreements: Agreements) -> Refuse | None:
    """`beside`: how many of its kind, members or watchers, there are, of at most so many."""
    if locked:
        return Refuse("call-locked")
    if beside >= most:
        return Refuse("call-full", {"limit": most})
    if event.grants.publish and (lacking := agreements.lacking(event.agrees)):
        return Refuse("not-everybody-agrees", {one.value: True for one in lacking})
    return None


def publish(seat: Seat | None, epoch: int | None, agreements: Agreements) -> Refuse | None:
    """With a token of `epoch`; None: with the server's own."""
    if seat is None:
        return NO_SEAT
    if not seat.grants.publish or seat.being is Being.WAITING:
        return Refuse("not-permitted", {"grant": "publish"})
    if epoch is not None and epoch < seat.epoch:
        return Refuse("seat-replaced")
    if lacking := agreements.lacking(seat.agreed):
        return Refuse("not-everybody-agrees", {"what": lacking[0], "missing": [seat.number]})
    return None


def view(seat: Seat | None, agreements: Agreements) -> Refuse | None:
    """A recorder sees what everybody agrees to have recorded."""
    if seat is None:
        return NO_SEAT
    if not seat.grants.view or seat.being is Being.WAITING:
        return Refuse("not-permitted", {"grant": "view"})
    if seat.grants.role == "recorder" and agreements[Shared.RECORDING].since is None:
        return agreements[Shared.RECORDING].refusal()
    return None
