"""The Bridge client against the fake Bridge: discovery, casting, events, restarts; and against servers that misbehave."""

from __future__ import annotations

import json
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from display import bridge as bridge_module
from display import bridge_events, bridge_wire
from display.bridge import Bridge, NotAQuilt, hologram, pause
from display.bridge_events import LISTENING, LOST, Event, Listener
from display.bridge_wire import BridgeFailure, BridgeGarbled, BridgeRefused, BridgeUnreachable, read_answer
from display.calibration import CalibrationRejected
from tests.bridges import LOOKING_GLASS, Running, fake_module, misbehaving, running, saying

SHORT = 0.6
"Seconds that a call may take here."
PORTRAIT = (3360, 3360, 8, 6, 0.75)
FILM = "http://studio.example/films/me_qs6x4a1.mp4"


def portrait(**more: Any) -> Any:
    fake = fake_module()
    calibration = json.loads((LOOKING_GLASS / "calibrations" / "portrait_lkg-p_real.json").read_text())
    return fake.display(calibration, PORTRAIT, "portrait", "LKG0005", 1920, 40) | more


@pytest.fixture
def fake() -> Iterator[Running]:
    """A Bridge with an ordinary monitor and a Portrait."""
    monitor = fake_module().display()
    with running(monitor, portrait()) as bridge:
        yield bridge


# ---- discovery ----


def test_only_looking_glasses_are_listed_with_all_that_bridge_says_of_them(fake: Running) -> None:
    bridge = Bridge(fake.http)
    assert bridge.version() == "2.6.2"
    (one,) = bridge.displays()
    assert (one.index, one.hwid, one.hardware, one.state, one.x, one.y) == (1, "LKG0005", "portrait", "ok", 1920, 40)
    wanted = one.screen
    assert (wanted.quilt_width, wanted.quilt_height, wanted.columns, wanted.rows, wanted.aspect) == PORTRAIT
    assert one.calibration.lens_pitch == pytest.approx(246.973, abs=0.01)
    assert one.problems == ()
    assert fake.fake.errors == []


def test_a_display_without_calibration_is_listed_and_says_so_when_asked() -> None:
    with running(portrait(calibration="", defaultQuilt="{}", state="nocalibration")) as fake:
        (one,) = Bridge(fake.http).displays()
        assert one.state == "nocalibration"
        for asked in ("calibration", "screen"):
            with pytest.raises(CalibrationRejected, match="LKG0005"):
                getattr(one, asked)


def test_what_is_wrong_with_a_monitor_is_said_in_words() -> None:
    var = fake_module().var
    wrong = {
        "errorType": var("errorType", "invalidResolution"),
        "expectedX": var("expectedX", 1536, "INT"),
        "expectedY": var("expectedY", 2048, "INT"),
        "observeredX": var("observeredX", 768, "INT"),
        "observeredY": var("observeredY", 1024, "INT"),
    }
    nested = {"0": var("displayProblems", {"0": var("0", wrong, "VARIANT_MAP")}, "VARIANT_MAP")}
    with running(portrait(displayProblems=var("displayProblems", nested, "VARIANT_MAP"))) as fake:
        (one,) = Bridge(fake.http).displays()
        assert one.problems == ("invalidResolution: 768 x 1024 where 1536 x 2048 is wanted",)


# ---- casting ----


def test_a_cast_opens_the_window_plays_and_only_then_takes_the_old_playlist_away(fake: Running) -> None:
    bridge = Bridge(fake.http)
    bridge.cast([hologram(FILM)])
    first = fake.fake.playing
    bridge.cast([hologram(FILM), hologram("http://studio.example/still", "qs8x6a0.75")])
    assert fake.fake.errors == []
    assert fake.fake.window == {-1: True}
    assert list(fake.fake.playlists) == [fake.fake.playing]
    assert fake.fake.playing != first
    shown = fake.fake.playlists[fake.fake.playing]["items"]
    assert [(one["uri"], one["cols"], one["rows"], one["view_count"], one["aspect"]) for one in shown] == [
        (FILM, 6, 4, 24, 1.0),
        ("http://studio.example/still", 8, 6, 48, 0.75),
    ]
    assert fake.fake.names()[-2:] == ["play_playlist", "delete_playlist"]
    bridge.stop()
    assert fake.fake.window == {-1: False}
    assert fake.fake.tokens == {}


