"""Placements for any number of GPUs, without one: the planner is given what there is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engines import catalogue
from engines.contract import Footprint
from pipeline.devices import gpus
from pipeline.devices.placement import Placement, UnknownPlacement, from_file, names, preset
from pipeline.devices.planner import GIB, Device, PlacementImpossible, bytes_needed, chosen, plan, work_of

NEEDS = Footprint(GIB, GIB, 4 * GIB, drive_work=3.0, view_work=1.0)


def cards(count: int, free: float = 140.0) -> list[Device]:
    return [Device(f"cuda:{i}", 141 * GIB, int(free * GIB), "NVIDIA H200") for i in range(count)]


def said(explanation: tuple[str, ...]) -> str:
    return "\n".join(explanation)


@pytest.mark.parametrize("name", names())
def test_every_preset_has_a_shape_on_cpu(name: str):
    on_cpu = preset(name).on_cpu()
    assert all(device.startswith("cpu:") for device in on_cpu.devices)
    assert len(on_cpu.devices) == len(preset(name).devices)


def test_the_paper_uses_seven_gpus():
    assert len(preset("paper").gpus) == 7
    assert len(preset("paper").render) == 4


def test_pictures_are_coded_where_they_are_composed_unless_said_otherwise():
    assert Placement("p", "cpu:0", "cpu:0", ("cpu:1",), "cpu:2").encode == "cpu:2"
    assert preset("one-gpu").stages == {
        "cpu:0": ["preprocess"],
        "cuda:0": ["drive", "render", "compose"],
        "cpu:1": ["encode"],
    }


def test_one_gpu_and_seven_get_the_placements_made_for_them():
    assert plan(cards(1), "engine", NEEDS, 24).placement == preset("one-gpu")
    assert plan(cards(7), "engine", NEEDS, 24).placement == preset("paper")


@pytest.mark.parametrize("count", range(17))
def test_any_number_of_gpus_gets_a_placement_that_no_other_way_betters(count: int):
    found = plan(cards(count), "engine", NEEDS, 24)
    place = found.placement
    assert set(place.gpus) <= {card.name for card in cards(count)}
    assert place.preprocess == "cpu:0" or count == 7
    assert place.encode.startswith("cpu:"), "a coder never holds up a GPU"
    if count == 0:
        assert place == preset("cpu")
        return
    busiest = max(work_of(place, NEEDS, 24).values())
    most_even = max(3.0, (3.0 + 24) / count)  # driving cannot be split
    assert busiest >= most_even - 1e-9
    fewer = plan(cards(count - 1), "engine", NEEDS, 24).placement
    if fewer.gpus and count != 7:
        assert busiest <= max(work_of(fewer, NEEDS, 24).values())
    if count > 2 and count != 7:
        assert busiest <= 1.5 * most_even


def test_driving_gets_a_gpu_of_its_own_once_it_pays():
    two, four = (plan(cards(count), "engine", NEEDS, 24).placement for count in (2, 4))
    assert two.drive in two.render
    assert four.drive not in four.render
    heavy = Footprint(GIB, GIB, GIB, drive_work=100.0, view_work=1.0)
    assert (
        plan(cards(2), "engine", heavy, 24).placement.drive not in plan(cards(2), "engine", heavy, 24).placement.render
    )


def test_gpus_that_cannot_help_stay_out_and_that_is_said():
    found = plan(cards(16), "engine", NEEDS, 2)
    assert len(found.placement.render) == 2
    assert "cuda:15. With more of them" in said(found.explanation)


def test_memory_comes_first():
    devices = [*cards(1), Device("cuda:1", 8 * GIB, 3 * GIB, "NVIDIA GeForce RTX 3070")]
    found = plan(devices, "engine", NEEDS, 24)
    assert found.placement == preset("one-gpu")
    assert "cuda:1 (NVIDIA GeForce RTX 3070, 3.0 of 8.0 GiB free) is left out" in said(found.explanation)
    second = plan([devices[1], Device("cuda:0", 141 * GIB, 3 * GIB, "x"), *cards(6)[2:]], "engine", NEEDS, 24)
    assert set(second.placement.gpus) == {"cuda:2", "cuda:3", "cuda:4", "cuda:5"}
    none = plan([devices[1]], "engine", NEEDS, 24)
    assert none.placement == preset("cpu")
    assert "far from real time" in said(none.explanation)


def test_room_for_rendering_alone_is_not_room_for_everything():
    only_render = bytes_needed(("render",), NEEDS)
    devices = [Device(f"cuda:{i}", 8 * GIB, only_render, "small") for i in range(3)]
    place = plan(devices, "engine", NEEDS, 24).placement
    assert place.drive not in place.render
    assert place.compose not in place.render


def test_an_engine_that_needs_no_gpu_gets_none():
    pytest.importorskip("cv2", reason="the relief engine needs OpenCV")
    assert catalogue.abilities("relief").footprint is None
    found = plan(cards(2), "relief", None, 24)
    assert found.placement == preset("cpu")
    assert "2 GPUs stay free" in said(found.explanation)


def test_a_chosen_placement_on_gpus_is_for_engines_that_can_use_them():
    found = chosen("paper", cards(7), "relief", None, 24)
    assert found.placement == preset("cpu")
    assert "7 GPUs stay free" in said(found.explanation)
    assert chosen("cpu", cards(7), "engine", NEEDS, 24).placement == preset("cpu")


def test_the_neural_engine_says_what_it_needs():
    needs = catalogue.abilities("voodoo3d").footprint
    assert needs is not None
    assert 2 < needs.drive_work / needs.view_work < 4
    assert plan(cards(1), "voodoo3d", needs, 24).placement == preset("one-gpu")


def test_what_is_chosen_is_taken_where_it_can_be():
    assert chosen("auto", [], "relief", None, 24).placement == preset("cpu")
    assert chosen("one-gpu", cards(1), "engine", NEEDS, 24).placement == preset("one-gpu")
    found = chosen("paper", cards(8), "engine", NEEDS, 24)
    assert "cuda:2, cuda:3, cuda:4 and cuda:5 render 6 of 24 views each." in found.explanation


def test_what_cannot_be_says_why_and_what_to_do():
    with pytest.raises(UnknownPlacement, match=r"one-gpu.*auto.*\.json"):
        chosen("mainframe", [], "engine", NEEDS, 24)
    with pytest.raises(
        PlacementImpossible, match=r"needs cuda:2, .*this machine has cuda:0, cuda:1\. .*--placement auto"
    ):
        chosen("paper", cards(2), "engine", NEEDS, 24)
    with pytest.raises(PlacementImpossible, match="no GPU that PyTorch sees"):
        chosen("one-gpu", [], "relief", None, 24)
    with pytest.raises(PlacementImpossible, match=r"drive and render and compose with engine needs about 7\.0 GiB"):
        chosen("one-gpu", cards(1, free=5.0), "engine", NEEDS, 24)


def test_a_placement_can_be_written_down(tmp_path: Path):
    path = tmp_path / "mine.json"
    path.write_text('{"preprocess": "cpu:0", "drive": "cuda:1", "render": ["cuda:1", "cuda:0"], "compose": "cuda:0"}')
    place = chosen(str(path), cards(2), "engine", NEEDS, 24).placement
    assert place == Placement("mine", "cpu:0", "cuda:1", ("cuda:1", "cuda:0"), "cuda:0", "cuda:0")
    path.write_text(preset("paper").as_json())
    assert from_file(path) == preset("paper")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"drive": None}, '"drive" is missing'),
        ({"drive": "gpu0"}, '"drive" says "gpu0"; a device is "cuda:0"'),
        ({"render": "cuda:0"}, '"render" has to be a list'),
        ({"render": []}, '"render" has to be a list'),
        ({"render": ["cuda:0", 1]}, '"render" says 1'),
        ({"render": ["cuda:0", "cuda:0"]}, '"render" names a device twice'),
        ({"compose": "cuda"}, '"compose" says "cuda"'),
        ({"encode": 3}, '"encode" says 3'),
        ({"renders": ["cuda:0"]}, "there is no field 'renders'; there are: preprocess, drive, render"),
    ],
)
def test_a_mistake_in_a_file_is_named_by_its_field(tmp_path: Path, change: dict, words: str):
    good = {"preprocess": "cpu:0", "drive": "cuda:0", "render": ["cuda:0"], "compose": "cuda:0"}
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({name: value for name, value in (good | change).items() if value is not None}))
    with pytest.raises(UnknownPlacement) as error:
        from_file(path)
    assert words in str(error.value)
    assert str(path) in str(error.value)


def test_files_that_are_not_there_or_hold_something_else(tmp_path: Path):
    with pytest.raises(UnknownPlacement, match="cannot be read"):
        from_file(tmp_path / "missing.json")
    for text, words in (("{", "is not JSON"), ("[]", "no JSON object")):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(UnknownPlacement, match=words):
            from_file(tmp_path / "bad.json")


def test_looking_for_gpus_finds_what_torch_finds():
    import torch

    assert [device.name for device in gpus.present()] == [f"cuda:{i}" for i in range(torch.cuda.device_count())]
