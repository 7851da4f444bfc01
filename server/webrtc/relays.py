"""Relays: which STUN and TURN servers there are, with credentials minted for one session. Told the time; asks nobody."""

from __future__ import annotations

import base64
import hmac
import secrets
from dataclasses import dataclass

from server.settings import Settings

LIFE_SECONDS = 3600
"""How long a credential opens the TURN server. coturn looks at it when an address is asked for, and goes on refreshing that
address afterwards, so a call may last longer."""


@dataclass(frozen=True)
class IceServer:
    """A server as browsers' RTCIceServer has it."""

    url: str
    username: str = ""
    credential: str = ""

    @property
    def relays(self) -> bool:
        """It is a TURN server, which wants a credential."""
        return bool(self.username)

    @property
    def link(self) -> str:
        """As a Link header tells it (RFC 9725, section 4.6)."""
        link = f'<{self.url}>; rel="ice-server"'
        if not self.relays:
            return link
        return f'{link}; username="{self.username}"; credential="{self.credential}"; credential-type="password"'

    def told(self) -> dict[str, str]:
        """As JSON for a page."""
        named = {"username": self.username, "credential": self.credential} if self.relays else {}
        return {"urls": self.url, **named}


def ice_servers(settings: Settings, now: float, who: str = "") -> list[IceServer]:
    """Every configured server; the credentials of TURN servers are for the hour after `now`, in seconds since 1970.

    `who` stands in the TURN server's log; a random name if left out, since a channel's name opens it.
    """
    username = f"{int(now) + LIFE_SECONDS}:{who or secrets.token_hex(6)}"
    secret = settings.turn_secret.get_secret_value()
    return [
        IceServer(url, username, credential(secret, username)) if url.startswith("turn") else IceServer(url)
        for url in settings.ice_servers
    ]


def credential(secret: str, username: str) -> str:
    """What coturn's `use-auth-secret` expects of `username`, EXPIRY:NAME: base64 of HMAC-SHA1
    (draft-uberti-behave-turn-rest-00, section 2.2)."""
    return base64.b64encode(hmac.digest(secret.encode(), username.encode(), "sha1")).decode()
