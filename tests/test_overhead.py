"""What a frame costs beyond its stages: that it is measured as it says, and stays a small thing."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks import overhead
from benchmarks.overhead import Ended, measured
from pipeline.devices.placement import preset


def test_time_in_stages_counts_once_where_tasks_run_side_by_side():
    frame = Ended(1.0, [(3.0, 4.0), (1.5, 2.0), (3.2, 3.4), (3.5, 5.0), (6.0, 7.0)])
    assert frame.age == pytest.approx(6.0)
    assert frame.in_stages == pytest.approx(0.5 + 2.0 + 1.0)


@pytest.mark.parametrize("name", ["one-gpu", "paper"])
def test_frames_of_several_callers_go_through_and_are_told_apart_from_their_stages(name: str):
    found = measured(preset(name).on_cpu(), callers=2, rate=15.0, frames=15, warm_up=3)
    assert found.frames + found.lost >= 30
    assert 0 < found.stages.p50 < found.age.p50
    assert 0 < found.hand_over.p50 < found.age.p50
    assert found.devices == len(preset(name).devices)


def test_the_command_writes_every_load_of_every_placement(tmp_path: Path, monkeypatch, capsys):
    words = ["--placements", "paper", "cpu", "--callers", "1", "2", "--frames", "6", "--warm-up", "2", "--repeats", "1"]
    monkeypatch.setattr(sys, "argv", ["overhead", *words, "--out", str(tmp_path)])
    overhead.main()
    result = json.loads((tmp_path / "overhead.json").read_text())
    assert [(one["placement"], one["callers"]) for one in result["median"]] == [
        ("paper on cpu", 1),
        ("paper on cpu", 2),
        ("cpu on cpu", 1),
        ("cpu on cpu", 2),
    ]
    assert all(one["age"]["p95"] >= one["hand_over"]["p50"] > 0 for one in result["median"])
    assert "stages that do nothing" in capsys.readouterr().out