def test_a_file_is_cast_by_its_full_path(fake: Running, tmp_path, monkeypatch) -> None:
    (tmp_path / "a b_qs6x4a1.png").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    Bridge(fake.http).cast([hologram("a b_qs6x4a1.png")])
    (entry,) = fake.fake.playlists[fake.fake.playing]["items"]
    assert entry["uri"] == (tmp_path / "a b_qs6x4a1.png").as_posix()


def test_a_tiling_is_said_as_names_say_it_or_without_their_two_letters() -> None:
    for said in ("6x4a.75", "qs6x4a0.75", "QS6x4a0.75"):
        one = hologram("http://studio.example/film.mp4", said)
        assert (one.columns, one.rows, one.aspect) == (6, 4, 0.75)


@pytest.mark.parametrize(
    ("where", "tiling", "words"),
    [
        ("nowhere_qs6x4a1.mp4", "", "neither a file"),
        ("http://studio.example/film.mp4", "", "how the quilt is tiled"),
        ("http://studio.example/film.mp4", "6x4", "no tiling"),
        ("http://studio.example/film_qs0x4a1.mp4", "", "0x4"),
        ("http://studio.example/film_qs6x4a0.mp4", "", "no aspect"),
        ("file:///etc/passwd_qs6x4a1", "", "neither a file"),
    ],
)
def test_what_is_no_quilt_is_refused_before_bridge_is_asked(where: str, tiling: str, words: str) -> None:
    with pytest.raises(NotAQuilt, match=words):
        hologram(where, tiling)


def test_a_refused_cast_leaves_no_playlist_behind_and_what_played_before_goes_on(fake: Running) -> None:
    bridge = Bridge(fake.http)
    bridge.cast([hologram(FILM)])
    before = fake.fake.playing
    with pytest.raises(BridgeRefused, match=r"insert_playlist_entry: Failure.*rows.*51"):
        bridge.cast([_unchecked(rows=51)])
    assert list(fake.fake.playlists) == [before]
    assert fake.fake.playing == before


def _unchecked(**changes: Any) -> Any:
    one = hologram(FILM)
    for name, value in changes.items():
        object.__setattr__(one, name, value)
    return one


# ---- Bridge restarts ----


def test_a_bridge_that_restarted_between_two_calls_is_entered_anew(fake: Running) -> None:
    bridge = Bridge(fake.http)
    bridge.cast([hologram(FILM)])
    fake.stop()
    fake.start()
    assert len(bridge.displays()) == 1
    bridge.cast([hologram(FILM)])
    assert list(fake.fake.playlists) == [fake.fake.playing], "nothing of the old process is asked for"
    assert fake.fake.errors == []


@pytest.mark.parametrize("endpoint", ["show_window", "instance_playlist", "insert_playlist_entry", "play_playlist"])
@pytest.mark.parametrize("how", ["restarts", "restarts, and another client of our name enters first", "crashes"])
def test_a_bridge_that_restarts_in_the_middle_of_a_cast_gets_the_whole_cast_again(
    fake: Running, endpoint: str, how: str
) -> None:
    def happen() -> None:
        fake.fake.playlists.clear()
        if "enters" not in how:
            fake.fake.tokens.clear()
        if how == "crashes":
            raise ConnectionError("and so the connection ends")

    bridge = Bridge(fake.http)
    bridge.displays()
    _at(fake, endpoint, happen)
    bridge.cast([hologram(FILM)])
    assert [one["uri"] for one in fake.fake.playlists[fake.fake.playing]["items"]] == [FILM]


