"""Bearer: whether a request carries this server's token (RFC 6750)."""

from __future__ import annotations

import hmac

from starlette.datastructures import Headers

from server.settings import Settings


def knows_token(settings: Settings, headers: Headers) -> bool:
    """Whether `headers` carry the token that is set."""
    assert settings.token is not None
    scheme, _, given = headers.get("authorization", "").partition(" ")
    expected = settings.token.get_secret_value()
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), expected.encode())
