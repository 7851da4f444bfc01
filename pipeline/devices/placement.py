"""Placement: which stage runs on which device. Pure data; touches no device."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

DEVICE = re.compile(r"(cpu|cuda):\d+")


class UnknownPlacement(ValueError):
    """The operator named a placement that does not exist, or wrote one that cannot be; the message says what to do."""


@dataclass(frozen=True)
class Placement:
    """Devices are named as torch names them; "cpu:2" is a thread. The same name twice means: these stages take turns there."""

    name: str
    preprocess: str
    "Finds the face. MediaPipe works on the processor wherever this is."
    drive: str
    render: tuple[str, ...]
    "One entry a renderer; the views of a frame are split evenly over them."
    compose: str
    "Composes the quilt, marks it and converts its colours."
    encode: str = ""
    "Codes the pictures; where it is composed if left out."

    def __post_init__(self) -> None:
        assert self.render, self
        if not self.encode:
            object.__setattr__(self, "encode", self.compose)

    @property
    def devices(self) -> tuple[str, ...]:
        """Every device once, in the order a frame meets them."""
        return tuple(dict.fromkeys((self.preprocess, self.drive, *self.render, self.compose, self.encode)))

    @property
    def gpus(self) -> tuple[str, ...]:
        return tuple(device for device in self.devices if device.startswith("cuda"))

    @property
    def stages(self) -> dict[str, list[str]]:
        """Device -> the stages that run there, in the order of a frame's way."""
        where = {stage: [getattr(self, stage)] for stage in STAGES} | {"render": list(self.render)}
        return {device: [stage for stage in STAGES if device in where[stage]] for device in self.devices}

    def on_cpu(self) -> Placement:
        """The same shape on CPU devices: every GPU becomes a CPU thread of its own, numbered before those that were one."""
        beyond = max((int(device.partition(":")[2]) + 1 for device in self.gpus), default=0)

        def cpu(device: str) -> str:
            kind, _, number = device.partition(":")
            return f"cpu:{int(number) + beyond * (kind == 'cpu')}"

        return replace(
            self,
            name=f"{self.name} on cpu",
            preprocess=cpu(self.preprocess),
            drive=cpu(self.drive),
            render=tuple(cpu(device) for device in self.render),
            compose=cpu(self.compose),
            encode=cpu(self.encode),
        )

    def as_json(self) -> str:
        return json.dumps(asdict(self), indent=2)


AUTO = "auto"
"The operator leaves it to pipeline/devices/planner.py."
STAGES = ("preprocess", "drive", "render", "compose", "encode")

_PRESETS = {
    # Observing and driving share a thread: a frame that has been observed is driven at once, with its data still warm.
    "cpu": Placement("cpu", "cpu:0", "cpu:0", ("cpu:1",), "cpu:2"),
    # A quilt is composed where its views are, so that 1.5 bytes a pixel leave the GPU and not 4.
    "one-gpu": Placement("one-gpu", "cpu:0", "cuda:0", ("cuda:0",), "cuda:0", "cpu:1"),
    # VOODOO 3D's live system (arXiv 2312.04651, section 4): seven GPUs, four of which render six views each. Its own coder is
    # the processor's, which none of the seven has to wait for.
    "paper": Placement("paper", "cuda:0", "cuda:1", ("cuda:2", "cuda:3", "cuda:4", "cuda:5"), "cuda:6", "cpu:0"),
}


def names() -> list[str]:
    return list(_PRESETS)


def named(choice: str) -> Placement:
    """A preset by its name, or the placement in a file. Raises UnknownPlacement."""
    return from_file(Path(choice)) if choice.endswith(".json") else preset(choice)


def preset(name: str) -> Placement:
    """The placement called `name`. Raises UnknownPlacement with the list of names."""
    try:
        return _PRESETS[name]
    except KeyError:
        raise UnknownPlacement(
            f"no placement is called {name!r}; there are: {', '.join((*_PRESETS, AUTO))}, or a file that ends in .json"
        ) from None


def from_file(path: Path) -> Placement:
    """The placement written in `path`. Raises UnknownPlacement, which names the field that is wrong.

    JSON: {"preprocess": "cpu:0", "drive": "cuda:0", "render": ["cuda:0", "cuda:1"], "compose": "cuda:0", "encode": "cpu:1"};
    "encode" may be left out, and "name" too, which is then the file's.
    """
    try:
        given = json.loads(path.read_text())
    except OSError as failure:
        raise UnknownPlacement(f"{path} cannot be read: {failure.strerror}; see docs/placement.md") from None
    except ValueError as failure:
        raise UnknownPlacement(f"{path} is not JSON: {failure}; see docs/placement.md") from None
    if not isinstance(given, dict):
        raise UnknownPlacement(f"{path} holds no JSON object; see docs/placement.md")
    known = {one.name for one in fields(Placement)}
    for name in given:
        if name not in known:
            raise UnknownPlacement(f"{path}: there is no field {name!r}; there are: {', '.join((*STAGES, 'name'))}")
    devices = {
        stage: _devices(path, stage, given.get(stage)) for stage in STAGES if stage != "encode" or stage in given
    }
    single = {stage: found[0] for stage, found in devices.items() if stage != "render"}
    return Placement(name=str(given.get("name") or path.stem), render=devices["render"], **single)


def _devices(path: Path, stage: str, given: Any) -> tuple[str, ...]:
    """Raises UnknownPlacement unless `given` is a device, or for "render" a list of them."""
    found = given if stage == "render" else [given]
    if not isinstance(found, list) or not found:
        raise UnknownPlacement(f'{path}: "render" has to be a list of devices such as ["cuda:0", "cuda:1"]')
    for device in found:
        if not isinstance(device, str) or not DEVICE.fullmatch(device):
            said = "is missing" if device is None else f"says {json.dumps(device)}"
            raise UnknownPlacement(f'{path}: "{stage}" {said}; a device is "cuda:0" (a GPU) or "cpu:0" (a thread)')
    if len(set(found)) < len(found):
        raise UnknownPlacement(f'{path}: "{stage}" names a device twice; a device is one renderer')
    return tuple(found)
