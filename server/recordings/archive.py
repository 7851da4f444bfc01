"""Archive: recordings on disk, each a film with its facts beside it, which also say whose avatar it shows."""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
import re
import shutil
import threading
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, BinaryIO

import structlog

from server.provenance.credentials import Signer, Unsigned
from server.recordings import fragments

NAME = re.compile(r"([A-Za-z0-9_-]{1,64}(?:\.\d{1,4})?)-\d{8}T\d{6}Z(-\d+)?_qs\d+x\d+a\d*\.?\d+\.mp4")
"A channel, when it began (UTC), and the tiling as Looking Glass software reads it."
CUT_SHORT = "the server was ended in the middle"
UNREADABLE = "what is kept beside the film cannot be read"
"""It is listed, can be fetched and deleted. Whose face it shows the film itself says; where that cannot be read either, it goes
with the first avatar that is forgotten: a film lost is less than a forgotten face that stays."""
SIGNED, PENDING, UNSIGNED = "signed", "pending", "unsigned"
LATER = ("provenance", "credentials", "unsigned")
"Facts that films of earlier versions have not."
EARLIER = "it was recorded before films were signed here"
log = structlog.get_logger(__name__)


class UnknownRecording(LookupError):
    """The caller named a recording that does not exist, or was deleted."""


class StillRecording(RuntimeError):
    """What was asked for has to wait until the recording has ended."""


@dataclass(frozen=True)
class Facts:
    """One recording. Written beside the film when it begins and again when it ends."""

    name: str
    "The film's file name."
    channel: str
    avatar: str
    "Whose face it shows: forgetting this avatar deletes the recording."
    screen: str
    since: float
    "Unix seconds."
    seconds: float = 0.0
    bytes: int = 0
    frames: int = 0
    "Pictures in the film."
    lost: int = 0
    "Pictures that were encoded while recording and are not in the film; only where it ended by a failure."
    ended: str | None = None
    "Why; None while it goes on."
    provenance: Mapping[str, Any] = field(default_factory=dict)
    "What is stated of it (server.provenance.statement.Statement.told); empty of earlier films."
    credentials: str = PENDING
    "Whether the statement is signed into the film: signed, pending until that is done, unsigned."
    unsigned: str = ""
    "Why it is not."


