"""Quotas: how often one client may do what costs much: so many at once, and then so many in a time (GCRA).

By `throttled`, which counts by a clock that nobody sets. `limits`, the better known one, goes by the time of day: where that is set
back by an hour, whoever has met a limit would wait an hour longer; and its store in memory begins a thread with each request.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta

from starlette.requests import HTTPConnection
from throttled import MemoryStore, per_duration
from throttled.rate_limiter.gcra import GCRARateLimiter

from server.problems import Problem
from server.settings import is_loopback

REMEMBERED = 4096
"Whose doings are remembered for each quota; who has done nothing for longest is forgotten."


class Quota:
    """`burst` at once, and `limit` more in `seconds` (whole ones)."""

    def __init__(self, burst: int, limit: int, seconds: int) -> None:
        self._rate = per_duration(timedelta(seconds=seconds), limit, burst)
        self.refused = 0
        "How often somebody was told to wait."
        self.forgive()

    def forgive(self) -> None:
        """Nobody has done anything."""
        self._limiter = GCRARateLimiter(self._rate, MemoryStore(options={"MAX_SIZE": REMEMBERED}))

    def wait(self, who: str) -> float:
        """Seconds until `who` may do it again; 0 for at once."""
        if self._limiter.peek(who).remaining:
            return 0.0
        waits = self._limiter.limit(who).state.retry_after  # of peek() it is the time since the last one
        self.refused += waits > 0
        return waits

    def count(self, who: str) -> None:
        """`who` has done it."""
        self._limiter.limit(who)

    def take(self, who: str, what: str) -> None:
        """`who` does it once more. Raises Problem 429 where that is too often; `what`, in the plural, for people."""
        asked = self._limiter.limit(who)
        if asked.limited:
            self.refused += 1
            raise too_often("too-many-requests", f"too many {what}; ask again later", asked.state.retry_after)


class Quotas:
    """Of each client, or of a call where that is said."""

    def __init__(self) -> None:
        self.tokens = Quota(20, 1, 1)
        "The server's, wrong."
        self.guesses = Quota(5, 5, 60)
        "Tokens of calls that do not verify."
        self.calls = Quota(10, 10, 3600)
        self.invitations = Quota(30, 30, 60)
        "Of a call."
        self.joins = Quota(20, 20, 60)
        self.joins_of_a_call = Quota(60, 60, 60)
        "Of a call: whoever has many addresses has one call."
        self.costly = {row.name: Quota(row.burst, row.limit, row.seconds) for row in COSTLY}

    def check(self, method: str, path: str, who: str) -> None:
        """`who` asks for a route. Raises Problem 429 where it costs much and was asked for too often."""
        for row in COSTLY:
            if method == row.method and row.path.fullmatch(path):
                self.costly[row.name].take(who, row.name.replace("_", " ") + " from your address")

    @property
    def refused(self) -> dict[str, int]:
        """Which quota -> how often somebody was told to wait."""
        named = {name: quota for name, quota in vars(self).items() if isinstance(quota, Quota)}
        return dict(Counter({name: quota.refused for name, quota in (named | self.costly).items()}))


@dataclass(frozen=True)
class Costly:
    """A route whose work is seconds of a core, a device, a disk or another server's."""

    name: str
    "In the plural: what is asked for, for people and for /metrics."
    method: str
    path: re.Pattern[str]
    burst: int
    limit: int
    seconds: int


def _row(name: str, method: str, path: str, burst: int, limit: int, seconds: int = 60) -> Costly:
    return Costly(name, method, re.compile(path.replace("{}", "[^/]+")), burst, limit, seconds)


COSTLY = (
    # Seven others in a call are seven sessions for each member, and a whole office may come by one address.
    _row("callers", "POST", "/whip/{}", 60, 60),
    _row("viewers", "POST", "/whep/{}", 240, 240),
    _row("avatars_downloaded", "GET", "/whep/{}/{}/asset", 240, 240),
    _row("portraits", "POST", "/api/avatars", 20, 6),
    _row("avatars_forgotten", "DELETE", "/api/avatars/{}", 40, 12),
    _row("withdrawals", "POST", "/api/avatars/{}/withdrawal", 20, 6),
    _row("recordings", "POST", "/api/channels/{}/recording", 20, 12),
    _row("stills", "POST", "/api/channels/{}/still", 60, 60),
    _row("handovers", "POST", "/api/channels/{}/handover", 20, 6),
    _row("files_verified", "POST", "/api/verify", 20, 6),
    _row("films", "GET", "/api/recordings/{}", 600, 600),  # a player asks for a film in many pieces
    _row("engines_listed", "GET", "/api/engines", 120, 120),
)
"What one client may ask for: so many at once, and then so many in that many seconds."


def client_of(request: HTTPConnection) -> str:
    """Who is counted as one: an address, or the /64 that one line has of IPv6. Of a request that came by a proxy which is trusted
    (TELEQUILT_TRUSTED_PROXIES), the one that the proxy names."""
    host = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.version == 6 and not address.is_loopback:
        return address.ipv4_mapped.exploded if address.ipv4_mapped else f"{int(address) >> 64:x}::/64"
    return host


def is_own(client: str, private: bool) -> bool:
    """Whether it is this machine's user, whom no quota of costly routes holds back."""
    return private and is_loopback(client)


def too_often(kind: str, detail: str, wait: float) -> Problem:
    """429; `wait` in seconds."""
    return Problem(429, kind, detail, {"Retry-After": str(max(1, math.ceil(wait)))})
