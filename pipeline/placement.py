"""Placement: which stage runs on which device. Pure data; touches no device."""

from __future__ import annotations

from dataclasses import dataclass, replace


class UnknownPlacement(ValueError):
    """The operator named a placement that does not exist; the message lists those that do."""


@dataclass(frozen=True)
class Placement:
    """Devices are named as torch names them. The same name twice means: these stages take turns there."""

    name: str
    preprocess: str
    drive: str
    render: tuple[str, ...]
    "One entry a renderer; the views of a frame are split evenly over them."
    display: str
    "Composes the quilt and encodes it."

    def __post_init__(self) -> None:
        assert self.render, self

    @property
    def devices(self) -> tuple[str, ...]:
        """Every device once, in the order a frame meets them."""
        return tuple(dict.fromkeys((self.preprocess, self.drive, *self.render, self.display)))

    def on_cpu(self) -> Placement:
        """The same shape on CPU devices: every GPU becomes a CPU thread of its own."""

        def cpu(device: str) -> str:
            return device.replace("cuda:", "cpu:") if device.startswith("cuda:") else f"cpu:1{device.partition(':')[2]}"

        return replace(
            self,
            name=f"{self.name} on cpu",
            preprocess=cpu(self.preprocess),
            drive=cpu(self.drive),
            render=tuple(cpu(device) for device in self.render),
            display=cpu(self.display),
        )


_PRESETS = {
    # Observing and driving share a thread: a frame that has been observed is driven at once, with its data still warm.
    "cpu": Placement("cpu", "cpu:0", "cpu:0", ("cpu:1",), "cpu:2"),
    "one-gpu": Placement("one-gpu", "cpu:0", "cuda:0", ("cuda:0",), "cpu:1"),
    # VOODOO 3D's live system (arXiv 2312.04651, section 4): seven GPUs, four of which render six views each.
    "paper": Placement("paper", "cuda:0", "cuda:1", ("cuda:2", "cuda:3", "cuda:4", "cuda:5"), "cuda:6"),
}


def names() -> list[str]:
    return list(_PRESETS)


def preset(name: str) -> Placement:
    """The placement called `name`. Raises UnknownPlacement with the list of names."""
    try:
        return _PRESETS[name]
    except KeyError:
        raise UnknownPlacement(f"no placement is called {name!r}; there are: {', '.join(_PRESETS)}") from None