def _at(fake: Running, endpoint: str, happen: Callable[[], None]) -> None:
    """Let something happen once, just before the fake handles `endpoint`."""
    handle, done = fake.fake.handle, []

    def handling(asked: str, raw: bytes) -> Any:
        if asked == endpoint and not done:
            done.append(asked)
            happen()
        return handle(asked, raw)

    fake.fake.handle = handling


def test_a_bridge_that_is_gone_for_a_moment_is_waited_for_but_not_longer_than_a_call_may_take(fake: Running) -> None:
    bridge = Bridge(fake.http, timeout=4)
    bridge.displays()
    fake.stop()
    back = threading.Timer(0.5, fake.start)
    back.start()
    assert len(bridge.displays()) == 1
    back.join()
    impatient = Bridge(fake.http, timeout=SHORT)
    impatient.displays()
    fake.stop()
    with pytest.raises(BridgeUnreachable, match=r"start it on the PC that has the display"):
        impatient.displays()


def test_where_bridge_never_was_one_is_told_at_once_where_it_was_looked_for_and_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
    with pytest.raises(BridgeUnreachable, match=rf"{address} \(bridge_version: Connection refused\): start it"):
        Bridge(address, timeout=60).version()
    with pytest.raises(BridgeUnreachable):
        Bridge(address, timeout=60).displays()


# ---- hostile answers ----


def envelope(payload: Any = None, status: Any = "Completion") -> bytes:
    said = {"name": "value", "status": {"name": "status", "type": "WSTRING", "value": status}, "payload": payload}
    return json.dumps(said).encode()


def devices(**changes: Any) -> bytes:
    entry: dict[str, Any] = {"hwid": "LKG1", "hardwareVersion": "go", "state": "ok", "index": 0, "calibration": ""}
    entry |= {"defaultQuilt": "{}", "windowCoords": {"x": 0, "y": 0}} | changes
    return envelope({"value": {"0": {"value": {name: {"value": value} for name, value in entry.items()}}}})


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON"),
        (b"<html>It works!</html>", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b'{"status": NaN}', "NaN"),
        (b'{"status": Infinity}', "Infinity"),
        (b"[" * 100_000, "not JSON"),
        (b'{"a":' * 50_000, "not JSON"),
        (b"1" * 6000, "not JSON"),
        (b"[]", "the answer is"),
        (b"{}", "status is missing"),
        (b'{"status": {"value": 7}}', "status is"),
        (envelope(), "payload is missing"),
        (envelope({"value": 3}), "payload is 3"),
        (envelope({"value": {"value": {}}}), "payload is"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_nonsense_is_one_clear_error(body: bytes, words: str) -> None:
    with misbehaving(saying(body)) as address, pytest.raises(BridgeGarbled, match=words):
        Bridge(address, timeout=5).version()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (envelope({"value": "none"}), "payload is 'none', not a map"),
        (envelope({"value": {"0": 5}}), "display 0 is 5"),
        (devices(index=None), "index is missing"),
        (devices(index="first"), "index is 'first'"),
        (devices(index=0.5), "index is 0.5"),
        (devices(index=True), "index is True"),
        (devices(index=1e300), "index is 1e"),
        (devices(windowCoords=[0, 0]), "windowCoords is"),
        (devices(windowCoords={"x": 0}), "windowCoords.y is missing"),
        (devices(calibration=7), "calibration is 7"),
        (devices(defaultQuilt=7), "defaultQuilt is 7"),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else value[:30],
)
def test_a_display_that_makes_no_sense_is_an_error_that_names_the_field(body: bytes, words: str) -> None:
    def answer(peer: socket.socket) -> None:
        saying(next(answers))(peer)

    answers = iter([envelope({"value": "a token"}), body])
    with misbehaving(answer) as address, pytest.raises(BridgeGarbled, match=words):
        Bridge(address, timeout=5).displays()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not JSON"),
        ("[1]", "is not a JSON object"),
        ('{"quiltX": 0, "tileX": 8, "tileY": 6}', "quiltX is 0, not a number from 256"),
        ('{"quiltX": 999, "quiltY": 999, "tileX": 3, "tileY": 3, "quiltAspect": NaN}', "quiltAspect is NaN"),
    ],
)
def test_a_quilt_that_makes_no_sense_is_refused_when_asked_for(text: str, words: str) -> None:
    with running(portrait(defaultQuilt=text)) as fake:
        (one,) = Bridge(fake.http).displays()
        assert one.calibration.width == 1536
        with pytest.raises(CalibrationRejected, match=f"defaultQuilt of LKG-P\\w*.*{words}"):
            _ = one.screen


