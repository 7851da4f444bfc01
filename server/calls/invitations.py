"""Invitations: which are out, how often each may still be used, which were taken back. Told the time; keeps no names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from server.problems import Problem

LONGEST_SECONDS = 604_800.0
"A week."
MOST_USES = 100


@dataclass
class _Out:
    uses: int | None
    "None: as often as wanted."
    revoked: bool = False


class Invitations:
    """Of one call, by id."""

    def __init__(self, remembered: Mapping[str, Sequence[Any]] | None = None) -> None:
        self._out = {jti: _Out(uses, revoked) for jti, (uses, revoked) in (remembered or {}).items()}

    def remembered(self) -> dict[str, tuple[int | None, bool]]:
        """Id -> how often it may still be used, and whether it was taken back."""
        return {jti: (one.uses, one.revoked) for jti, one in self._out.items()}

    def add(self, jti: str, uses: int | None) -> None:
        self._out[jti] = _Out(uses)

    def check(self, jti: str) -> None:
        """Raises Problem 410 where it cannot be used any more."""
        known = self._out.get(jti)
        if known is None or known.revoked:
            raise Problem(410, "invitation-revoked", "this invitation was taken back; ask for another link")
        if known.uses is not None and known.uses <= 0:
            raise Problem(410, "invitation-used", "this invitation has been used; ask for another link")

    def usable(self, jti: str) -> bool:
        known = self._out.get(jti)
        return known is not None and not known.revoked and (known.uses is None or known.uses > 0)

    def use(self, jti: str) -> None:
        known = self._out[jti]
        if known.uses is not None:
            known.uses -= 1

    def revoke(self, jti: str) -> None:
        """Raises Problem 404 where there is none such."""
        if jti not in self._out:
            raise Problem(404, "no-such-invitation", "there is no such invitation in this call")
        self._out[jti].revoked = True
