"""Members: which machines there are and what is where, as their reports say. Decides, told the time; the directory asks it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

DEAD_SECONDS = 3.0
"A node that has not been heard of for so long is gone, and so is what it held. It reports twice a second."
CLAIM_SECONDS = 15.0
"How long a name is kept for the node it was placed on until that one reports it: an avatar may have to be enrolled first."
LOST_SECONDS = 120.0
"For how long a call that lost its node may go on elsewhere."
SETTLED_SECONDS = 2.0
"Within which every node has reported to a directory that begins."
NEW_LOAD = 0.25
"What one caller more is reckoned with on a node that has none yet."
ALIKE = 0.1
"Loads that differ by less are alike: whoever is asked then keeps the caller, which saves a hop."


@dataclass(frozen=True)
class Report:
    """What a node says of itself."""

    node: str
    "Its name, the same after a restart."
    door: str
    "The URL at which others reach its HTTP."
    names: tuple[str, ...] = ()
    "Channels, and calls by their ids, whose seats' channels begin with them."
    avatars: tuple[str, ...] = ()
    "That are live."
    load: float = 0.0
    "Share of the time that its fullest device works when everybody is watched, or of its places that are taken, whichever is more."
    welcome: bool = False
    "One caller more fits; False too while it warms up."
    draining: bool = False
    calls: Mapping[str, Any] = field(default_factory=dict)
    "Call -> what it takes for it to go on elsewhere (server/calls/memory.py)."


@dataclass(frozen=True)
class Heard:
    """What a node is told for its report."""

    nodes: tuple[Report, ...]
    "Those that are there."
    forgotten: tuple[str, ...]
    "Avatars that were forgotten, but for the first `known` of them."
    draining: bool
    "Take nobody any more, and end when empty."
    settled: bool = True
    "Everybody who is there has been heard: what was forgotten is known."


@dataclass
class _Seen:
    report: Report
    heard: float


@dataclass
class _Claim:
    node: str
    since: float


@dataclass
class Members:
    """The directory's memory. It may be lost at any time: the nodes' reports bring it back."""

    born: float
    "When it began to listen."
    _seen: dict[str, _Seen] = field(default_factory=dict)
    _owners: dict[str, str] = field(default_factory=dict)
    "Name -> the node that reported it first, and still does."
    _claims: dict[str, _Claim] = field(default_factory=dict)
    _forgotten: dict[str, None] = field(default_factory=dict)
    _draining: set[str] = field(default_factory=set)
    _lost: dict[str, tuple[Any, float]] = field(default_factory=dict)
    "Call -> its memory, and when the node that had it was missed."

    def join(self, report: Report, forgotten: Iterable[str], now: float) -> Heard:
        """A node begins, or has not been known here, with the avatars that it knows to be forgotten."""
        self._forgotten |= dict.fromkeys(forgotten)
        if report.draining:
            self._draining.add(report.node)
        else:
            self._draining.discard(report.node)
        return self._heard(report, 0, now)

    def beat(self, report: Report, known: int, now: float) -> Heard | None:
        """A node is there, and knows of the first `known` forgotten avatars. None: it has to join (again)."""
        seen = self._seen.get(report.node)
        if seen is None or known > len(self._forgotten):
            return None
        return self._heard(report, known, now)

    def leave(self, node: str) -> None:
        """It says goodbye."""
        self._seen.pop(node, None)
        self._draining.discard(node)

    def alive(self, now: float) -> tuple[Report, ...]:
        """By their names."""
        for name, seen in list(self._seen.items()):
            if now - seen.heard > DEAD_SECONDS:
                self._lost |= {call: (memory, now) for call, memory in seen.report.calls.items()}
                self.leave(name)
        return tuple(self._seen[name].report for name in sorted(self._seen))

    def owner(self, name: str, now: float) -> Report | None:
        """Which node has the channel or the call `name`, or was chosen for it."""
        there = {one.node: one for one in self.alive(now)}
        node = self._owners.get(name)
        if node in there and name in there[node].names:
            return there[node]
        for one in there.values():
            if name in one.names:
                self._owners[name] = one.node
                return one
        claim = self._claims.get(name)
        return there.get(claim.node) if claim is not None and now - claim.since <= CLAIM_SECONDS else None

    def place(self, name: str, asked: str, now: float, but: Collection[str] = ()) -> Report | None:
        """The node for `name`: its owner's, or else the one with most room, which is claimed, so that of two who ask at once both
        are told the same. `asked`: whose door was asked; it keeps the caller where loads are alike. `but`: not these.
        None: there is no room anywhere. An empty `name` is claimed by nobody."""
        owner = self.owner(name, now) if name else None
        if owner is not None and owner.node not in but:
            return owner
        fit = [one for one in self.alive(now) if one.welcome and not one.draining and one.node not in but]
        fit = [one for one in fit if one.node not in self._draining]
        if not fit:
            return None
        loads = {one.node: self._load(one, now) for one in fit}
        chosen = min(fit, key=lambda one: (loads[one.node], one.node))
        mine = next((one for one in fit if one.node == asked), chosen)
        chosen = mine if loads[mine.node] - loads[chosen.node] < ALIKE else chosen
        self._claims[name or f"/{now}"] = _Claim(chosen.node, now)
        return chosen

    def lost(self, call: str, now: float) -> Any:
        """What it takes for `call` to go on, whose node has died not long ago; None where there is none such."""
        self._lost = {name: one for name, one in self._lost.items() if now - one[1] <= LOST_SECONDS}
        return self._lost[call][0] if call in self._lost and self.owner(call, now) is None else None

    def drain(self, node: str, on: bool, now: float) -> bool:
        """Take a node out, or in again; whether there is such a node."""
        if node not in {one.node for one in self.alive(now)}:
            return False
        if on:
            self._draining.add(node)
        else:
            self._draining.discard(node)
        return True

    def forget(self, avatar: str) -> None:
        """Nobody may serve it any more."""
        self._forgotten[avatar] = None

    def live(self, avatar: str, now: float) -> bool:
        """Whether somebody is live with it."""
        return any(avatar in one.avatars for one in self.alive(now))

    def _heard(self, report: Report, known: int, now: float) -> Heard:
        self._seen[report.node] = _Seen(report, now)
        self._owners = {
            name: node for name, node in self._owners.items() if node != report.node or name in report.names
        }
        for name in report.names:
            self._owners.setdefault(name, report.node)
        self._claims = {
            name: one
            for name, one in self._claims.items()
            if now - one.since <= CLAIM_SECONDS and not (one.node == report.node and name in report.names)
        }
        settled = now - self.born >= SETTLED_SECONDS
        return Heard(self.alive(now), tuple(self._forgotten)[known:], report.node in self._draining, settled)

    def _load(self, report: Report, now: float) -> float:
        """As reported, and for each caller who was sent there since."""
        coming = sum(1 for one in self._claims.values() if one.node == report.node and now - one.since <= CLAIM_SECONDS)
        each = report.load / len(report.names) if report.names and report.load else NEW_LOAD
        return report.load + coming * each
