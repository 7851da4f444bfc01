"""Recording: one channel's quilt on its way to disk, joined to a stream like a viewer, but one that skips nothing.

Pictures wait for the writer's thread in a queue with a limit. A disk that cannot keep up ends the recording, with the reason,
rather than leaving gaps: what a recording holds is every picture from its first keyframe to its end.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

import structlog

from server import workers
from server.media.encode import AccessUnit, Form
from server.recordings.archive import Archive, Facts, mark_of
from server.recordings.film import Film, FilmFailed

log = structlog.get_logger(__name__)

MOST_WAITING_BYTES = 64 << 20
"What may wait for the disk: half a minute at 16 Mbit/s."
PATIENCE_SECONDS = 10.0
"How long a disk that does not answer may hold up the end of a recording, and with it the server's."
FIRST_PICTURE_SECONDS = 2.0
"How long a recording may wait for its first keyframe before its time runs all the same."
LOOK_EVERY_SECONDS = 1.0
"How often the writer looks how much room is left."

TOO_SLOW = "the disk could not keep up"
STUCK = "the disk does not answer"
NEARLY_FULL = "the disk is nearly full"
LONG_ENOUGH = "the time limit was reached"


@dataclass(frozen=True)
class Limits:
    """When a recording ends by itself."""

    free_bytes: int
    "What must stay free on its disk."
    seconds: float


@dataclass(frozen=True)
class UnderWay:
    """A recording that goes on, as everybody in the channel is told."""

    name: str
    since: float
    "Unix seconds."
    seconds: float
    bytes: int
    waiting: int
    "Bytes that the disk has yet to take."


@dataclass(frozen=True)
class _Sound:
    payload: bytes
    position: int
    captured: float


class Recording:
    """Event loop only, but for the writer's thread, which alone touches the film."""

    def __init__(
        self, archive: Archive, facts: Facts, file: BinaryIO, form: Form, limits: Limits, sound: bool, note: str
    ) -> None:
        """`sound`: whether there may be any. `note`: Tiling.note of the quilts."""
        self._archive, self._file, self._form, self._limits = archive, file, form, limits
        self._has_sound, self._note = sound, note
        self.facts = facts
        "With their end once there is one."
        self.release: Callable[[], None] = lambda: None
        "Called once, as soon as nothing more is wanted."
        self.stated: Callable[[], Mapping[str, Any] | None] = lambda: None
        "What is to be said of it when it ends, where that is more than when it began."
        self._loop = asyncio.get_running_loop()
        self._first: AccessUnit | None = None
        self._newest = 0.0
        self._pictures = self._taken = self._written = 0
        self._queue: queue.SimpleQueue[AccessUnit | _Sound | None] = queue.SimpleQueue()
        self._failure = ""
        self._ending: asyncio.Task[Facts] | None = None
        # a camera that stands still sends nothing by which the time could be told
        self._over = self._loop.call_later(limits.seconds + FIRST_PICTURE_SECONDS, self._end, LONG_ENOUGH)
        self._writer = threading.Thread(target=self._write, name=f"recording {facts.channel}", daemon=True)
        self._writer.start()

    @property
    def under_way(self) -> bool:
        return self.facts.ended is None

    @property
    def waiting(self) -> int:
        """Bytes that the disk has yet to take."""
        return self._taken - self._written

    def report(self) -> UnderWay | None:
        """None once it has ended."""
        if not self.under_way:
            return None
        seconds = self._newest - self._first.captured if self._first else 0.0
        return UnderWay(self.facts.name, self.facts.since, round(seconds, 1), self._written, self.waiting)

    def put(self, unit: AccessUnit) -> None:
        """The next picture. Those before the first keyframe could not be played and are no part of the recording."""
        if self._ending is not None or (self._first is None and not unit.keyframe):
            return
        self._first = self._first or unit
        if unit.captured - self._first.captured >= self._limits.seconds:
            self._end(LONG_ENOUGH)
        elif self.waiting + len(unit.data) > MOST_WAITING_BYTES:
            self._end(TOO_SLOW)
        else:
            self._newest = unit.captured
            self._pictures += 1
            self._taken += len(unit.data)
            self._queue.put(unit)

    def hear(self, payload: bytes, position: int, captured: float) -> None:
        """The next packet of the caller's sound, captured by the same clock as the pictures."""
        if self._first is None or self._ending is not None or not self._has_sound:
            return
        if self.waiting + len(payload) > MOST_WAITING_BYTES:
            self._end(TOO_SLOW)
            return
        self._taken += len(payload)
        self._queue.put(_Sound(payload, position, captured))

    async def finish(self, why: str) -> Facts:
        """End it, or wait for its end: the facts of what is kept. A failure that came first is the reason."""
        self._end(why)
        assert self._ending is not None
        return await asyncio.shield(self._ending)

    def _end(self, why: str) -> None:
        if self._ending is None:
            self._over.cancel()
            self.release()
            self._queue.put(None)
            self._ending = asyncio.create_task(self._close(why))

    async def _close(self, why: str) -> Facts:
        self.facts = await workers.slow(self._settle, why, self.stated())
        kept = self.facts
        log.info(
            "recorded", channel=kept.channel, seconds=kept.seconds, frames=kept.frames, lost=kept.lost, why=kept.ended
        )
        return kept

    def _settle(self, why: str, stated: Mapping[str, Any] | None) -> Facts:
        self._writer.join(PATIENCE_SECONDS)
        if self._writer.is_alive():  # mended when the archive is next read, once the disk has answered
            self._archive.let_go(self.facts)
            log.error("a recording's disk does not answer", channel=self.facts.channel, name=self.facts.name)
            return replace(self.facts, ended=STUCK)
        try:
            return self._archive.finish(self.facts, self._pictures, self._failure or why, stated)
        except OSError as failure:
            log.error("a recording's facts cannot be written", name=self.facts.name, cause=str(failure))
            return replace(self.facts, ended=self._failure or why)

    def _write(self) -> None:
        """The writer's thread."""
        try:
            with self._file:
                self._film()
        except (FilmFailed, OSError) as failure:
            self._failure = str(failure)
            self._tell(self._failure)

    def _film(self) -> None:
        film: Film | None = None
        looked = 0.0
        try:
            while (one := self._queue.get()) is not None:
                if isinstance(one, _Sound):
                    assert film is not None, "sound is taken from the first picture on"
                    film.sound(one.payload, one.position, one.captured)
                    self._written += len(one.payload)
                    continue
                whose = mark_of(self.facts.avatar)
                film = film or Film(self._file, self._form, one, self._has_sound, self._note, whose)
                film.picture(one)
                self._written += len(one.data)
                if one.captured - looked >= LOOK_EVERY_SECONDS:
                    looked = one.captured
                    if self._archive.free() < self._limits.free_bytes:
                        self._tell(NEARLY_FULL)
        finally:
            if film is not None:
                film.close()

    def _tell(self, why: str) -> None:
        with suppress(RuntimeError):  # the server has given up waiting for this disk, and is gone
            self._loop.call_soon_threadsafe(self._end, why)
