"""Bearer: the token that a request carries (RFC 6750), and whether it is this server's."""

from __future__ import annotations

import hmac

from starlette.datastructures import Headers

from server.settings import Settings


def knows_token(settings: Settings, headers: Headers) -> bool:
    """Whether `headers` carry the token that is set."""
    assert settings.token is not None
    return hmac.compare_digest(bearer(headers).encode(), settings.token.get_secret_value().encode())


def bearer(headers: Headers) -> str:
    """The token that is sent; empty where none is."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    return given.strip() if scheme.lower() == "bearer" else ""
