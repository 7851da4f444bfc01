"""What the benchmarks stand on: numbers that survive video coding, and results that say where they come from."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import endurance, face_size, hours, long_call, members, networks
from benchmarks.gpu.hot_spots import FRAMES, hot_spots
from benchmarks.lib.harness import write
from benchmarks.lib.trend import trend
from benchmarks.live import barcode
from server.media.encode import Encoder, form_for


@pytest.mark.parametrize("number", [0, 1, 1000, 2**13, 2**14 - 1])
def test_a_number_is_read_back(number: int):
    plane = np.full((64, 512), 128, np.uint8)
    barcode.draw(plane, number)
    assert barcode.read(plane) == number


def test_no_number_is_read_where_none_is():
    random = np.random.default_rng(7)
    assert barcode.read(np.full((64, 512), 128, np.uint8)) is None
    assert all(barcode.read(random.integers(0, 256, (64, 512), np.uint8)) is None for _ in range(50))


def test_a_damaged_number_is_not_read():
    plane = np.full((64, 512), 128, np.uint8)
    barcode.draw(plane, 4711)
    for bit in range(barcode.BITS + barcode.CHECK_BITS):
        damaged = plane.copy()
        block = damaged[: barcode.HEIGHT, bit * barcode.BLOCK : (bit + 1) * barcode.BLOCK]
        block[:] = barcode.DARK + barcode.LIGHT - block
        assert barcode.read(damaged) is None


@pytest.mark.parametrize("size", [(480, 360), (360, 270), (320, 240), (640, 480)])
def test_a_number_is_read_where_the_picture_was_made_smaller(size: tuple[int, int]):
    import cv2

    for number in (0, 5461, 10922, 4711, 2**14 - 1):
        plane = np.full((480, 640), 128, np.uint8)
        barcode.draw(plane, number)
        assert barcode.read_scaled(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), 640) == number


def test_captures_that_a_page_missed_are_reckoned_where_the_camera_went_on_evenly():
    last = members.PUPPET_FRAMES - 1
    noted = [[last - 1, 0.0], [last, 40.0], [2, 160.0], [3, 200.0], [5, 900.0]]
    assert members.filled(noted) == [
        [last - 1, 0.0],
        [last, 40.0],
        [0, 80.0],
        [1, 120.0],
        [2, 160.0],
        [3, 200.0],
        [5, 900.0],
    ]


def test_numbers_survive_our_own_encoder():
    import av

    random, decoder = np.random.default_rng(7), av.CodecContext.create("h264", "r")
    encoder, decoded = Encoder(form_for(640, 480, 25, bitrate=400_000)), []
    for number in range(20):
        i420 = random.integers(90, 160, (720, 640), np.uint8)
        barcode.draw(i420, number)
        decoded += decoder.decode(av.Packet(encoder.encode(i420, number / 25).data))
    decoded += decoder.decode(None)
    lumas = [np.frombuffer(memoryview(one.planes[0]), np.uint8).reshape(-1, one.planes[0].line_size) for one in decoded]
    assert [barcode.read(luma) for luma in lumas] == list(range(20))


def test_small_faces_are_held_against_large_ones():
    large: list[face_size.Row | None] = [
        (np.sin(n / 5), np.cos(n / 3), np.cos(n / 3), 10 * np.sin(n / 9)) for n in range(60)
    ]
    assert face_size.compared(large, large)["eyes"] == face_size.compared(large, large)["seen"] == 1.0
    other = [
        None if n < 30 or row is None else (row[0], row[1], row[2] / 2, row[3] + 2.0) for n, row in enumerate(large)
    ]
    found = face_size.compared(large, other)
    assert (found["seen"], found["mouth"], found["yaw off"]) == (0.5, 1.0, 2.0)
    assert found["eyes off"] > 0.1


def test_a_result_says_where_it_comes_from(tmp_path: Path):
    result = json.loads(write("some", {"fps": 25.0}, tmp_path).read_text())
    assert result["fps"] == 25.0
    assert result["machine"]["cores"] >= 1
    assert {"date", "commit", "command", "versions", "load_before"} <= set(result)


def test_what_takes_longest_stands_first_and_is_counted_by_the_frame():
    seen: list[int] = []

    def frame(number: int) -> None:
        seen.append(number)
        for _ in range(2):
            torch.mm(torch.ones(512, 512), torch.ones(512, 512))
        torch.add(torch.ones(4), 1)

    found = hot_spots(frame, torch.device("cpu"))
    assert len(seen) == FRAMES
    assert found["device"] == []
    times = [spot.ms for spot in found["host"]]
    assert times == sorted(times, reverse=True)
    calls = {spot.name: spot.calls for spot in found["host"]}
    assert (calls["aten::mm"], calls["aten::add"]) == (2, 1)


@pytest.mark.parametrize(
    ("last", "words"),
    [
        ({}, []),
        ({"rss_mib": 690, "threads": 21}, []),
        ({"rss_mib": 720}, ["rss_mib grew from 647 in minute 2 to 720 in minute 10"]),
        ({"threads": 27, "handles": 20}, ["threads grew from 19", "handles grew from 11"]),
    ],
)
def test_a_long_call_that_leaks_is_seen(last: dict[str, float], words: list[str]):
    """Against the second minute: in the first, all is loaded."""
    usual: dict[str, float] = {"rss_mib": 647, "threads": 19, "handles": 11}
    rows = [usual | {"minute": 1, "rss_mib": 719}, *(usual | {"minute": minute} for minute in range(2, 10))]
    found = endurance.grown([*rows, usual | {"minute": 10} | last])
    assert [said[: len(wanted)] for said, wanted in zip(found, words, strict=True)] == words


@pytest.mark.parametrize(
    ("ages", "without", "recording", "words"),
    [
        ([90, 50, 55, 45, 50, 60], 0, True, []),
        ([90, 50, 50, 50, 80, 90], 0, True, ["pictures grew older: 50 to 85 ms"]),
        ([50, 50, 50], 2, True, ["2 looks found that no picture was sent"]),
        ([50, 50, 50], 0, False, ["it was not recorded all the time"]),
    ],
)
def test_what_a_call_at_a_table_missed_is_said(ages: list[float], without: int, recording: bool, words: list[str]):
    usual: dict[str, float] = {"rss_mib": 647, "threads": 19, "handles": 11}
    rows = [usual | {"minute": minute, "age_p95_ms": age} for minute, age in enumerate(ages, 1)]
    found = long_call.missed(rows, without, True, [{"recording": recording}])
    assert [said[: len(wanted)] for said, wanted in zip(found, words, strict=True)] == words


def test_a_trend_is_told_from_noise():
    minutes = 60 * np.arange(58.0)
    random = np.random.default_rng(1)
    flat = trend(minutes, 700 + random.normal(0, 4, 58))
    assert not flat.grows
    assert 0 < flat.noise < 10
    leak = trend(minutes, 700 + 30 * minutes / 3600 + random.normal(0, 4, 58))
    assert leak.grows
    assert leak.per_hour == pytest.approx(30, abs=leak.noise * 2)
    assert leak.over_all == pytest.approx(leak.per_hour * 57 / 60, rel=1e-3)


def test_hours_tell_what_is_not_as_it_was():
    rows = [{"minute": n + 1.0, "held_mib": 700.0 + n % 3, "age_p50_ms": 40.0 + n % 2} for n in range(30)]
    held = {"threads": 20, "tasks": 5, "handles": 12, "sockets": 4, "rss_mib": 700}
    assert hours.found(rows, hours.trends(rows), {"before": held, "after": held}) == []
    leaking = [row | {"held_mib": row["held_mib"] + 3 * row["minute"]} for row in rows]
    wrong = hours.found(leaking, hours.trends(leaking), {"before": held, "after": held | {"sockets": 6}})
    assert wrong[0] == "sockets: 4 before, 6 after"
    assert wrong[1].startswith("held_mib grows by 18")


def test_networks_count_keyframes_of_forms_that_come_and_go():
    assert networks._more({"whole": 9, "half": 4}, {"whole": 11, "half": 1, "quarter": 2}) == 2 + 1 + 2


def test_networks_tell_what_does_not_recover():
    run = {"ended": [], "longest_pause_s": 0.4, "back_after_s": 0.1, "age_before_ms": 50.0, "age_meanwhile_ms": 120.0}
    run |= {"age_at_last_ms": 60.0, "keyframes_per_second": 0.3}
    loss, outage, narrow = (networks.FAULTS[name] for name in ("loss 5 %", "outage 2 s", "1 Mbit/s"))
    assert [networks.found(fault, run) for fault in (loss, outage, narrow)] == [[], [], []]
    assert networks.found(loss, run | {"longest_pause_s": 2.5}) == ["2.5 s without a picture"]
    assert networks.found(outage, run | {"longest_pause_s": 2.5}) == [], "it counts from when the line is back"
    assert networks.found(outage, run | {"back_after_s": None}) == ["None s without a picture"]
    assert (
        len(
            networks.found(
                narrow, run | {"age_meanwhile_ms": 900.0, "age_at_last_ms": 500.0, "keyframes_per_second": 5}
            )
        )
        == 3
    )


def test_a_result_says_its_command_but_not_where_it_was_put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.argv", ["it", "--seconds", "60", "--out", str(tmp_path), "--quick", f"--out={tmp_path}"])
    told = json.loads(write("kept", {}, tmp_path).read_text())["command"]
    assert told.endswith(" --seconds 60 --quick")
