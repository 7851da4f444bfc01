"""TensorRT's side as far as it shows without TensorRT: what an engine hangs on, and when it is built, loaded or refused."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from engines.runtime import Component, Precision, trt
from engines.runtime.cache import Cache
from engines.runtime.graphs import Recording, recorded
from engines.voodoo3d import components
from tests.curves import KEY, Curve, component_of, small_network

pytestmark = pytest.mark.usefixtures("said")
CPU = torch.device("cpu")


class TestKey:
    """The network's part of an engine's key; the machine's needs one (tests/gpu)."""

    def test_hangs_on_weights_precision_shapes_and_program(self) -> None:
        first, weighs, precise, shaped, other = Curve(), Curve(), Curve().half(), Curve(), nn.Tanh()
        weighs.weight[1] += 1e-6
        different = {
            "weights": component_of(weighs),
            "precision": component_of(precise, example=lambda: (torch.ones(3).half(),)),
            "shapes": component_of(shaped, example=lambda: (torch.ones(2, 3),)),
            "program": component_of(other),
        }
        ours = _contents(component_of(first))
        assert ours == _contents(component_of(Curve()))
        for part, component in different.items():
            assert _contents(component)[part] != ours[part], part

    def test_a_lone_weight_of_a_network_counts_and_its_place_in_memory_does_not(self) -> None:
        conv = nn.Conv2d(4, 4, 3)
        before = trt.weights_of(conv)
        conv.weight.data = conv.weight.data.contiguous(memory_format=torch.channels_last)
        assert trt.weights_of(conv) == before
        conv.weight.data[3, 3, 2, 2] += 1
        assert trt.weights_of(conv) != before

    @pytest.mark.soak
    def test_is_the_same_in_every_process(self) -> None:
        script = (
            "from engines.voodoo3d import components, synthetic; from engines.voodoo3d.architecture import Architecture\n"
            "from engines.runtime import trt\n"
            "component = components.expression(synthetic.network(Architecture(image=64, thin=16)))\n"
            "print(sorted(trt.contents(component, trt.exported(component)).items()))"
        )
        environment = os.environ | {"PYTHONHASHSEED": "7"}
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment
        )
        here = _contents(components.expression(small_network(Precision.FLOAT32)))
        assert done.stdout.strip() == str(sorted(here.items()))


def _contents(component: Component) -> dict[str, str]:
    return trt.contents(component, trt.exported(component))


class TestAhead:
    """TensorRT's side without TensorRT: what is built, kept, loaded and refused. Building and loading are stood in for."""

    @pytest.fixture
    def cache(self, tmp_path: Path) -> Cache:
        return Cache(tmp_path)

    @pytest.fixture
    def built(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """Names of the components that were built; engines are bytes that double what they are given."""
        names: list[str] = []

        def build(component: Component, *_: object) -> bytes:
            names.append(component.name)
            return b"doubles"

        def load(engine: bytes, example: tuple[Tensor, ...]) -> Recording:
            if engine != b"doubles":
                raise trt.BuildFailed("TensorRT refuses this engine")
            return recorded(lambda x: 2 * x, example, CPU)

        monkeypatch.setattr(trt, "key_of", lambda *_: KEY)
        monkeypatch.setattr(trt, "built", build)
        monkeypatch.setattr(trt, "loaded", load)
        return names

    def test_a_missing_tensorrt_gives_way_aloud(self, cache: Cache, said: pytest.LogCaptureFixture) -> None:
        run = trt.Trt(CPU, False, cache).prepare(component_of(Curve()))
        assert run.by == "graphs"
        assert "TensorRT cannot run curve on cpu, so graphs do instead" in said.text
        assert torch.equal(run(torch.ones(3)), Curve()(torch.ones(3)))
        assert not cache.entries()

    def test_is_built_once_and_found_from_then_on(self, cache: Cache, built: list[str]) -> None:
        for _ in range(2):
            run = trt.Trt(CPU, False, cache).prepare(component_of(Curve()))
            assert run.by == "trt"
            assert torch.equal(run(torch.ones(3)), torch.full((3,), 2.0))
        assert built == ["curve"]

    def test_nobody_waits_for_a_build_that_was_not_asked_for(
        self, cache: Cache, built: list[str], said: pytest.LogCaptureFixture
    ) -> None:
        assert trt.Trt(CPU, True, cache).prepare(component_of(Curve())).by == "graphs"
        assert built == []
        assert "no engine was built for curve, so graphs run curve on cpu instead" in said.text
        assert "python -m server engines build" in said.text

    @pytest.mark.parametrize("part", ["gpu", "driver", "tensorrt", "weights"])
    def test_an_engine_for_anything_else_is_never_loaded(
        self,
        cache: Cache,
        built: list[str],
        said: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
        part: str,
    ) -> None:
        cache.write(replace(KEY, **{part: "another"}), b"doubles")
        with monkeypatch.context() as patched:
            patched.setattr(trt, "loaded", lambda *_: pytest.fail("it was loaded"))
            assert trt.Trt(CPU, True, cache).prepare(component_of(Curve())).by == "graphs"
        assert f"was for another {part}" in said.text
        assert trt.build(component_of(Curve()), CPU, cache).anew
        assert trt.Trt(CPU, True, cache).prepare(component_of(Curve())).by == "trt"

    @pytest.mark.parametrize("damage", [b"", b"doub", b"Doubles"])
    def test_a_damaged_engine_is_built_anew(self, cache: Cache, built: list[str], damage: bytes) -> None:
        entry = trt.build(component_of(Curve()), CPU, cache).entry
        (cache.folder / entry.file).write_bytes(damage)
        assert trt.build(component_of(Curve()), CPU, cache).anew
        assert not trt.build(component_of(Curve()), CPU, cache).anew
        assert built == ["curve", "curve"]

    def test_an_engine_that_tensorrt_refuses_is_built_anew(self, cache: Cache, built: list[str]) -> None:
        cache.write(KEY, b"of another TensorRT that calls itself the same")
        assert trt.build(component_of(Curve()), CPU, cache).anew
        assert cache.read(KEY) == b"doubles"

    def test_a_failed_build_keeps_nothing_and_gives_way_aloud(
        self, cache: Cache, built: list[str], said: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fails(*_: object) -> bytes:
            raise RuntimeError("no converter for aten::svd")

        monkeypatch.setattr(trt, "built", fails)
        run = trt.Trt(CPU, False, cache).prepare(component_of(Curve()))
        assert run.by == "graphs"
        assert "so graphs do instead" in said.text
        assert "no converter for aten::svd" in said.text
        with pytest.raises(RuntimeError, match="no converter"):
            trt.build(component_of(Curve()), CPU, cache)
        assert not cache.entries()

    def test_marches_and_what_is_rare_are_left_to_graphs(self, cache: Cache, built: list[str]) -> None:
        runs = trt.Trt(CPU, False, cache)
        assert runs.prepare(component_of(Curve(), network=False)).by == "graphs"
        assert runs.prepare(component_of(Curve(), often=False)).by == "eager"
        assert built == []
