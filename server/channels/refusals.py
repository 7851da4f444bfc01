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


NO_GEOMETRY = {
    "engine": "this channel's engine has no geometry that could be drawn elsewhere",
    "operator": "whoever runs this server lets no avatar's geometry leave it (TELEQUILT_GEOMETRY)",
    "table": "several people are in this picture: it cannot be drawn elsewhere",
}
"By the reason, which is a word for programs."


def no_geometry(reason: str) -> Problem:
    return Problem(409, "no-geometry", f"{NO_GEOMETRY[reason]}; ask for as=quilt or as=view", reason=reason)


def stopping() -> Problem:
    return busy("stopping", "this server is stopping; ask again in a while", RETRY_SECONDS)


def displaced(most: int) -> Problem:
    return busy(
        "too-many-viewers",
        f"more than {most} viewers came at once, and a newer one took this place; ask again",
        1,
        limit=most,
    )


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
