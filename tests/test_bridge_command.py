"""`bridge ...` as somebody at the display's PC meets it, against the fake Bridge."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from display.calibration import read
from server.commands.bridge import app
from tests.bridges import FILM, Running, portrait, portrait_beside_a_monitor, running
from tests.fake_bridge import variant

fake = pytest.fixture(portrait_beside_a_monitor)


def run(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "160"})
    return done.exit_code, done.output


def test_status_and_displays_say_what_is_there(fake: Running) -> None:
    code, said = run("status", "--address", fake.http)
    assert code == 0
    assert "Bridge 2.6.2" in said
    assert "one Looking Glass" in said
    assert "mend this" not in said
    code, said = run("displays", "--address", fake.http)
    assert code == 0
    assert all(word in said for word in ("portrait LKG0005", "LKG-P90006", "1536x2048", "1920,40", "8x6 in 3360x3360"))


def test_status_says_what_to_mend_and_what_to_plug_in() -> None:
    scaled = {"0": variant("0", {"errorType": variant("errorType", "invalidScale")}, "VARIANT_MAP")}
    with running(portrait(displayProblems=variant("displayProblems", scaled, "VARIANT_MAP"), state="hidden")) as fake:
        said = run("status", "--address", fake.http)[1]
        assert "mend this: invalidScale" in said
        assert "'hidden'" in said
    with running() as fake:
        assert "both of its cables" in run("status", "--address", fake.http)[1]


def test_a_calibration_is_shown_and_saved_as_it_came(fake: Running, tmp_path: Path) -> None:
    code, said = run("calibration", "--address", fake.http)
    assert code == 0
    assert "246.99" in said
    code, said = run("calibration", "--save", tmp_path / "visual.json", "--address", fake.http)
    assert code == 0, said
    assert read(tmp_path / "visual.json").lens_pitch == pytest.approx(246.992, abs=0.01)
    assert json.loads((tmp_path / "visual.json").read_text())["pitch"], "wrapped values and all"
    assert run("calibration", "--display", 7, "--address", fake.http) == (
        2,
        "telequilt: no Looking Glass has the index 7; there are: 1\n",
    )


def test_a_cast_of_one_command_is_stopped_by_another(fake: Running) -> None:
    assert run("cast", FILM, "--address", fake.http)[0] == 0
    assert fake.fake.window == {-1: True}
    assert run("stop", "--address", fake.http)[0] == 0
    assert fake.fake.window == {-1: False}
    assert fake.fake.tokens == {}
    assert fake.fake.errors == []


@pytest.mark.parametrize("command", ["status", "displays", "calibration", "stop", "cast"])
def test_without_bridge_each_command_says_what_to_do_in_one_line(command: str) -> None:
    what = [FILM] if command == "cast" else []
    code, said = run(command, *what, "--address", "http://127.0.0.1:9")
    assert code == 2
    assert len(said.strip().splitlines()) == 1
    assert "http://127.0.0.1:9" in said
    assert "start it on the PC" in said


def test_events_are_printed(fake: Running) -> None:
    def happen() -> None:
        token = next(iter(fake.fake.tokens.values()))
        fake.call(lambda: fake.fake.emit(token, "Monitor Connect", name="LKG0005"))

    later = threading.Timer(0.8, happen)
    later.start()
    code, said = run("events", "--seconds", 1.6, "--address", fake.http, "--events-address", fake.events)
    later.join()
    assert code == 0
    assert "Monitor Connect: name=LKG0005" in said
