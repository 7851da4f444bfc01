"""Chance: words, numbers, bytes and JSON that nobody expects, and bytes changed at random; all from one seed."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any, TypeVar

T = TypeVar("T")

IDS = (
    "x",
    "sample",
    "..",
    ".",
    "%2e%2e",
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e%2f",
    "%00",
    "a%00b",
    "%ff",
    "%c3%28",
    "%F0%9F%98%80",
    "%0d%0aX:1",
    "-1",
    "0",
    "1",
    "99999999999999999999",
    "1e309",
    "NaN",
    "a" * 64,
    "a" * 65,
    "a" * 4000,
    "room.1",
    "room.99999",
    ".1",
    "room.",
    "A_-.0",
    "%25",
    "%",
    "%zz",
    "~",
    "*",
    "null",
    "true",
    "%5c",
    "c:%5c",
    "con",
    "%20",
    "+",
    "'%20or%201=1",
    "<b>",
    "%3Cscript%3E",
    "{{7*7}}",
    "${x}",
)
"Where a path wants a name."
WORDS = (
    "",
    " ",
    "\0",
    "\r\n",
    "\t",
    "é",
    "\u202e",
    "\ud800",
    "😀",
    "a" * 5000,
    "0",
    "-1",
    "1e309",
    "NaN",
    "null",
    "../../etc/passwd",
    "%s%n%x",
    "{0}",
    "' or 1=1",
    "<script>",
    "\x1b[31m",
    "me",
    "sample",
    "relief",
    "quilt",
    "view",
    "true",
)
NUMBERS = (0, -1, 1, 2**31, -(2**31), 2**53, 2**63, 2**64, 10**30, 0.1, -0.0, 1e308, float("inf"), float("nan"))


def weighted(luck: random.Random, choices: Sequence[T], first: float = 0.85) -> T:
    """The first one mostly, which is the sane one, so that much of what is made goes deep."""
    return choices[0] if len(choices) == 1 or luck.random() < first else luck.choice(choices[1:])


def value(luck: random.Random, depth: int = 3) -> Any:
    """Anything JSON can hold, and half a surrogate pair, which it may."""
    kind = luck.randrange(7 if depth else 5)
    if kind < 2:
        return luck.choice(WORDS)
    if kind == 2:
        return luck.choice(NUMBERS)
    if kind < 5:
        return luck.choice((None, True, False))
    if kind == 5:
        return [value(luck, depth - 1) for _ in range(luck.randrange(4))]
    return {luck.choice(WORDS): value(luck, depth - 1) for _ in range(luck.randrange(4))}


def document(luck: random.Random, names: Sequence[str]) -> bytes:
    """JSON with some of `names`, or something else: cut, deep, doubled, no UTF-8."""
    made = {name: value(luck) for name in names if luck.random() < 0.6} | ({"more": 1} if luck.random() < 0.1 else {})
    text = json.dumps(made if luck.random() < 0.8 else value(luck), ensure_ascii=luck.random() < 0.7)
    whole = text.encode("utf-8", "surrogatepass")
    match luck.randrange(12):
        case 0:
            return b"[" * luck.choice((100, 5000, 50_000))
        case 1:
            return whole[: luck.randrange(len(whole) + 1)]
        case 2:
            return luck.randbytes(luck.randrange(200))
        case 3:
            return b"\xef\xbb\xbf" + whole
        case 4:
            return whole + whole
    return whole


def changed(luck: random.Random, data: bytes, other: bytes = b"") -> bytes:
    """`data` with flipped bytes, cut, doubled or filled up somewhere, or with a piece of `other`."""
    made = bytearray(data)
    for _ in range(luck.choice((1, 1, 1, 2, 5, 20))):
        at = luck.randrange(len(made) + 1)
        match luck.randrange(7):
            case 0 | 1 if at < len(made):
                made[at] ^= luck.randrange(1, 256)
            case 2:
                del made[at : at + luck.choice((1, 4, 100, 10_000))]
            case 3:
                made[at:at] = luck.randbytes(luck.choice((1, 4, 100, 3000)))
            case 4:
                made[at : at + 4] = luck.choice((b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\1"))
            case 5:
                made[at:at] = made[at : at + luck.choice((4, 64, 2000))] * luck.choice((1, 3, 50))
            case 6 if other:
                begins = luck.randrange(len(other))
                made[at:at] = other[begins : begins + luck.choice((8, 200, 5000))]
        if not made:
            break
    return bytes(made)