def drip(head: bytes, every: bytes) -> Callable[[socket.socket], None]:
    """Never quiet for long, and never done."""

    def answer(peer: socket.socket) -> None:
        peer.sendall(head)
        pausing = threading.Event()
        while not pausing.wait(0.05):
            peer.sendall(every)

    return answer


def silent(peer: socket.socket) -> None:
    while peer.recv(65536):
        pass


@pytest.mark.parametrize(
    "answer",
    [
        silent,
        drip(b"", b"H"),
        drip(b"HTTP/1.1 200 OK\r\n", b"X-More: 1\r\n"),
        drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        drip(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b" "),
        drip(b"HTTP/1.1 200 OK\r\n\r\n", b" "),
        drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        saying(b"{", length=100),
        saying(b"", length=-5),
        lambda peer: None,
        lambda peer: peer.sendall(b"SSH-2.0-OpenSSH_9.2\r\n"),
        lambda peer: peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{"),
    ],
    ids=[
        "silent",
        "status",
        "headers",
        "100",
        "body",
        "to the end",
        "chunks",
        "cut",
        "minus",
        "closed",
        "ssh",
        "short",
    ],
)
def test_whoever_drips_hangs_or_hangs_up_costs_no_more_than_the_timeout(
    answer: Callable[[socket.socket], None],
) -> None:
    with misbehaving(answer) as address, pytest.raises((BridgeUnreachable, BridgeGarbled)) as failure:
        Bridge(address, timeout=SHORT).version()
    assert "127.0.0.1" in str(failure.value) or "not JSON" in str(failure.value)


def test_an_endless_answer_is_read_up_to_a_limit() -> None:
    sent = 0

    def flood(peer: socket.socket) -> None:
        nonlocal sent
        peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            sent += peer.send(b" " * 65536)

    with misbehaving(flood) as address, pytest.raises(BridgeGarbled, match="larger than"):
        Bridge(address, timeout=20).version()
    assert sent < 4 * bridge_wire.LARGEST_ANSWER


@pytest.mark.parametrize(
    "head", ["408 Request Timeout", "500 Oops", "302 Found\r\nLocation: http://elsewhere.example/"]
)
def test_another_status_is_bridges_refusal_and_leads_nowhere_else(head: str) -> None:
    with misbehaving(saying(b"", head)) as address, pytest.raises(BridgeRefused, match=f"HTTP {head[:3]}") as refusal:
        Bridge(address, timeout=5).version()
    assert refusal.value.status == f"HTTP {head[:3]}"


def test_a_bridge_that_knows_no_orchestration_however_often_one_enters_is_not_asked_for_ever() -> None:
    asked = 0

    def answer(peer: socket.socket) -> None:
        nonlocal asked
        asked += 1
        saying(envelope({"value": "a token"}) if asked % 2 else envelope(status="UnknownOrchestration"))(peer)

    with misbehaving(answer) as address, pytest.raises(BridgeRefused, match="UnknownOrchestration"):
        Bridge(address, timeout=5).displays()
    assert asked == 4


variants = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["value", "status", "payload"]), inner),
    max_leaves=8,
)


@given(variants)
def test_any_json_is_an_answer_or_a_failure_of_bridge(content: Any) -> None:
    with suppress(BridgeFailure):
        assert read_answer("x", json.dumps(content)).status in bridge_wire.FINE


