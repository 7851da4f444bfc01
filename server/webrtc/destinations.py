"""Destinations: to which hosts a channel may be handed over. What the operator lists, and nothing else in this server's network.

Whoever may hand over chooses an address that this server then asks: without a list he could ask what only this server reaches
(server-side request forgery, OWASP A10:2021). Decides; resolving names is whoever's asks.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from server.problems import Problem

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_LIST = "TELEQUILT_HANDOVER_HOSTS"


class Destinations:
    """The operator's list: host names, addresses, and networks in which private addresses may be asked."""

    def __init__(self, listed: Iterable[str]) -> None:
        self._names: set[str] = set()
        self._networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        for one in listed:
            try:
                self._networks.append(ipaddress.ip_network(one, strict=False))
            except ValueError:
                self._names.add(one.lower().rstrip("."))

    def host(self, url: str) -> tuple[str, int]:
        """Host and port of `url`, where the list has that host. Raises Problem 400 or 403."""
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").rstrip("."), parts.port
        except ValueError:
            host, port, parts = "", None, urlsplit("")
        if parts.scheme not in ("https", "http") or not host or parts.username is not None:
            raise Problem(400, "bad-parameter", "url: give the https:// address of a WHIP endpoint", parameter="url")
        if host not in self._names and not self._within(host):
            raise Problem(403, "handover-not-allowed", f"{host[:200]} is not one of the operator's {_LIST}")
        return host, port or (443 if parts.scheme == "https" else 80)

    def address(self, url: str, resolved: Iterable[str]) -> str:
        """Which of the addresses of its host is to be asked for `url`. Raises Problem 403."""
        found = [ipaddress.ip_address(one) for one in resolved]
        allowed = [one for one in found if self._may_ask(one)]
        if not allowed:
            inside = ", ".join(map(str, found)) or "nowhere"
            detail = (
                f"the host leads to {inside}, which is no public address; the operator may list that in {_LIST} too"
            )
            raise Problem(403, "handover-not-allowed", detail)
        if urlsplit(url).scheme == "http" and not self._listed(allowed[0]):
            raise Problem(
                403, "handover-not-allowed", f"http:// is for addresses in {_LIST}; elsewhere a token wants https://"
            )
        return str(allowed[0])

    def _may_ask(self, address: Address) -> bool:
        plain = getattr(address, "ipv4_mapped", None) or address
        return (plain.is_global and not plain.is_multicast) or self._listed(plain)

    def _listed(self, address: Address) -> bool:
        return any(address in network for network in self._networks)

    def _within(self, host: str) -> bool:
        try:
            return self._listed(ipaddress.ip_address(host))
        except ValueError:
            return False
