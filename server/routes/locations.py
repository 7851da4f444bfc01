"""Locations: where something new is found, told so that proxies in front of us need not know."""

from __future__ import annotations

from fastapi import Request


def location(request: Request, path: str) -> str:
    """`path` of this server as a Location of the answer to `request`: from the root, but told as a way there.

    Behind a proxy that strips a prefix, a path from the root would lead outside it. And not the shortest way, such as
    `room/ID`: OBS (whip-output.cpp) takes whatever has no scheme for a path from the root, where only `../` is left out.
    """
    return "../" * (request.url.path.count("/") - 1) + path.removeprefix("/")