class Archive:
    """May be used from any thread. Touches nothing outside `folder`, which comes to be with the first recording."""

    def __init__(self, folder: Path, *, ours: bool = True, signer: Signer | None = None) -> None:
        """`ours`: whether nobody but us uses `folder`, so that it is closed to others. `signer`: of films that have ended."""
        self.folder, self._ours, self._signer = folder, ours, signer
        self._lock = threading.Lock()
        self._signing = threading.Lock()
        self._made = time.time()
        self._damaged: set[str] = set()
        "Of which it has been said."
        self._under_way: dict[str, Facts] = {}
        self.ended: Counter[str] = Counter()
        "Why recordings ended, since the server began."
        if folder.is_dir():
            self._make_private()

    def begin(
        self, channel: str, avatar: str, screen: str, suffix: str, provenance: Mapping[str, Any] | None = None
    ) -> tuple[Facts, BinaryIO]:
        """A new film's facts and its empty file, unbuffered and locked until it is closed. Raises OSError.

        `provenance`: what is stated of it, and signed into it when it has ended.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._make_private()
        since = time.time()
        stem = f"{channel}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(since))}"
        with self._lock:
            for again in range(1, 100):
                name = f"{stem}{f'-{again}' if again > 1 else ''}{suffix}.mp4"
                with suppress(FileExistsError):
                    file = open(self.folder / name, "xb", buffering=0, opener=_private)  # noqa: SIM115
                    fcntl.flock(file, fcntl.LOCK_EX)  # tells another server on this folder that somebody writes
                    break
            else:
                raise FileExistsError(f"{stem} is taken")
            facts = self._under_way[name] = Facts(name, channel, avatar, screen, since, provenance=provenance or {})
        try:
            self._write(facts)
        except BaseException:
            file.close()
            self.abandon(facts)
            raise
        return facts, file

    def finish(self, facts: Facts, pictures: int, ended: str, provenance: Mapping[str, Any] | None = None) -> Facts:
        """The facts of a film to which nothing is written any more, of `pictures` that were meant to be in it, once it is signed.

        What a failure cut in the middle is cut off; a film without any picture is not kept. `provenance`: what is stated now.
        Raises OSError; it has ended all the same.
        """
        self.ended[ended] += 1
        try:
            done = self._examined(facts, ended)
            done = replace(done, lost=pictures - done.frames, provenance=provenance or done.provenance)
            if not done.frames:
                self._delete(facts.name)
                return done
            self._write(done)
        finally:
            self.let_go(facts)
        return self._signed(done)

    def let_go(self, facts: Facts) -> None:
        """It goes on no longer. As long as its file is open it is another server's to everybody, and is mended afterwards."""
        with self._lock:
            self._under_way.pop(facts.name, None)

    def sign_late(self) -> int:
        """Sign what ended without being signed, since the server was killed; how many films. Never raises for one of them."""
        self._clear_away()
        lacking = [one for one in self.listing() if one.ended and one.credentials != SIGNED and one.provenance]
        return sum(self._signed(one).credentials == SIGNED for one in lacking)

    def abandon(self, facts: Facts) -> None:
        """Keep nothing of it."""
        try:
            self._delete(facts.name)
        finally:
            self.let_go(facts)

    def free(self) -> int:
        """Bytes that still fit on its disk. Raises OSError."""
        there = next(folder for folder in (self.folder, *self.folder.parents) if folder.is_dir())
        return shutil.disk_usage(there).free

    def listing(self, channel: str | None = None) -> list[Facts]:
        """All that is kept, or all of one channel, the oldest first."""
        if not self.folder.is_dir():
            return []
        kept = []
        for film in self.folder.glob("*.mp4"):
            with suppress(UnknownRecording, OSError):  # another's file, or deleted since the folder was listed
                kept.append(self.get(film.name))
        return sorted((one for one in kept if channel in (None, one.channel)), key=lambda one: one.since)

    def get(self, name: str) -> Facts:
        """Raises UnknownRecording."""
        if NAME.fullmatch(name) is None:
            raise _unknown(name)
        with self._lock:
            if name in self._under_way:
                return self._under_way[name]
        try:
            facts = self._read(name)
            return facts if facts.ended is not None else self._mended(facts)
        except FileNotFoundError:
            raise _unknown(name) from None
        except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as failure:
            return self._unreadable(name, failure)

    def film(self, name: str) -> Path:
        """Where a finished recording lies, signed if that can be done. Raises UnknownRecording or StillRecording."""
        facts = self.get(name)
        if facts.ended is None:
            raise StillRecording(f"{name} is still being recorded; stop it first")
        if facts.credentials == PENDING:
            self._signed(facts)
        if not (self.folder / name).is_file():
            raise _unknown(name)
        return self.folder / name

    def delete(self, name: str) -> None:
        """Raises UnknownRecording or StillRecording."""
        if self.get(name).ended is None:
            raise StillRecording(f"{name} is still being recorded; stop it first")
        self._delete(name)

    def shows(self, avatar: str) -> bool:
        """Whether this avatar is being recorded right now."""
        return any(one.ended is None and one.avatar == avatar for one in self.listing())

    def forget(self, avatar: str) -> int:
        """Delete every recording that shows `avatar`, or of which nothing says whom it shows; how many. Raises StillRecording, OSError."""
        if self.shows(avatar):
            raise StillRecording("this avatar is being recorded; end the recording, then forget it")
        films = [path.name for path in self.folder.glob("*.mp4") if NAME.fullmatch(path.name)]
        shown, failures = [name for name in films if self._may_show(name, avatar)], []
        for name in shown:
            try:
                self._delete(name)
            except OSError as failure:  # the others go all the same
                failures.append(failure)
        if failures:
            raise failures[0]
        return len(shown)

    def _may_show(self, name: str, avatar: str) -> bool:
        """Whether the film `name` shows `avatar`, or can show it where nothing says whom it shows."""
        try:
            facts = self.get(name)
        except UnknownRecording:  # without facts: it may be another's, or is being begun by another server
            return self._whose(name) == mark_of(avatar)
        if facts.ended != UNREADABLE:
            return facts.avatar == avatar
        whose = self._whose(name)
        if not whose:
            log.warning("a recording that may show a forgotten face is deleted: nothing says whom it shows", name=name)
        return whose in ("", mark_of(avatar))

    def _whose(self, name: str) -> str:
        """What the film itself says (mark_of); empty where it says nothing."""
        try:
            return fragments.described(self.folder / name)
        except (OSError, ValueError):
            return ""

    def _mended(self, facts: Facts) -> Facts:
        """Of a film whose server was killed: it ends with its last whole fragment. One that another server writes stays
        as it is."""
        with open(self.folder / facts.name, "rb") as film:
            try:
                fcntl.flock(film, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return facts
            mended = self._examined(facts, CUT_SHORT)
        if not mended.frames:
            self._delete(facts.name)
            raise _unknown(facts.name)
        with suppress(OSError):  # a full disk: the older facts stay, and are mended when next read
            self._write(mended)
        return mended

    def _clear_away(self) -> None:
        """What a killed server left half written: signed copies, facts. What is younger than we are may be being written."""
        for left in (*self.folder.glob(".*.mp4.signing"), *self.folder.glob("*.part")):
            film = left.name.removeprefix(".").removesuffix(".mp4.signing").removesuffix(".part") + ".mp4"
            with suppress(OSError):
                if NAME.fullmatch(film) and left.stat().st_mtime < self._made:
                    left.unlink()

    def _signed(self, facts: Facts) -> Facts:
        """Sign a film that has ended: its facts, which say so, or why it is as it was."""
        if self._signer is None or facts.ended == UNREADABLE:
            return facts
        with self._signing:
            try:
                facts = self.get(facts.name)  # deleted meanwhile, or signed by who was faster
                if facts.credentials == SIGNED:
                    return facts
                self._sign(facts, self._signer)
                bytes_ = (self.folder / facts.name).stat().st_size
                facts = replace(facts, credentials=SIGNED, unsigned="", bytes=bytes_)
            except UnknownRecording:
                return facts
            except (Unsigned, OSError) as failure:
                log.warning("a recording is kept unsigned", name=facts.name, cause=str(failure))
                facts = replace(facts, credentials=UNSIGNED, unsigned=str(failure))
            self._write_if_there(facts)
            return facts

    def _sign(self, facts: Facts, signer: Signer) -> None:
        """Put a signed copy in the film's place. Raises Unsigned, OSError, UnknownRecording."""
        film = self.folder / facts.name
        if not facts.provenance:
            raise Unsigned(EARLIER)
        if fragments.has_credentials(film):  # the server was killed between signing and saying so
            return
        if self.free() < film.stat().st_size:
            raise Unsigned("there is no room on the disk for a signed copy")
        copy = signer.film(film, facts.provenance)
        with self._lock:
            if not film.exists():
                copy.unlink()
                raise _unknown(facts.name)
            os.replace(copy, film)

    def _write_if_there(self, facts: Facts) -> None:
        """No facts without a film: it may have been deleted meanwhile. Where they cannot be written, the older ones stay."""
        with suppress(OSError), self._lock:
            if (self.folder / facts.name).exists():
                self._write(facts)

    def _examined(self, facts: Facts, ended: str) -> Facts:
        film = self.folder / facts.name
        whole = fragments.examine(film)
        if whole.bytes < film.stat().st_size:
            os.truncate(film, whole.bytes)
        return replace(
            facts, seconds=round(whole.seconds, 3), bytes=whole.bytes, frames=whole.pictures, lost=0, ended=ended
        )

    def _read(self, name: str) -> Facts:
        stored: dict[str, Any] = json.loads(self._beside(name).read_bytes())
        known = {one.name: stored[one.name] for one in fields(Facts) if one.name in stored or one.name not in LATER}
        facts = Facts(**known)
        if not _plausible(facts) or facts.name != name:
            raise ValueError("these are no facts of this recording")
        return facts

    def _unreadable(self, name: str, failure: Exception) -> Facts:
        """What its name tells. Said once: lists are asked for again and again. Raises UnknownRecording without a film."""
        named, film = NAME.fullmatch(name), self.folder / name
        if named is None or not film.is_file():
            raise _unknown(name) from None
        with self._lock:
            new = name not in self._damaged
            self._damaged.add(name)
        if new:
            log.warning("a recording's facts cannot be read", name=name, folder=str(self.folder), cause=str(failure))
        kept = film.stat()
        return Facts(name, named[1], "", "", since=kept.st_mtime, bytes=kept.st_size, ended=UNREADABLE)

    def _make_private(self) -> None:
        """Films show faces: they are for this user alone, whatever umask or an earlier version left."""
        films = [path for path in self.folder.glob("*.mp4") if NAME.fullmatch(path.name) and not path.is_symlink()]
        with suppress(OSError):  # another user's: there is nothing we could do
            if self._ours:
                self.folder.chmod(0o700)
            for path in films:
                path.chmod(0o600)
                self._beside(path.name).chmod(0o600)

    def _write(self, facts: Facts) -> None:
        """Whole or not at all. Raises OSError."""
        place = self._beside(facts.name)
        part = place.with_suffix(".part")
        try:
            with open(part, "w", opener=_private) as file:
                json.dump(asdict(facts), file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, place)
        finally:
            part.unlink(missing_ok=True)

    def _delete(self, name: str) -> None:
        """The film first: without it nothing can be seen, and what is left is found by nobody."""
        with self._lock:  # no signed copy takes its place any more
            (self.folder / name).unlink(missing_ok=True)
        beside = self._beside(name)
        if beside.is_dir():
            shutil.rmtree(beside)
        beside.unlink(missing_ok=True)

    def _beside(self, name: str) -> Path:
        return (self.folder / name).with_suffix(".json")


def mark_of(avatar: str) -> str:
    """What a film itself says of the face that it shows. Whoever has the film cannot tell the avatar's id by it, the key to a face."""
    return f"telequilt avatar {hashlib.sha256(avatar.encode()).hexdigest()[:32]}"


def _plausible(facts: Facts) -> bool:
    """Whether each fact is of its kind: they come from a file."""
    texts = (facts.name, facts.channel, facts.avatar, facts.screen, facts.unsigned)
    numbers = (facts.since, facts.seconds, facts.bytes, facts.frames, facts.lost)
    return (
        all(isinstance(text, str) for text in texts)
        and all(isinstance(number, int | float) and math.isfinite(number) for number in numbers)
        and isinstance(facts.ended, str | None)
        and isinstance(facts.provenance, dict)
        and facts.credentials in (SIGNED, PENDING, UNSIGNED)
    )


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _unknown(name: str) -> UnknownRecording:
    return UnknownRecording(f"no recording is called {name!r}")
