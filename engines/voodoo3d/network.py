"""Network: VOODOO 3D whole, one method per component, equal to the official `forward` and with none of its waste.

Ranges are the official ones: networks that read pictures want 0..1 (`*01`), everything else is -1..1 and never clamped.
Networks run in the dtype they were loaded in; planes, rays and pictures between components are float32. Who runs them is a
runtime's affair (`run_by`): eagerly unless told otherwise, and then every number is the definition's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engines.loading import Prepared
from engines.runtime import Component, Run, Runtime
from engines.runtime.eager import Eager
from engines.triplane import Decoder, TriplaneField
from engines.voodoo3d import checkpoint, components
from engines.voodoo3d.architecture import COLOURS, PLANE_CHANNELS, Architecture
from engines.voodoo3d.components import Look
from engines.voodoo3d.lift import Lift
from engines.voodoo3d.superres import SuperResolution
from engines.voodoo3d.transfer import Transfer
from engines.voodoo3d.warp import Resolved, Warp

VIEWS_AT_ONCE = {"cpu": 1, "cuda": 6}
"Pictures super-resolved together. One keeps a CPU's peak at 0.6 GB, and more gain it nothing; of six, 24 views make four, and"
"six are what each renderer of the paper's placement has."
LOOKS_PREPARED = 6
"Different marches that are prepared at most: one a screen's share of views and one for drivers, each with memory of its own."
"There are as many ways of warping between views at most."


class FieldDecoder(nn.Module):
    """Density and colour from a plane feature; stored at unit variance and scaled when used (EG3D's equalised layers)."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(PLANE_CHANNELS, 64), nn.Softplus(), nn.Linear(64, 1 + COLOURS))

    def scaled(self) -> Decoder:
        """The layers as they act: weights [64, 32] and [1 + COLOURS, 64] over the root of their inputs (StyleGAN, arXiv
        1812.04948), biases [64] and [1 + COLOURS] as they are; row 0 is the density."""
        (_, hidden), (_, hidden_bias), (_, out), (_, out_bias) = self.named_parameters()
        return Decoder(hidden / math.sqrt(hidden.shape[1]), hidden_bias, out / math.sqrt(out.shape[1]), out_bias)


class Voodoo3D(nn.Module):
    """The four networks of VOODOO 3D (arXiv 2312.04651) and what lies between them, by components that a runtime runs."""

    def __init__(self, arch: Architecture = Architecture()) -> None:
        super().__init__()
        self.arch = arch
        self.triplane_encoder, self.exp_transfer = Lift(arch), Transfer(arch)
        self.superresolution, self.decoder = SuperResolution(arch), FieldDecoder()
        self._frontal: tuple[Tensor, Tensor] | None = None
        self.requires_grad_(False).eval()
        self.run_by(Eager())

    @classmethod
    def from_checkpoint(
        cls, path: str | Path, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
    ) -> Voodoo3D:
        """The network with the weights of `path`: the published file (raw or wrapped) or an imported one.

        Raises weights.CheckpointRejected, naming what is missing, unexpected or misshapen.
        """
        return cls.from_tensors(checkpoint.read(Path(path)), device=device, dtype=dtype)

    @classmethod
    def from_tensors(
        cls,
        tensors: dict[str, Tensor],
        arch: Architecture = Architecture(),
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> Voodoo3D:
        """The network with exactly `tensors`, whose names are the checkpoint's."""
        with torch.device("meta"):
            network = cls(arch)
        network.load_state_dict(tensors, strict=True, assign=True)
        network.requires_grad_(False)  # loading with assign brought new parameters
        for component in (network.triplane_encoder, network.exp_transfer, network.superresolution):
            component.to(device=device, dtype=dtype)
        network.decoder.to(device=device, dtype=torch.float32)
        return network

    @property
    def device(self) -> torch.device:
        """Where its weights lie."""
        return self.decoder.net[0].weight.device  # type: ignore[return-value]

    def run_by(self, runtime: Runtime, views_at_once: int | None = None) -> Voodoo3D:
        """Let `runtime` run every component from now on, each prepared when first wanted; super-resolution with
        `views_at_once` pictures, by default as many as suit the device."""
        self.prepared, self._at_once = Prepared(runtime), views_at_once
        return self

    @property
    def views_at_once(self) -> int:
        """Pictures that are super-resolved together."""
        return self._at_once or VIEWS_AT_ONCE.get(self.device.type, 1)

    def components(self, looks: Sequence[Look] = ()) -> list[Component]:
        """Every component, in the order of a frame; `looks`: how its marches look."""
        networks = [components.lift(self), components.source_share(self), components.expression(self)]
        return [*networks, *(components.march(self, look) for look in looks), components.superresolution(self)]

    def prepare(self, looks: Sequence[Look] = ()) -> None:
        """Have the runtime do now what the first frame would wait for."""
        for component in (components.lift, components.expression, components.superresolution):
            self._run(component)
        for look in looks:
            self._run(components.march, look)

    def frontal(self) -> tuple[Tensor, Tensor]:
        """cam2world [1, 4, 4] and intrinsics [1, 3, 3] of the camera that faces the head."""
        if self._frontal is None or self._frontal[0].device != self.device:
            cam2world, intrinsics = components.cameras(1)
            self._frontal = cam2world.to(self.device), intrinsics.to(self.device)
        return self._frontal

    def field(self, planes: Tensor) -> TriplaneField:
        """`planes`: [1, 3, 32, P, P]."""
        assert planes.shape[0] == 1, planes.shape
        return TriplaneField(planes[0], self.decoder.scaled())

    def lift(self, image01: Tensor) -> Tensor:
        """Pictures [B, 3, 512, 512] in 0..1 -> planes [B, 3, 32, 256, 256]."""
        return self._run(components.lift)(image01.to(self.device))

    def source_share(self, source_frontal01: Tensor, planes: Tensor) -> Tensor:
        """All of `transfer` that depends on the source alone: [B, 1024, 32, 32]."""
        return self._run(components.source_share)(source_frontal01, planes)

    def expression(self, source_share: Tensor, driver_frontal01: Tensor) -> Tensor:
        """The rest of `transfer`: what the driver's expression adds to the source's planes [B, 3, 32, 256, 256]."""
        return self._run(components.expression)(source_share, driver_frontal01)

    def transfer(self, source_frontal01: Tensor, driver_frontal01: Tensor, planes: Tensor) -> Tensor:
        """The source's `planes` [B, 3, 32, 256, 256] with the driver's expression; pictures [B, 3, 512, 512] in 0..1."""
        return planes + self.expression(self.source_share(source_frontal01, planes), driver_frontal01)

    def march(
        self,
        planes: Tensor,
        cam2world: Tensor,
        intrinsics: Tensor,
        resolution: int = 128,
        coarse: int = 96,
        fine: int = 96,
        channels: int = COLOURS,
    ) -> tuple[Tensor, Tensor]:
        """Views [V, 4, 4], [V, 3, 3] of one head's planes -> features [V, channels, R, R] (-1..1) and depth [V, 1, R, R].

        Channels 0..2 are the picture; ask for three where no more is needed.
        """
        return self.look(Look(len(cam2world), resolution, (coarse, fine), channels), planes, cam2world, intrinsics)

    def look(self, look: Look, planes: Tensor, cam2world: Tensor, intrinsics: Tensor) -> tuple[Tensor, Tensor]:
        """A march of any kind, from the same tensors as `march`; features [V, channels, R, R] and depth [V, 1, R, R] as it gives them."""
        seen = self._run_few(components.march, look)(planes, cam2world, intrinsics)
        return seen[:, :-1], seen[:, -1:]

    def superresolve(self, rgb: Tensor) -> Tensor:
        """Pictures [V, 3, 128, 128], about -1..1 -> [V, 3, 512, 512], about -1..1, not clamped.

        In batches of `views_at_once`, the last one filled up with its last picture.
        """
        run, at_once, side = self._run(components.superresolution), self.views_at_once, self.arch.image
        resolved = rgb.new_empty(len(rgb), 3, side, side)
        for some, into in zip(rgb.split(at_once), resolved.split(at_once), strict=True):
            if len(some) == at_once:
                run(some, out=into)
            else:
                filling = some[-1:].expand(at_once - len(some), -1, -1, -1)
                into.copy_(run(torch.cat((some, filling)))[: len(some)])
        return resolved

    def warp(
        self, resolved: Resolved, raw: Tensor, depth: Tensor, cam2world: Tensor, intrinsics: Tensor, sharp: Tensor
    ) -> Tensor:
        """All V neighbouring views [V, 3, 512, 512] of those that were super-resolved (`sharp`, as warp.picked gives them)
        and what was marched of all: pictures, depth and whose cameras [V, ...]."""
        between = Warp(len(raw), resolved)
        if not between.needed:
            return sharp
        return self._run_few(components.warp, between)(raw, depth, cam2world, intrinsics, sharp)

    def source_frontal(self, planes: Tensor, coarse: int = 96, fine: int = 96) -> Tensor:
        """The source as the transfer wants to see it: from the front, super-resolved, [1, 3, 512, 512] in about 0..1."""
        raw, _ = self.march(planes, *self.frontal(), self.arch.marched, coarse, fine, 3)
        return (self.superresolve(raw) + 1) / 2

    def driver_frontal(self, planes: Tensor, coarse: int = 96, fine: int = 96) -> Tensor:
        """The driver as the transfer wants to see it: from the front, enlarged without smoothing, [1, 3, 512, 512] in about
        0..1."""
        raw, _ = self.march(planes, *self.frontal(), self.arch.marched, coarse, fine, 3)
        return (F.interpolate(raw, scale_factor=4, mode="nearest") + 1) / 2

    def reenact(
        self,
        source_image: Tensor,
        driver_image: Tensor,
        cam2world: Tensor,
        intrinsics: Tensor,
        coarse: int = 96,
        fine: int = 96,
    ) -> dict[str, Tensor]:
        """The official `forward`: pictures [1, 3, 512, 512] in -1..1, seen from V cameras.

        Returns `image_raw` [V, 3, 128, 128], `image` [V, 3, 512, 512], `depth` [V, 1, 128, 128], `planes`.
        """
        source = self.lift((source_image + 1) / 2)
        driver = self.lift((driver_image + 1) / 2)
        planes = self.transfer(
            self.source_frontal(source, coarse, fine), self.driver_frontal(driver, coarse, fine), source
        )
        raw, depth = self.march(
            planes, cam2world.to(self.device), intrinsics.to(self.device), self.arch.marched, coarse, fine, 3
        )
        return {"image_raw": raw, "image": self.superresolve(raw), "depth": depth, "planes": planes}

    def _run_few(self, component: Callable[..., Component], of: Look | Warp) -> Run:
        """The component for these shapes, prepared for the first few of its kind."""
        if not self.prepared.has(of) and self.prepared.count(type(of)) >= LOOKS_PREPARED:
            return Eager().prepare(component(self, of))
        return self._run(component, of)

    def _run(self, component: Callable[..., Component], *of: Look | Warp) -> Run:
        return self.prepared.run(of[0] if of else component, lambda: component(self, *of))
