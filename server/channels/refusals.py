"""Refusals: what whoever comes to a channel is told where it cannot be, or is no more."""

from __future__ import annotations

from server.problems import Problem, busy

RETRY_SECONDS = 5
"When somebody turned away may try again."
LIVE_RETRY_SECONDS = 2
"When to look again for a caller who is not there yet."


def not_live(name: str, ended: str = "") -> Problem:
    """`ended`: why the channel that was there has been ended, where we did that."""
    again = {"Retry-After": str(LIVE_RETRY_SECONDS)}
    if ended:
        return Problem(404, "not-live", f"channel {name!r} was ended: {ended}", again, ended=ended)
    return Problem(404, "not-live", f"nobody is live in {name!r} yet; ask again", again)


def stopping() -> Problem:
    return busy("stopping", "this server is stopping; ask again in a while", RETRY_SECONDS)


def no_session() -> Problem:
    return Problem(404, "no-such-session", "there is no such session; it may have ended")


def channel_taken(name: str) -> Problem:
    return Problem(409, "channel-taken", f"somebody is live in {name!r} already; choose another channel")


def avatar_being_forgotten() -> Problem:
    return Problem(409, "avatar-being-forgotten", "this avatar is being forgotten; choose another one")


def avatar_live() -> Problem:
    return Problem(409, "avatar-live", "this avatar is live right now; end the call, then forget it")


def channel_ending() -> Problem:
    return busy("call-ending", "a channel with this avatar is still ending; ask again", RETRY_SECONDS)


def handed_over(name: str, host: str) -> Problem:
    return Problem(
        409, "already-handed-over", f"{name!r} is handed over to {host} already; DELETE here ends that", host=host
    )


def not_handed_over(name: str) -> Problem:
    return Problem(404, "not-handed-over", f"{name!r} is handed over to nobody; POST here begins it")
