"""Routing: which node answers a request, by its method and path. Decides; the door carries it out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto

from pipeline.avatar_files import ID


class Way(Enum):
    HERE = auto()
    "By the node that was asked."
    OWNER = auto()
    "By the node that has `name`."
    PLACE = auto()
    "By the node that has `name`, or the one that is chosen for it."
    GATHER = auto()
    "By all nodes: their lists are put together."
    SEEK = auto()
    "By the first node that does not say 404."
    FORGET = auto()
    "By all nodes: none may have the avatar `name` any more."
    WITHDRAW = auto()
    "By all nodes: what shows the avatar `name` ends, and none may have it any more."


@dataclass(frozen=True)
class Target:
    way: Way
    name: str = ""
    "A channel, a call, or an avatar."


HERE = Target(Way.HERE)
_NAMED = re.compile(r"/(?:whip|whep|api/channels|api/calls)/([^/.]+)(?:\.\d+)?(?:/.*)?")
"A seat's channel begins with its call's id."
_LISTS = ("/api/channels", "/api/calls", "/api/recordings", "/api/avatars")
_RECORDING, _AVATAR = re.compile(r"/api/recordings/[^/]+"), re.compile(rf"/api/avatars/({ID.pattern})")
_WITHDRAWAL = re.compile(rf"/api/avatars/({ID.pattern})/withdrawal")
"Names that are no ids are no avatars anywhere: no other door hears of them, and none is remembered as forgotten."


def target(method: str, path: str) -> Target:
    if method == "OPTIONS":  # what may be posted is the same everywhere
        return HERE
    if method == "GET" and path in _LISTS:
        return Target(Way.GATHER)
    if method == "POST" and path == "/api/calls":
        return Target(Way.PLACE)
    if _RECORDING.fullmatch(path):
        return Target(Way.SEEK)
    if method == "DELETE" and (found := _AVATAR.fullmatch(path)):
        return Target(Way.FORGET, found[1])
    if method == "POST" and (found := _WITHDRAWAL.fullmatch(path)):
        return Target(Way.WITHDRAW, found[1])
    if found := _NAMED.fullmatch(path):
        begins = method == "POST" and path.startswith("/whip/")
        return Target(Way.PLACE if begins else Way.OWNER, found[1])
    return HERE
