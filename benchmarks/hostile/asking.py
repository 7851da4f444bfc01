"""Asking: requests of every route that the server names, with names, queries, headers, tokens and bodies that nobody expects."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from benchmarks.hostile.chance import IDS, WORDS, changed, document, weighted
from benchmarks.hostile.target import Target

QUERIES = ("as", "view", "views", "self", "channel", "avatar", "engine", "x")
KINDS = (
    "application/json",
    "application/sdp",
    "application/trickle-ice-sdpfrag",
    "multipart/form-data; boundary=x",
    "text/plain",
    "",
    "\0",
    "multipart/form-data",
    "multipart/form-data; boundary=" + "b" * 5000,
    "application/json; charset=utf-7",
    "a/b; c=\xff",
    "*/*",
    "x" * 9000,
)
HOSTS = (
    "localhost",
    "evil.example",
    "",
    "[",
    "[::1",
    "localhost:99999",
    "a b",
    "u@localhost",
    "127.0.0.1.nip.io",
    "\xff",
    "localhost\0",
)
ORIGINS = (
    "http://localhost",
    "null",
    "https://evil.example",
    "http://[",
    "javascript://localhost",
    "//localhost",
    "\0",
    "a" * 9000,
)
RANGES = (
    "bytes=0-1",
    "bytes=-1",
    "bytes=9-1",
    "bytes=" + "0-0," * 3000 + "0-0",
    "bytes=-",
    "bytes=99999999999999999999-",
    "lines=1-2",
    "\0",
)
METHODS = ("GET", "POST", "PATCH", "DELETE", "OPTIONS", "PUT", "HEAD", "TRACE", "CONNECT", "get", "X" * 300, "G\0T", "")
TOKENS = (
    "Bearer ",
    "Bearer wrong",
    "Basic OmE=",
    "Bearer " + "a" * 60_000,
    "Bearer a.b.c",
    "bearer \xff",
    "Bearer\0",
    "x",
)


def routes(openapi: Mapping[str, Any]) -> list[tuple[str, str, tuple[str, ...]]]:
    """(method, path, names in its JSON body) of each route that the server's own description names."""
    schemas = openapi.get("components", {}).get("schemas", {})
    found = []
    for path, methods in openapi["paths"].items():
        for method, told in methods.items():
            named = re.search(r"schemas/(\w+)", str(told.get("requestBody", "")))
            names = tuple(schemas[named[1]].get("properties", {})) if named else ()
            found.append((method.upper(), path, names))
    return found


def requests(
    target: Target, luck: random.Random, known: list[tuple[str, str, tuple[str, ...]]], names: Mapping[str, str]
) -> Iterator[bytes]:
    """Without end, each the bytes of one request. `names`: of what is there, for the deeper half of them."""
    while True:
        method, path, fields = luck.choice(known)
        method = weighted(luck, (method, *METHODS), 0.9)
        path = re.sub(r"\{(\w+)\}", lambda found: weighted(luck, (names.get(found[1], "x"), *IDS), 0.5), path)
        body = _body(luck, fields)
        yield _spoilt(luck, target.head(method, path + _query(luck), _headers(luck, len(body)))) + b"\r\n\r\n" + body


def _query(luck: random.Random) -> str:
    if luck.random() < 0.6:
        return ""
    parts = [
        f"{luck.choice(QUERIES)}={quote(luck.choice(WORDS), errors='replace')}"
        for _ in range(luck.choice((1, 1, 2, 200)))
    ]
    return "?" + luck.choice(("&", "&", "&&", ";")).join(parts)


def _body(luck: random.Random, fields: tuple[str, ...]) -> bytes:
    if luck.random() < 0.2:
        return luck.choice((b"", b"v=0\r\n", b"--x\r\n\r\n--x--", b"\0" * 1000, luck.randbytes(500), b"a" * 200_000))
    return document(luck, fields)


def _headers(luck: random.Random, length: int) -> dict[str, str]:
    headers = {
        "Content-Type": weighted(luck, KINDS, 0.6),
        "Content-Length": weighted(
            luck, (str(length), "-1", "0", str(length + 7), "1e3", "9" * 30, "0x10", "1, 2"), 0.93
        ),
        "X-Forwarded-For": f"198.51.{luck.randrange(256)}.{luck.randrange(256)}",
        "Connection": "close",
    }
    more = (
        ("Host", HOSTS),
        ("Origin", ORIGINS),
        ("Range", RANGES),
        ("Authorization", TOKENS),
        ("If-Match", ('"x"', "*", "\0", "a" * 9000)),
        ("If-None-Match", ("*", '"' * 999)),
        ("Accept-Encoding", ("gzip", "\0", "a" * 9000)),
        ("Transfer-Encoding", ("chunked", "x", "identity")),
        ("Expect", ("100-continue", "200-ok")),
        ("Upgrade", ("websocket", "h2c")),
        ("Cookie", ("a=b", ";" * 9000)),
        ("X-Forwarded-Proto", ("\0", "ws")),
        ("telequilt-door", ("", "x", "\xff")),
        ("telequilt-client", ("127.0.0.1",)),
        ("X-Forwarded-For", ("", "a, b", "::1", "127.0.0.1" * 500)),
    )
    for name, values in more:
        if luck.random() < 0.04:
            headers[name] = luck.choice(values)
    if luck.random() < 0.02:
        headers |= {f"X-{number}": "y" * luck.choice((1, 500)) for number in range(luck.choice((50, 150, 2000)))}
    return headers


def _spoilt(luck: random.Random, head: bytes) -> bytes:
    """Mostly as it was; else no HTTP any more."""
    match luck.randrange(25):
        case 0:
            return changed(luck, head)
        case 1:
            return head.replace(b"HTTP/1.1", luck.choice((b"HTTP/0.9", b"HTTP/2.0", b"HTTP/9.9", b"ICE/1.0", b"")), 1)
        case 2:
            return head.replace(b"\r\n", b"\n")
        case 3:
            return head.replace(b" /", b" http://evil.example/", 1)
        case 4:
            return head + b"\r\nContent-Length: 5\r\n a folded line\r\nHost: second"
    return head
