"""Refusals: what the rules' words mean to whoever asked, and what people are told to do."""

from __future__ import annotations

from typing import Any

from server.calls.effects import Refuse
from server.calls.events import Shared
from server.problems import Problem

FULL_RETRY, RETRY = "30", "Retry-After"
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="telequilt"'}

_WORDS: dict[str, tuple[int, str]] = {
    "no-such-seat": (404, "there is no such seat in this call; its owner may have left. Join again with an invitation"),
    "not-permitted": (403, "this token does not allow that; it lacks the grant {grant}"),
    "seat-replaced": (409, "another window has taken this seat over; take it back there, or join anew"),
    "call-locked": (423, "the host has locked this call: nobody new may come in"),
    "call-full": (503, "{limit} is this call's limit; ask again when somebody has left"),
    "already-recording": (409, "this call is being recorded already"),
    "already-handed-over": (409, "this call goes out to {to} already; end that first"),
}


def problem(refusal: Refuse) -> Problem:
    members = refusal.members
    if refusal.kind == "not-everybody-agrees":
        return _not_agreed(members)
    status, words = _WORDS[refusal.kind]
    headers = {RETRY: FULL_RETRY} if status == 503 else None
    return Problem(status, refusal.kind, words.format(**members), headers, **members)


def _not_agreed(members: dict[str, Any]) -> Problem:
    joining = {Shared.RECORDING: "is being recorded", Shared.HANDOVER: "goes out to another server"}
    if lacking := [what for what in Shared if what in members]:
        how, say = " and ".join(joining[what] for what in lacking), ", ".join(f'"{what}": true' for what in lacking)
        detail = f"this call {how}; say {say} to join with that"
    else:
        what = {Shared.RECORDING: "a recording", Shared.HANDOVER: "its going out"}[members["what"]]
        detail = f"everybody here has to agree to {what} first; those who have not are being asked"
    return Problem(409, "not-everybody-agrees", detail, **members)


def token_required() -> Problem:
    return Problem(401, "token-required", "send 'Authorization: Bearer ...' with a token of this call", _CHALLENGE)


def token_expired() -> Problem:
    return Problem(401, "token-expired", "this token has expired; join again with an invitation", _CHALLENGE)


def no_such_call() -> Problem:
    """The same for a call that never was and for a token that opens another one, so that ids cannot be probed."""
    return Problem(404, "no-such-call", "there is no such call, or your token is not for it")


def call_ended() -> Problem:
    return Problem(409, "call-ended", "this call has ended; make a new one")


LOST = "call-lost"


def call_lost() -> Problem:
    return Problem(409, LOST, "the server was started anew since, and calls do not outlive that; make a new one")


def consent_missing() -> Problem:
    return Problem(
        403,
        "consent-missing",
        'whoever joins lets their face drive an avatar and their voice be heard: state it with "consent": true',
    )


def own_seat() -> Problem:
    return Problem(403, "own-seat", "this is your own seat: nobody watches themselves, unless asked for with ?self=1")


def nobody_unseen() -> Problem:
    detail = "take a seat first, with an invitation: everybody in a call sees who watches"
    return Problem(403, "not-permitted", detail, grant="view")


def not_permitted(grant: str) -> Problem:
    return problem(Refuse("not-permitted", {"grant": grant}))


def too_many(what: str, wait: float) -> Problem:
    return Problem(429, "too-many-requests", f"too many {what}; try again later", {RETRY: str(max(1, round(wait)))})
