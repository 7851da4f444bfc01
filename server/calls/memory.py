"""Memory: what has to be known of a call for it to go on elsewhere, or here again, after whatever had it has died. No sound, no pictures,
no consent to a recording: that is over, and asked for anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from server.calls.events import Grants
from server.calls.invitations import Invitations
from server.calls.rehearsals import Taken
from server.calls.rules import Call
from server.calls.seats import Seat


def remembered(rules: Call, taken: Mapping[int, Taken], invitations: Invitations, now: float) -> dict[str, Any]:
    """As JSON. Who waits to be let in asks again."""
    inside = [seat for seat in rules.seats.values() if seat.inside and seat.number in taken]
    return {
        "seats": rules.limit, "watchers": rules.watchers, "title": rules.title, "form": rules.wanted, "approve": rules.approve,
        "locked": rules.locked, "numbers": rules.next - 1, "invitations": invitations.remembered(),
        "people": [_row(seat, taken[seat.number], now) for seat in inside],
    }  # fmt: skip


def recalled(
    memory: Mapping[str, Any], tiling: dict[str, Any], now: float
) -> tuple[Call, dict[int, Taken], Invitations]:
    """The call, with everybody away who was there; each comes back with the token of its seat.

    Raises ValueError, TypeError, LookupError where it is no memory.
    """
    rules = Call(
        now, seats=int(memory["seats"]), watchers=int(memory["watchers"]), title=str(memory["title"]), form=str(memory["form"]),
        approve=bool(memory["approve"]), tiling=tiling,
    )  # fmt: skip
    rules.locked = bool(memory["locked"])
    people = [_seat(row, now) for row in memory["people"]]
    rules.recall([seat for seat, _ in people], int(memory["numbers"]), now)
    return rules, {seat.number: taken for seat, taken in people}, Invitations(memory["invitations"])


def _row(seat: Seat, taken: Taken, now: float) -> dict[str, Any]:
    kept = {name: getattr(seat, name) for name in ("number", "name", "epoch", "muted", "muted_by", "camera", "live")}
    lasts = (
        max(1, round((seat.held_until - now) / 60)) * 60.0 if seat.plain else 0.0
    )  # to the minute: it is written where it changes
    return kept | {"grants": asdict(seat.grants), "lasts": lasts, "avatar": taken.avatar, "engine": taken.engine}


def _seat(row: Mapping[str, Any], now: float) -> tuple[Seat, Taken]:
    seat = Seat(
        int(row["number"]), str(row["name"]), Grants(**{name: bool(value) for name, value in row["grants"].items()}), now,
        held_until=now + float(row["lasts"]) if row["lasts"] else 0.0, epoch=int(row["epoch"]), muted=bool(row["muted"]),
        muted_by=str(row["muted_by"]), camera=bool(row["camera"]), live=bool(row["live"]),
    )  # fmt: skip
    return seat, Taken(str(row["avatar"]), str(row["engine"]))
