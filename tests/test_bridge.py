"""The Bridge client against the fake Bridge: discovery, casting, restarts."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest

from display.bridge import Bridge, NotAQuilt, hologram
from display.bridge_wire import BridgeRefused, BridgeUnreachable
from display.calibration import CalibrationRejected
from tests.bridges import FILM, PORTRAIT, SHORT, Running, portrait, portrait_beside_a_monitor, running
from tests.fake_bridge import variant

fake = pytest.fixture(portrait_beside_a_monitor)


# ---- discovery ----


def test_only_looking_glasses_are_listed_with_all_that_bridge_says_of_them(fake: Running) -> None:
    bridge = Bridge(fake.http)
    assert bridge.version() == "2.6.2"
    (one,) = bridge.displays()
    assert (one.index, one.hwid, one.hardware, one.state, one.x, one.y) == (1, "LKG0005", "portrait", "ok", 1920, 40)
    wanted = one.screen
    assert (wanted.quilt_width, wanted.quilt_height, wanted.columns, wanted.rows, wanted.aspect) == PORTRAIT
    assert one.calibration.lens_pitch == pytest.approx(246.992, abs=0.01)
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
    wrong = {
        "errorType": variant("errorType", "invalidResolution"),
        "expectedX": variant("expectedX", 1536, "INT"),
        "expectedY": variant("expectedY", 2048, "INT"),
        "observeredX": variant("observeredX", 768, "INT"),
        "observeredY": variant("observeredY", 1024, "INT"),
    }
    nested = {"0": variant("displayProblems", {"0": variant("0", wrong, "VARIANT_MAP")}, "VARIANT_MAP")}
    with running(portrait(displayProblems=variant("displayProblems", nested, "VARIANT_MAP"))) as fake:
        (one,) = Bridge(fake.http).displays()
        assert one.problems == ("invalidResolution: 768 x 1024 where 1536 x 2048 is wanted",)


# ---- casting ----


def test_a_cast_opens_the_window_plays_and_only_then_takes_the_old_playlist_away(fake: Running) -> None:
    bridge = Bridge(fake.http)
    bridge.cast([hologram(FILM)])
    first = fake.fake.playing
    bridge.cast([hologram(FILM), hologram("http://services.example/still", "qs8x6a0.75")])
    assert fake.fake.errors == []
    assert fake.fake.window == {-1: True}
    assert list(fake.fake.playlists) == [fake.fake.playing]
    assert fake.fake.playing != first
    shown = fake.fake.playlists[fake.fake.playing]
    assert [(one["uri"], one["cols"], one["rows"], one["view_count"], one["aspect"]) for one in shown] == [
        (FILM, 6, 4, 24, 1.0),
        ("http://services.example/still", 8, 6, 48, 0.75),
    ]
    assert fake.fake.calls[-2:] == ["play_playlist", "delete_playlist"]
    bridge.stop()
    assert fake.fake.window == {-1: False}
    assert fake.fake.tokens == {}


def test_a_file_is_cast_by_its_full_path(fake: Running, tmp_path, monkeypatch) -> None:
    (tmp_path / "a b_qs6x4a1.png").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    Bridge(fake.http).cast([hologram("a b_qs6x4a1.png")])
    (entry,) = fake.fake.playlists[fake.fake.playing]
    assert entry["uri"] == (tmp_path / "a b_qs6x4a1.png").as_posix()


def test_a_tiling_is_said_as_names_say_it_or_without_their_two_letters() -> None:
    for said in ("6x4a.75", "qs6x4a0.75", "QS6x4a0.75"):
        one = hologram("http://services.example/film.mp4", said)
        assert (one.columns, one.rows, one.aspect) == (6, 4, 0.75)


@pytest.mark.parametrize(
    ("where", "tiling", "words"),
    [
        ("nowhere_qs6x4a1.mp4", "", "neither a file"),
        ("http://services.example/film.mp4", "", "how the quilt is tiled"),
        ("http://services.example/film.mp4", "6x4", "no tiling"),
        ("http://services.example/film_qs0x4a1.mp4", "", "0x4"),
        ("http://services.example/film_qs6x4a0.mp4", "", "no aspect"),
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
    fake.fake.interruptions[endpoint] = happen
    bridge.cast([hologram(FILM)])
    assert [one["uri"] for one in fake.fake.playlists[fake.fake.playing]] == [FILM]


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
