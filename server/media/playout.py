"""Playout: one voice's packets into an even stream of blocks, one each tick of a mixer. No clock, no codec: it is given a decoder.

What is missing is concealed for a moment, and then silence. Whoever falls behind or runs ahead (sound that follows an older
picture) is stretched and shrunk where nothing is heard.
"""

from __future__ import annotations

from bisect import insort
from typing import Protocol

import numpy as np

from server.media.mixing import loudness

BLOCK = 960
"Samples that are taken at once: 20 ms."
CONCEALED = 3
"Blocks in a row that are concealed: 60 ms, after which what is made up sounds made up."
SHRINK = 120
"Samples that are left out of a quiet block while too much waits: 2.5 ms."
PLENTY = 2 * BLOCK
"Samples that wait at the least moment of a second, of which some are too much."
LOOK = 50
"Blocks over which that moment is looked for."
QUIET = 10 ** (-45 / 20)
"Loudness of a block whose length nobody hears."
MOST = 25
"Packets that wait at most."


class Decoder(Protocol):
    """Of one voice. Blocks are [N] float32, full scale 1.0."""

    def decode(self, payload: bytes) -> np.ndarray: ...

    def conceal(self) -> np.ndarray:
        """What may have been in a packet that is missing: as long as the one before."""
        ...


class Playout:
    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._packets: list[tuple[int, bytes]] = []
        self._ready = np.zeros(0, np.float32)
        self._next: int | None = None
        "The position of the packet to go on with; None while nothing is played."
        self._waited = False
        self._run = self._owed = 0
        "Blocks concealed in a row, and samples concealed of which it is not known whether they are lost or late."
        self._least: list[int] = []
        self.concealed = 0
        "Blocks, in all."

    def put(self, payload: bytes, position: int) -> None:
        """A packet, `position` samples into its voice."""
        insort(self._packets, (position, payload))
        del self._packets[:-MOST]

    def take(self) -> np.ndarray | None:
        """The next [BLOCK] float32; None where the voice is silent."""
        if self._next is None and not self._begin():
            return None
        while len(self._ready) < BLOCK:
            if not self._fill():
                return self._end()
        block, self._ready = self._ready[:BLOCK], self._ready[BLOCK:]
        self._shrink(block)
        return block

    def _begin(self) -> bool:
        """A voice begins a tick after its first packet, so that the next may be a little late."""
        if not self._packets:
            return False
        if not self._waited:
            self._waited = True
            return False
        self._waited, self._next = False, self._packets[0][0]
        return True

    def _end(self) -> np.ndarray | None:
        rest, self._ready = self._ready, np.zeros(0, np.float32)
        self._next, self._run, self._owed = None, 0, 0
        self._least.clear()
        return np.pad(rest, (0, BLOCK - len(rest))) if len(rest) else None

    def _fill(self) -> bool:
        """Make more ready; whether there is any."""
        assert self._next is not None
        while self._packets and self._packets[0][0] < self._next:  # it is made up for already
            self._packets.pop(0)
        if not self._packets:
            return self._conceal(lost=False)
        missing = self._packets[0][0] - self._next
        if self._owed < missing <= CONCEALED * BLOCK and self._conceal(lost=True):
            return True
        position, payload = self._packets.pop(0)
        samples = self._decoder.decode(payload)
        self._ready, self._next = np.concatenate([self._ready, samples]), position + len(samples)
        self._run = self._owed = 0
        return True

    def _conceal(self, lost: bool) -> bool:
        """Make something up, if it is not too much by now. Unless `lost`, what it stands for may still come, and is played then."""
        if self._run == CONCEALED:
            return False
        assert self._next is not None
        samples = self._decoder.conceal()
        self._ready = np.concatenate([self._ready, samples])
        self._run += 1
        self.concealed += 1
        if lost:
            self._next += len(samples)
        else:
            self._owed += len(samples)
        return True

    def _shrink(self, block: np.ndarray) -> None:
        waiting = len(self._ready) + BLOCK * len(self._packets)
        self._least = [*self._least[1 - LOOK :], waiting]
        if len(self._least) == LOOK and min(self._least) >= PLENTY and loudness(block) < QUIET:
            if len(self._ready) < SHRINK:
                self._fill()
            self._ready = self._ready[SHRINK:]
