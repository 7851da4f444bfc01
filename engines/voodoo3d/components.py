"""Components: what the network does, as a runtime takes it: modules from float32 to float32, at the shapes a frame has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from display import optics
from engines import shared_volume, triplane
from engines.kernels.presence import available
from engines.runtime import Component, Precision, say_once
from engines.runtime.networks import InPrecision, smooth
from engines.shared_volume import Budget
from engines.voodoo3d.architecture import PLANE_CHANNELS
from engines.voodoo3d.fused import FusedSuperResolution
from engines.voodoo3d.warp import Warp, Warping

if TYPE_CHECKING:
    from engines.voodoo3d.network import FieldDecoder, Voodoo3D

NETWORK = {Precision.FLOAT32: 80.0, Precision.FLOAT16: 50.0, Precision.BFLOAT16: 30.0}
"How many decibels below its span a network's output must stay; see runtime.Component.agreement."
MARCHED = {Precision.FLOAT32: 60.0, Precision.FLOAT16: 50.0, Precision.BFLOAT16: 50.0}
"A march's; its kernels keep planes in half precision where the networks are."
WARPED = dict.fromkeys(Precision, 60.0)
"Of what is warped between views, float32 throughout: a place on a contour may be seen or not by its last bit."


@dataclass(frozen=True)
class Look:
    """March configuration: how a march of rays looks, whatever it looks at."""

    views: int
    resolution: int
    samples: tuple[int, int] | Budget
    "Coarse and fine of the exact march, or what the shared volume spends."
    channels: int


def lift(network: Voodoo3D) -> Component:
    """Pictures [1, 3, S, S] in 0..1 -> planes [1, 3, 32, S/2, S/2]."""
    shape = 1, 3, network.arch.image, network.arch.image
    return Component(
        "lift",
        InPrecision(network.triplane_encoder),
        lambda: (_picture01(shape, 1).to(network.device),),
        agreement=NETWORK,
    )


def source_share(network: Voodoo3D) -> Component:
    """A frontal picture [1, 3, S, S] in 0..1 and planes [1, 3, 32, S/2, S/2] -> [1, 1024, S/16, S/16]; once per portrait."""
    shape = 1, 3, network.arch.image, network.arch.image
    return Component(
        "source share",
        InPrecision(network.exp_transfer, "source_share"),
        lambda: (_picture01(shape, 2).to(network.device), _planes(network)),
        often=False,
        agreement=NETWORK,
    )


def expression(network: Voodoo3D) -> Component:
    """A source's share [1, 1024, S/16, S/16] and a driver's frontal picture [1, 3, S, S] in 0..1 -> what to add to the source's
    planes, [1, 3, 32, S/2, S/2]."""
    arch = network.arch
    share, shape = (1, arch.width, arch.tokens, arch.tokens), (1, 3, arch.image, arch.image)
    return Component(
        "expression",
        InPrecision(network.exp_transfer, "residual"),
        lambda: (smooth(share, 4, arch.tokens).to(network.device), _picture01(shape, 5).to(network.device)),
        agreement=NETWORK,
    )


def superresolution(network: Voodoo3D) -> Component:
    """A full batch of pictures [B, 3, S/4, S/4], about -1..1 -> [B, 3, S, S]."""
    shape = network.views_at_once, 3, network.arch.marched, network.arch.marched
    fused = InPrecision(FusedSuperResolution(network.superresolution)) if _kernels_run_on(network.device) else None
    return Component(
        "superresolution",
        InPrecision(network.superresolution),
        lambda: (smooth(shape, 6).to(network.device),),
        fused=fused,
        agreement=NETWORK,
    )


def march(network: Voodoo3D, look: Look) -> Component:
    """Planes, cameras [V, 4, 4] and lenses [V, 3, 3] -> features and, last, depth [V, channels + 1, R, R]."""
    half = next(network.triplane_encoder.parameters()).dtype != torch.float32
    kept = torch.float16 if half else torch.float32

    def example() -> tuple[Tensor, ...]:
        return _planes(network), *(part.to(network.device) for part in cameras(look.views))

    return Component(
        f"{'shared march' if isinstance(look.samples, Budget) else 'march'} of {look.views}",
        Marching(network.decoder, look),
        example,
        fused=FusedMarching(network.decoder, look, kept) if _kernels_run_on(network.device) else None,
        network=False,
        agreement=MARCHED,
    )


def warp(network: Voodoo3D, between: Warp) -> Component:
    """Marched pictures, depth, cameras, lenses and the super-resolved ones of V views -> all of them [V, 3, S, S]."""
    arch, views = network.arch, between.views
    sharp = len(between.resolved.of(views)), 3, arch.image, arch.image

    def example() -> tuple[Tensor, ...]:
        raw, depth = (
            smooth((views, 3, arch.marched, arch.marched), 7),
            smooth((views, 1, arch.marched, arch.marched), 8),
        )
        made = raw, optics.ORBIT_RADIUS + 0.1 * depth, *cameras(views), smooth(sharp, 9)
        return tuple(part.to(network.device) for part in made)

    name = f"warp of {views}, {between.resolved.value}"
    return Component(name, Warping(between, network.device), example, network=False, agreement=WARPED)


class Marching(nn.Module):
    """A march by its definition in torch: planes [1, 3, 32, P, P], cameras [V, 4, 4] cam2world, lenses [V, 3, 3] ->
    features and, last, depth [V, channels + 1, R, R]."""

    def __init__(self, decoder: FieldDecoder, look: Look) -> None:
        super().__init__()
        self.decoder, self.look = decoder, look

    def forward(self, planes: Tensor, cam2world: Tensor, intrinsics: Tensor) -> Tensor:
        """As the class says; one tri-plane at a time."""
        assert planes.shape[0] == 1, planes.shape
        look, field = self.look, triplane.TriplaneField(planes[0], self.decoder.scaled())
        given = field, cam2world, intrinsics, look.resolution
        if isinstance(look.samples, Budget):
            return torch.cat(shared_volume.march(*given, look.samples, look.channels), 1)
        return torch.cat(triplane.march(*given, *look.samples, look.channels), 1)


class FusedMarching(nn.Module):
    """The same by the kernels of engines/kernels, with planes kept in `dtype` while they march."""

    def __init__(self, decoder: FieldDecoder, look: Look, dtype: torch.dtype) -> None:
        super().__init__()
        self.decoder, self.look, self.dtype = decoder, look, dtype

    def forward(self, planes: Tensor, cam2world: Tensor, intrinsics: Tensor) -> Tensor:
        """Marching.forward, of the same shapes, as far as the kernels agree with it (MARCHED)."""
        from engines.kernels import march as kernels  # needs Triton

        assert planes.shape[0] == 1, planes.shape
        look, field = self.look, kernels.prepare(planes[0], self.decoder.scaled(), self.dtype)
        given = field, cam2world, intrinsics, look.resolution
        if isinstance(look.samples, Budget):
            return torch.cat(kernels.shared_march(*given, look.samples, look.channels), 1)
        return torch.cat(kernels.march(*given, *look.samples, look.channels), 1)


def _kernels_run_on(device: torch.device) -> bool:
    """Whether the kernels of engines/kernels can be had; without them a GPU marches many times slower, which is said aloud."""
    if device.type != "cuda":
        return False
    if not available(device):
        say_once(
            f"kernels need Triton (pip install triton) and a GPU from Ampere on, so torch works on {device} instead"
        )
        return False
    return True


def cameras(views: int) -> tuple[Tensor, Tensor]:
    """[V, 4, 4] and [V, 3, 3]: cameras as a screen has them; one alone is frontal."""
    yaws = np.linspace(-17.5, 17.5, views) if views > 1 else [0.0]
    return (
        torch.from_numpy(np.stack([optics.orbit(yaw) for yaw in yaws])),
        torch.from_numpy(optics.intrinsics())[None].repeat(views, 1, 1),
    )


def _picture01(shape: tuple[int, ...], seed: int) -> Tensor:
    """`shape` [B, C, S, S], 0..1, without pixels of its own."""
    return (smooth(shape, seed) + 1) / 2


def _planes(network: Voodoo3D) -> Tensor:
    """[1, 3, C, P, P]."""
    side = network.arch.planes
    return 2 * smooth((3, PLANE_CHANNELS, side, side), 3, 16)[None].to(network.device)
