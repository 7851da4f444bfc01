"""`placement`, `serve --placement` and `doctor` as an operator meets them; GPUs are stated where there are none."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import pytest
from rich.console import Console
from typer.testing import CliRunner

from pipeline.devices import gpus
from pipeline.devices.placement import from_file, preset
from pipeline.devices.planner import GIB, Device
from server.__main__ import app
from server.commands import doctor
from server.commands.doctor import Finding, Health, compiler, examine
from server.commands.placement import shown
from server.settings import Settings
from tests.live import serving, settings_for

NO_GPU = pytest.mark.skipif(bool(gpus.present()), reason="says what a machine without a GPU says")


def run(*words: object, **variables: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "200"} | variables)
    return done.exit_code, done.output


def cards(count: int, free: float = 139.0) -> list[Device]:
    return [Device(f"cuda:{i}", 141 * GIB, int(free * GIB), "NVIDIA H200") for i in range(count)]


def read(choice: str, devices: list[Device], engine: str = "voodoo3d") -> str:
    console = Console(width=200, highlight=False, no_color=True)
    with console.capture() as captured:
        for part in shown(choice, devices, [engine], views=24):
            console.print(part)
    return captured.get()


def test_a_plan_says_who_does_what_with_which_memory_and_why():
    lines = read("auto", cards(4)).splitlines()
    assert lines[0] == "voodoo3d: placement balanced, 24 views"
    rows = {line.split()[0]: line for line in lines if line.startswith(("  cuda:", "  cpu:"))}
    assert "drive, compose" in rows["cuda:0"]
    assert all("render" in rows[f"cuda:{number}"] and "29%" in rows[f"cuda:{number}"] for number in (1, 2, 3))
    assert "6.0 GiB of 139.0 free" in rows["cuda:1"]
    assert "encode" in rows["cpu:1"]
    assert "The busiest GPU, cuda:1, has 29% of a frame's work" in "\n".join(lines)


def test_a_gpu_without_memory_is_left_out_before_anything_is_weighed():
    said = read("auto", [*cards(2), Device("cuda:2", 24 * GIB, 2 * GIB, "NVIDIA L4")])
    assert "cuda:2 (NVIDIA L4, 2.0 of 24.0 GiB free) is left out: rendering needs about 6.0 GiB." in said
    assert not [line for line in said.splitlines() if line.startswith("  cuda:2 ") and "render" in line.split()]


@NO_GPU
def test_a_machine_without_a_gpu_is_told_so_for_each_engine():
    code, said = run("placement")
    assert code == 0
    assert "relief: placement cpu, 24 views" in said
    assert "Engine relief works on the processor." in said
    assert "No GPU can be used, so the processor does everything: voodoo3d will be far from real time." in said


@NO_GPU
def test_too_few_gpus_and_bad_names_are_a_line_with_the_next_command():
    for command in ("placement", "serve"):
        code, said = run(command, "--placement", "paper")
        assert code == 2
        assert "placement paper needs cuda:0" in said
        assert "--placement auto" in said
        code, said = run(command, "--placement", "mainframe")
        assert code == 2
        assert "there are: cpu, one-gpu, paper, auto, or a file that ends in .json" in said
        assert "Traceback" not in said


def test_a_bad_file_is_refused_by_serve_before_anything_is_loaded(tmp_path: Path):
    path = tmp_path / "mine.json"
    code, said = run("serve", "--placement", path)
    assert code == 2
    assert "cannot be read" in said
    path.write_text('{"drive": "cpu:0"}')
    code, said = run("serve", TELEQUILT_PLACEMENT=str(path))
    assert code == 2
    assert '"preprocess" is missing' in said


def test_an_engine_that_does_not_exist_is_refused_at_once():
    for command in ("placement", "serve"):
        code, said = run(command, "--engine", "nonsense")
        assert code == 2
        assert "there are: relief, " in said


@pytest.mark.parametrize(
    ("engine", "wanted"), [("voodoo3d", "voodoo3d.pth"), ("rome", "rome.pth"), ("rome-linear", "linear_hair.pth")]
)
def test_weights_that_are_not_here_end_serve_at_once_with_the_command_that_brings_them(
    tmp_path: Path, engine: str, wanted: str
):
    code, said = run("serve", "--engine", engine, "--data-dir", tmp_path)
    assert code == 2
    assert f"python -m server weights import {wanted}" in said
    assert "Traceback" not in said


def test_a_plan_can_be_written_down_changed_and_taken(tmp_path: Path):
    code, said = run("placement", "--engine", "relief", "--placement", "cpu", "--json")
    assert code == 0
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(json.loads(said) | {"name": "mine", "render": ["cpu:1", "cpu:3"]}))
    assert from_file(path).render == ("cpu:1", "cpu:3")
    code, said = run("placement", "--engine", "relief", "--placement", path)
    assert code == 0
    assert "relief: placement mine, 24 views" in said
    assert "--engine" in run("placement", "--json")[1]
    assert run("placement", "--json")[0] == 2


def test_settings_that_are_wrong_are_said_in_a_line():
    code, said = run("placement", TELEQUILT_SCREEN="nonsense")
    assert code == 2
    assert said.startswith("telequilt: screen: ")


@NO_GPU
def test_the_doctor_examines_the_placement_too(tmp_path: Path):
    def placement(**more: str) -> Health:
        found = examine(Settings(data_dir=tmp_path, port=0, **more))  # type: ignore[arg-type]
        return next(one for one in found if one.what == "Placement").health

    assert placement() is Health.FINE
    assert placement(placement="one-gpu") is Health.LACKING


def test_what_the_doctor_says_is_a_line_a_row_where_no_terminal_ends_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    lacks = Finding("Ray", Health.LACKING, "is not installed " * 20, "pip install -e '.[cluster]'")
    monkeypatch.setattr(doctor, "examine", lambda settings, cluster: [lacks])
    done = CliRunner().invoke(app, ["doctor"])
    (row,) = (line for line in done.output.splitlines() if "Ray" in line)
    assert row.split() == ["✗", "Ray", *lacks.detail.split(), *lacks.mend.split()]


async def test_an_address_that_a_telequilt_has_is_no_lack_and_any_other_is(tmp_path: Path):
    async with serving(settings_for(tmp_path)) as (base, _):
        found = await asyncio.to_thread(doctor._address, "0.0.0.0", httpx.URL(base).port or 0)
        assert (found.health, "a Telequilt answers" in found.detail) == (Health.FINE, True)
    other = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    async with other:
        port = other.sockets[0].getsockname()[1]
        assert (await asyncio.to_thread(doctor._address, "127.0.0.1", port)).health is Health.LACKING


@pytest.mark.parametrize(
    ("programs", "cc", "headers", "health", "said"),
    [
        (["gcc"], None, True, Health.FINE, "/gcc"),
        (["clang"], None, True, Health.FINE, "/clang"),
        (["gcc", "mine"], "mine", True, Health.FINE, "/mine"),
        (["cc"], None, True, Health.LACKING, "none: Triton's kernels want it; apt-get install gcc g++ python3"),
        (["gcc"], "icx", True, Health.LACKING, "CC names icx, which is not there; unset CC"),
        (
            ["gcc"],
            None,
            False,
            Health.LACKING,
            "/gcc, but no Python.h: Triton's kernels want it; apt-get install gcc g++",
        ),
    ],
)
def test_the_doctor_looks_for_the_compiler_that_kernels_on_a_gpu_need(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    programs: list[str],
    cc: str | None,
    headers: bool,
    health: Health,
    said: str,
):
    pytest.importorskip("triton")
    for program in programs:
        (tmp_path / program).touch(0o755)
    if headers:
        (tmp_path / "Python.h").touch()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CC", cc) if cc else monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    monkeypatch.setattr(gpus, "present", lambda: cards(1))
    found = compiler()
    assert found is not None
    assert found.health is health
    assert said in f"{found.detail}; {found.mend}"
    monkeypatch.setattr(gpus, "present", list)
    assert compiler() is None


def test_presets_are_what_the_settings_accept(tmp_path: Path):
    assert Settings(data_dir=tmp_path).placement == "auto"
    assert Settings(data_dir=tmp_path, placement="paper").placement == preset("paper").name