# ---- events ----


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> queue.Queue[Event]:
    """What a listener's `heard` puts here; pauses are short."""
    monkeypatch.setattr(bridge_module, "FIRST_PAUSE", 0.05)
    return queue.Queue()


def until(heard: queue.Queue[Event], name: str) -> Event:
    while (event := heard.get(timeout=20)).name != name:
        pass
    return event


def until_subscribed(fake: Running, heard: queue.Queue[Event]) -> None:
    """A websocket carries no answer: that Bridge has read the subscription shows on its side alone."""
    until(heard, LISTENING)
    deadline = time.monotonic() + 20
    while "ws" not in fake.fake.names():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_events_are_heard_with_their_fields_and_again_after_a_restart(fake: Running, heard: queue.Queue[Event]) -> None:
    bridge = Bridge(fake.http)
    listener = Listener(bridge, heard.put, fake.events)
    try:
        until_subscribed(fake, heard)
        bridge.cast([hologram(FILM)])
        assert until(heard, "New Item Playing").fields == {
            "index": 0,
            "playlist_name": fake.fake.playing,
            "tag": "me_qs6x4a1.mp4",
        }
        fake.stop()
        assert until(heard, LOST).message
        fake.start()
        until_subscribed(fake, heard)
        token = next(iter(fake.fake.tokens.values()))
        fake.call(lambda: fake.fake.emit(token, "Monitor Connect", name="LKG0005"))
        assert until(heard, "Monitor Connect").fields == {"name": "LKG0005"}
    finally:
        listener.close()


def test_garbled_events_are_counted_and_the_good_ones_go_on(fake: Running, heard: queue.Queue[Event]) -> None:
    listener = Listener(Bridge(fake.http), heard.put, fake.events)
    try:
        until_subscribed(fake, heard)
        for text in (b"no json", b"[]", envelope({"value": {"event": 5}}), envelope(status="Failure")):
            fake.call(lambda text=text: _send(fake, text))
        token = next(iter(fake.fake.tokens.values()))
        fake.call(lambda: fake.fake.emit(token, "Progress Update"))
        until(heard, "Progress Update")
        assert listener.garbled == 4
    finally:
        listener.close()


def _send(fake: Running, text: bytes) -> None:
    for writer, _ in fake.fake._ws:
        head = bytes([0x81, len(text)]) if len(text) < 126 else b"\x81\x7e" + len(text).to_bytes(2, "big")
        writer.write(head + text)


def test_a_bridge_that_is_not_there_is_tried_again_ever_more_rarely(monkeypatch, heard: queue.Queue[Event]) -> None:
    pauses: list[int] = []
    monkeypatch.setattr(bridge_events, "pause", lambda tries: pauses.append(tries) or 0.01)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    listener = Listener(Bridge(f"http://127.0.0.1:{port}"), heard.put, f"ws://127.0.0.1:{port}/")
    for _ in range(4):
        until(heard, LOST)
    listener.close()
    assert pauses[:4] == [0, 1, 2, 3]


def test_pauses_grow_up_to_a_limit() -> None:
    assert [pause(tries) for tries in (0, 1, 2, 9, 10**9)] == [0.25, 0.5, 1.0, 8.0, 8.0]


def test_whoever_does_not_speak_websocket_is_lost_not_fatal(fake: Running, heard: queue.Queue[Event]) -> None:
    with misbehaving(saying(b"<html>")) as address:
        listener = Listener(Bridge(fake.http), heard.put, address.replace("http", "ws"))
        until(heard, LOST)
        until(heard, LOST)
        listener.close()


def test_a_listener_closes_while_nobody_talks(fake: Running, heard: queue.Queue[Event]) -> None:
    listener = Listener(Bridge(fake.http), heard.put, fake.events)
    until_subscribed(fake, heard)
    listener.close()
    assert heard.empty()
