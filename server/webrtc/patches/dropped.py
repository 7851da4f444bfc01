"""Dropped: what reached our media ports and went no further, counted by reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog

from server.tally import Tally

STRANGER, BAD_LENGTH, UNREAD, UNFIT, UNREADABLE, FAULT = (
    "datagram of a stranger dropped",
    "empty or too long datagram dropped",
    "datagram dropped: too many are unread",
    "datagram that makes no sense dropped",
    "media packet without readable content",
    "packet at which a handler of ours failed",
)
dropped = Tally(structlog.get_logger(__name__))
"What reached our media ports and went no further, by reason; of all peers, since the server began."


def harmless(taken: Callable[..., Any]) -> Callable[..., Any]:
    """`taken`, but what it raises is counted and told, not raised: aiortc's receive loop would go no further with a packet."""

    def safe(*given: Any) -> Any:
        try:
            return taken(*given)
        except Exception as error:
            dropped.count(FAULT, error=repr(error))
            return None

    return safe
