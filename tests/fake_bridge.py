"""Fake Bridge: Looking Glass Bridge as clients meet it: HTTP by PUT on one port, events by websocket on another.

Endpoints, fields, types, ranges and envelopes are those of the vendor's public clients (bridge.js 3938e22, LKG-Toolkit 0b6209b,
Bridge-Python-SDK c1d5697). Guessed: which events follow a call, their order, and Failure for a field of the wrong type.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

VERSION = "2.6.2"
HEADERS = (
    "Content-Type: application/json",
    "Access-Control-Allow-Origin: *",
    "Access-Control-Allow-Methods: GET, PUT, OPTIONS",
    "Access-Control-Allow-Headers: *",
    "Access-Control-Allow-Private-Network: true",
)
"Open to every page: the vendor's own demo on https calls it."

NEEDED = {
    "bridge_version": (),
    "enter_orchestration": ("name",),
    "exit_orchestration": ("orchestration",),
    "available_output_devices": ("orchestration",),
    "show_window": ("orchestration", "show_window", "head_index"),
    "instance_playlist": ("orchestration", "name", "loop"),
    "delete_playlist": ("orchestration", "name", "loop"),
    "insert_playlist_entry": (
        "orchestration", "name", "index", "uri", "rows", "cols", "aspect", "view_count", "durationMS", "isRGBD",
    ),
    "play_playlist": ("orchestration", "name", "head_index"),
}  # fmt: skip
"Fields that each endpoint wants."
TRUTHS = ("loop", "show_window")
NUMBERS = {
    "head_index": (-1, 31), "index": (0, 9999), "id": (0, 9999), "rows": (1, 50), "cols": (1, 50), "aspect": (0.01, 100),
    "view_count": (1, 2500), "durationMS": (0, 1 << 31), "focus": (-1, 1), "zoom": (0.1, 4), "crop_pos_x": (-1, 1),
    "crop_pos_y": (-1, 1), "isRGBD": (0, 1),
}  # fmt: skip
"Lowest and highest; every other field is a text."


def variant(name: str, value: object, kind: str = "WSTRING") -> dict[str, Any]:
    """How Bridge wraps everything that it says."""
    return {"name": name, "type": kind, "value": value}


def variant_map(label: str, /, **fields: object) -> dict[str, Any]:
    wrapped = {name: value if isinstance(value, dict) else variant(name, value) for name, value in fields.items()}
    return variant(label, wrapped, "VARIANT_MAP")


def display(
    calibration: dict[str, Any] | None = None,
    quilt: tuple[int, int, int, int, float] | None = None,  # width, height, columns, rows, aspect
    hardware: str = "thirdparty",
    hwid: str = "",
    x: int = 0,
    y: int = 0,
) -> dict[str, Any]:
    """One entry of available_output_devices: an ordinary monitor, unless more is said."""
    names = ("quiltX", "quiltY", "tileX", "tileY", "quiltAspect")
    return {
        "calibration": json.dumps(calibration) if calibration else "",
        "defaultQuilt": json.dumps(dict(zip(names, quilt, strict=True)) if quilt else {}),
        "hardwareVersion": hardware,
        "hwid": hwid,
        "state": "ok",
        "windowCoords": variant("windowCoords", {"x": x, "y": y}, "INT2"),
    }


class FakeBridge:
    """One process of Bridge. Everything runs in the loop that starts it; what happened is there to be looked at."""

    def __init__(self, displays: list[dict[str, Any]], http_port: int = 0, events_port: int = 0) -> None:
        self.displays = displays
        self.ports = (http_port, events_port)
        self.calls: list[str] = []
        'Endpoints asked for, and "subscribed" for a listener that has said of what it wants to hear.'
        self.errors: list[str] = []
        "What a caller got wrong: Bridge itself is silent about much of it."
        self.tokens: dict[str, str] = {}
        "Of orchestrations, by name."
        self.playlists: dict[str, list[dict[str, Any]]] = {}
        "Entries, by the playlist's name."
        self.window: dict[int, bool] = {}
        "By head index, whether Bridge's window is shown there."
        self.playing = ""
        "Name of the playlist that was played last."
        self.interruptions: dict[str, Callable[[], None]] = {}
        "What happens, once, just before an endpoint is handled."
        self._listeners: dict[ServerConnection, str] = {}
        self._talking: set[asyncio.StreamWriter] = set()
        self._soon: set[asyncio.Task[None]] = set()
        self._http: asyncio.Server | None = None
        self._events: Server | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.ports[0]}"

    @property
    def events_address(self) -> str:
        return f"ws://127.0.0.1:{self.ports[1]}/event_source"

    async def start(self) -> None:
        self._http = await asyncio.start_server(self._talk, "127.0.0.1", self.ports[0])
        self._events = await serve(self._listen, "127.0.0.1", self.ports[1])
        listening = (self._http.sockets[0], next(iter(self._events.sockets)))
        self.ports = (listening[0].getsockname()[1], listening[1].getsockname()[1])

    async def stop(self) -> None:
        """As a process ends: nobody is told goodbye."""
        assert self._http is not None
        assert self._events is not None
        self._http.close()
        self._events.close(close_connections=False)
        for listener in self._listeners:
            listener.transport.abort()
        for writer in self._talking:
            writer.transport.abort()
        await self._events.wait_closed()

    def emit(self, token: str, event: str, **fields: object) -> None:
        """An event for whoever listens to this orchestration."""
        said = {
            "name": "value",
            "orchestration": variant("orchestration", token),
            "status": variant("status", "Completion"),
            "payload": variant_map("payload", event=event, message="", **fields),
        }
        self.say(json.dumps(said), token)

    def say(self, text: str, token: str | None = None) -> None:
        """Any text, to the listeners of an orchestration or to all."""
        for listener, wanted in self._listeners.items():
            if token in (None, wanted):
                self._later(listener.send(text))

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._talking.add(writer)
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    verb, endpoint, body = await _request(reader)
                    said = json.dumps(self.handle(endpoint, body)).encode() if verb == "PUT" else b""
                    if verb == "POST":
                        self.errors.append(f"{endpoint}: POST is answered with nothing")
                    head = "\r\n".join(("HTTP/1.1 200 OK", *HEADERS, f"Content-Length: {len(said)}", "", ""))
                    writer.write(head.encode() + said)
                    await writer.drain()
        finally:
            self._talking.discard(writer)
            writer.close()

    async def _listen(self, listener: ServerConnection) -> None:
        try:
            with suppress(ConnectionClosed):
                async for text in listener:
                    self._listeners[listener] = json.loads(text)["subscribe_orchestration_events"]
                    self.calls.append("subscribed")
        finally:
            self._listeners.pop(listener, None)

    def handle(self, endpoint: str, body: bytes) -> dict[str, Any]:
        """What Bridge answers, as JSON."""
        self.calls.append(endpoint)
        self.interruptions.pop(endpoint, lambda: None)()
        said = json.loads(body or b"{}")
        if endpoint not in NEEDED:
            self.errors.append(f"{endpoint}: no such endpoint")
            return _answer("VerbNotFound")
        wrong = list(_wrong(endpoint, said))
        self.errors += [f"{endpoint}: {one}" for one in wrong]
        if "orchestration" in NEEDED[endpoint] and said.get("orchestration") not in self.tokens.values():
            return _answer("UnknownOrchestration")
        if endpoint in ("insert_playlist_entry", "play_playlist") and said.get("name") not in self.playlists:
            wrong.append("no such playlist")
        if wrong:
            return _answer("Failure", variant_map("payload", message="; ".join(wrong)))
        return getattr(self, f"_{endpoint}")(said)

    def _bridge_version(self, said: dict[str, Any]) -> dict[str, Any]:
        return _answer("Completion", variant("payload", VERSION, "STRING"))

    def _enter_orchestration(self, said: dict[str, Any]) -> dict[str, Any]:
        """Clients that give the same name share one."""
        name = said["name"] or "default"
        token = self.tokens.setdefault(name, str(uuid.uuid4()))
        return _answer("Completion", variant("payload", token), name)

    def _exit_orchestration(self, said: dict[str, Any]) -> dict[str, Any]:
        self.tokens = {name: token for name, token in self.tokens.items() if token != said["orchestration"]}
        return _answer("Completion", token=said["orchestration"])

    def _available_output_devices(self, said: dict[str, Any]) -> dict[str, Any]:
        listed = {
            str(index): variant_map(str(index), **one, index=variant("index", index, "UNSIGNED_INT"))
            for index, one in enumerate(self.displays)
        }
        return _answer("Completion", variant("payload", listed, "VARIANT_MAP"), said["orchestration"])

    def _show_window(self, said: dict[str, Any]) -> dict[str, Any]:
        self.window[said["head_index"]] = said["show_window"]
        return _answer("Completion", token=said["orchestration"])

    def _instance_playlist(self, said: dict[str, Any]) -> dict[str, Any]:
        self.playlists[said["name"]] = []
        self.emit(said["orchestration"], "Playlist Instance", name=said["name"])
        return _answer("Completion", variant_map("payload", name=said["name"]), said["orchestration"])

    def _delete_playlist(self, said: dict[str, Any]) -> dict[str, Any]:
        self.playlists.pop(said["name"], None)
        self.emit(said["orchestration"], "Playlist Delete", name=said["name"])
        return _answer("Completion", variant_map("payload", name=said["name"]), said["orchestration"])

    def _insert_playlist_entry(self, said: dict[str, Any]) -> dict[str, Any]:
        self.playlists[said["name"]].append(said)
        index = variant("index", said["index"], "UNSIGNED_INT")
        self.emit(said["orchestration"], "Playlist Insert", index=index, uri=said["uri"])
        return _answer("Completion", variant_map("payload", index=str(said["index"])), said["orchestration"])

    def _play_playlist(self, said: dict[str, Any]) -> dict[str, Any]:
        self.playing = said["name"]
        self._later(self._play(said["orchestration"], said["name"]))
        return _answer("Pending", variant_map("payload", message="Playing"), said["orchestration"])

    async def _play(self, token: str, name: str) -> None:
        done = variant("progress", 1.0, "FLOAT")
        self.emit(token, "Progress Completion", progress=done, progress_type="download")
        tag = next((entry.get("tag", "") for entry in self.playlists[name]), "")
        index = variant("index", 0, "UNSIGNED_INT")
        self.emit(token, "New Item Playing", index=index, playlist_name=name, tag=tag)

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        """In the running loop, in the order of asking."""
        task = asyncio.get_running_loop().create_task(work)
        self._soon.add(task)
        task.add_done_callback(self._soon.discard)


def _answer(status: str, payload: dict[str, Any] | None = None, token: str = "") -> dict[str, Any]:
    said = {"name": "value", "orchestration": variant("orchestration", token), "status": variant("status", status)}
    return said if payload is None else said | {"payload": payload}


def _wrong(endpoint: str, said: dict[str, Any]) -> Iterator[str]:
    yield from (f"missing {name}" for name in NEEDED[endpoint] if name not in said)
    for name, value in said.items():
        if name in NUMBERS:
            low, high = NUMBERS[name]
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                yield f"{name}: {value!r} is not from {low} to {high}"
        elif not isinstance(value, bool if name in TRUTHS else str):
            yield f"{name}: {value!r} has the wrong type"


async def _request(reader: asyncio.StreamReader) -> tuple[str, str, bytes]:
    """Verb, endpoint and body of the next request on a connection."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    verb, path, _ = lines[0].split(" ")
    fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    return verb, path.strip("/"), await reader.readexactly(int(fields.get("content-length", 0)))
