"""Bridge: a client of Looking Glass Bridge: which displays it sees, and quilts that it plays. It takes no live pictures.

Rule 1: every call ends within its timeout, whatever answers. Rule 2: Bridge may be restarted at any moment; whoever was
connected before then carries on, with a new orchestration (Bridge's word for a session).
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from display.bridge_displays import DEVICES, Display, looking_glasses
from display.bridge_wire import ADDRESS, Answer, BridgeRefused, BridgeUnreachable, put

FIRST_DISPLAY = -1
"Bridge's head index for the first Looking Glass that it finds."
NAME = "telequilt"
"Of our orchestration: clients that give the same name share one, so that a later command can stop what an earlier one cast."
STEPS_OF_A_CAST = ("insert_playlist_entry", "play_playlist")
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 8.0
"Seconds between tries to reach a Bridge that has gone."
TILING = re.compile(r"(\d+)x(\d+)a(\d+(?:\.\d+)?|\.\d+)", re.IGNORECASE)
"Columns, rows, aspect."
IN_A_NAME = re.compile(f"qs{TILING.pattern}", re.IGNORECASE)
T = TypeVar("T")


class NotAQuilt(ValueError):
    """What should be cast cannot be; the message says what is missing."""


@dataclass(frozen=True)
class Hologram:
    """A quilt that Bridge can play."""

    uri: str
    "A file on Bridge's own PC, or an http(s) URL; image or video."
    columns: int
    rows: int
    aspect: float
    "Of the picture in a tile, once shown."
    seconds: float = 20.0
    "How long an image stays where several are cast; a film plays to its end."

    def __post_init__(self) -> None:
        if not (0 < self.columns <= 50 and 0 < self.rows <= 50):
            raise NotAQuilt(f"{self.columns}x{self.rows} is no tiling: Bridge takes 1 to 50 columns and rows")
        if not (isfinite(self.aspect) and self.aspect > 0):
            raise NotAQuilt(f"{self.aspect} is no aspect: give width over height of one view, e.g. 0.75")


def hologram(where: str, tiling: str = "") -> Hologram:
    """The quilt in a file or behind a URL, tiled as its name says (`_qs6x4a1`) or as `tiling` does (`6x4a1`). Raises NotAQuilt."""
    web = urlsplit(where).scheme in ("http", "https")
    path = Path(unquote(urlsplit(where).path) if web else where)
    if not web and not path.is_file():
        raise NotAQuilt(f"{where} is neither a file on this PC nor an http(s) URL")
    said = TILING.fullmatch(tiling.lower().removeprefix("qs")) if tiling else IN_A_NAME.search(path.stem)
    if said is None and tiling:
        raise NotAQuilt(
            f"{tiling!r} is no tiling: columns, x, rows, a, aspect of a view, for instance 6x4a1 or 8x6a0.75"
        )
    if said is None:
        raise NotAQuilt(
            f"the name {path.name!r} does not say how the quilt is tiled, as ..._qs6x4a1 does: say it with --tiling 6x4a1"
        )
    return Hologram(where if web else path.resolve().as_posix(), int(said[1]), int(said[2]), float(said[3]))


def pause(tries: int) -> float:
    """Seconds to wait after that many tries in vain: twice as long each time, up to a limit."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(tries, 16))


class Bridge:
    """A Looking Glass Bridge and our orchestration in it. Calls wait for their answers and raise BridgeFailure."""

    def __init__(self, address: str = ADDRESS, *, timeout: float = 5.0, name: str = NAME) -> None:
        self.address = address
        self._timeout, self._name = timeout, name
        self._token: str | None = None
        self._playlist: str | None = None

    def version(self) -> str:
        """Bridge's own version, as it writes it. Raises BridgeFailure."""
        return self._call("bridge_version").text()

    def displays(self) -> list[Display]:
        """Every Looking Glass that Bridge sees; ordinary monitors are left out."""
        return looking_glasses(self._in_orchestration(lambda token: self._call(DEVICES, orchestration=token)).map())

    def cast(self, holograms: Sequence[Hologram], head: int = FIRST_DISPLAY) -> None:
        """Play `holograms` one after another, over and over, in place of what we cast before."""
        self._in_orchestration(lambda token: self._cast(token, holograms, head))

    def stop(self, head: int = FIRST_DISPLAY) -> None:
        """Close Bridge's window on the display, and our orchestration with all that was cast in it."""
        self._in_orchestration(lambda token: self._stop(token, head))
        self._token = self._playlist = None

    def enter(self) -> str:
        """The token of our orchestration, asked for anew: one from before a restart of Bridge is worth nothing."""
        self._token = self._call("enter_orchestration", name=self._name).text()
        return self._token

    def _cast(self, token: str, holograms: Sequence[Hologram], head: int) -> None:
        """A new playlist first, and only then away with the old one: the picture changes without a gap."""
        self._call("show_window", orchestration=token, show_window=True, head_index=head)
        name = f"{self._name}-{secrets.token_hex(6)}"
        self._call("instance_playlist", orchestration=token, name=name, loop=True)
        try:
            for index, one in enumerate(holograms):
                self._call("insert_playlist_entry", orchestration=token, name=name, **_entry(index, one))
            self._call("play_playlist", orchestration=token, name=name, head_index=head)
        except BridgeRefused:
            self._forget(token, name)
            raise
        if self._playlist is not None:
            self._forget(token, self._playlist)
        self._playlist = name

    def _stop(self, token: str, head: int) -> None:
        self._call("show_window", orchestration=token, show_window=False, head_index=head)
        self._call("exit_orchestration", orchestration=token)

    def _forget(self, token: str, playlist: str) -> None:
        with suppress(BridgeRefused):  # it is not there any more
            self._call("delete_playlist", orchestration=token, name=playlist, loop=True)

    def _call(self, endpoint: str, **body: Any) -> Answer:
        return put(self.address, endpoint, body, self._timeout)

    def _in_orchestration(self, work: Callable[[str], T]) -> T:
        """`work`, again from its beginning where Bridge restarted in the middle: it knows nothing of before.

        Whoever never reached Bridge is told so at once. A Bridge that was there gets one timeout to come back.
        """
        patience = time.monotonic() + (self._timeout if self._token is not None else 0)
        renewed = False
        for tries in count():
            try:
                return work(self._token or self.enter())
            except BridgeRefused as refusal:
                if renewed or not _forgotten(refusal):
                    raise
                renewed = True
            except BridgeUnreachable:
                if time.monotonic() + pause(tries) > patience:
                    raise
                time.sleep(pause(tries))
            self._token = self._playlist = None
        raise AssertionError("count() never ends")


def _forgotten(refusal: BridgeRefused) -> bool:
    """Whether Bridge may have restarted. Another client of our name may then have entered again: only playlists are gone."""
    return refusal.status == "UnknownOrchestration" or refusal.endpoint in STEPS_OF_A_CAST


def _entry(index: int, one: Hologram) -> dict[str, Any]:
    """All that Bridge's own clients send for a quilt that is no RGB-D picture."""
    return {
        "index": index,
        "id": index,
        "uri": one.uri,
        "rows": one.rows,
        "cols": one.columns,
        "aspect": one.aspect,
        "view_count": one.columns * one.rows,
        "durationMS": round(one.seconds * 1000),
        "isRGBD": 0,
        "focus": 0,
        "zoom": 1,
        "crop_pos_x": 0,
        "crop_pos_y": 0,
        "tag": Path(one.uri).name,
    }
