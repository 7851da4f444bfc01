"""Bridge's events against the fake Bridge: heard, garbled, lost and heard again."""

from __future__ import annotations

import queue
import socket
import time

import pytest

from display import bridge as bridge_module
from display import bridge_events
from display.bridge import Bridge, hologram, pause
from display.bridge_events import LISTENING, LOST, Event, Listener
from tests.bridges import FILM, Running, envelope, misbehaving, portrait_beside_a_monitor, saying

fake = pytest.fixture(portrait_beside_a_monitor)


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
    while "subscribed" not in fake.fake.calls:
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
        for text in (b"no json", b"[]", envelope({"event": 5}), envelope(None, "Failure")):
            fake.call(lambda text=text: fake.fake.say(text.decode()))
        token = next(iter(fake.fake.tokens.values()))
        fake.call(lambda: fake.fake.emit(token, "Progress Update"))
        until(heard, "Progress Update")
        assert listener.garbled == 4
    finally:
        listener.close()


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
