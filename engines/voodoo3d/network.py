"""Network: VOODOO 3D whole, one method per stage, equal to the official `forward` and with none of its waste.

Ranges are the official ones: networks that read pictures want 0..1 (`*01`), everything else is -1..1 and never clamped.
Networks run in the dtype they were loaded in; planes, rays and pictures between stages are float32.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from display import optics
from engines import triplane
from engines.triplane import Decoder, TriplaneField
from engines.voodoo3d import checkpoint
from engines.voodoo3d.architecture import COLOURS, PLANE_CHANNELS, Architecture
from engines.voodoo3d.lift import Lift
from engines.voodoo3d.superres import SuperResolution
from engines.voodoo3d.transfer import Transfer

VIEWS_AT_ONCE = {"cpu": 1, "cuda": 8}
"Pictures super-resolved together: one keeps a CPU's peak at 0.6 GB, and more gain it nothing."


class FieldDecoder(nn.Module):
    """Density and colour from a plane feature; stored at unit variance and scaled when used (EG3D's equalised layers)."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(PLANE_CHANNELS, 64), nn.Softplus(), nn.Linear(64, 1 + COLOURS))

    def scaled(self) -> Decoder:
        (_, hidden), (_, hidden_bias), (_, out), (_, out_bias) = self.named_parameters()
        return Decoder(hidden / math.sqrt(hidden.shape[1]), hidden_bias, out / math.sqrt(out.shape[1]), out_bias)


class Voodoo3D(nn.Module):
    def __init__(self, arch: Architecture = Architecture()) -> None:
        super().__init__()
        self.arch = arch
        self.triplane_encoder, self.exp_transfer = Lift(arch), Transfer(arch)
        self.superresolution, self.decoder = SuperResolution(arch), FieldDecoder()
        self.requires_grad_(False).eval()

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
        for stage in (network.triplane_encoder, network.exp_transfer, network.superresolution):
            stage.to(device=device, dtype=dtype)
        network.decoder.to(device=device, dtype=torch.float32)
        return network

    @property
    def device(self) -> torch.device:
        return self.decoder.net[0].weight.device  # type: ignore[return-value]

    @property
    def dtype(self) -> torch.dtype:
        return self.exp_transfer.conv3.weight.dtype

    def frontal(self) -> tuple[Tensor, Tensor]:
        """cam2world [1, 4, 4] and intrinsics [1, 3, 3] of the camera that faces the head."""
        cam2world, intrinsics = torch.from_numpy(optics.orbit(0)), torch.from_numpy(optics.intrinsics())
        return cam2world[None].to(self.device), intrinsics[None].to(self.device)

    def field(self, planes: Tensor) -> TriplaneField:
        """`planes`: [1, 3, 32, P, P]."""
        assert planes.shape[0] == 1, planes.shape
        return TriplaneField(planes[0], self.decoder.scaled())

    def lift(self, image01: Tensor) -> Tensor:
        """Pictures [B, 3, 512, 512] in 0..1 -> planes [B, 3, 32, 256, 256]."""
        return self.triplane_encoder(image01.to(self.device, self.dtype)).float()

    def source_share(self, source_frontal01: Tensor, planes: Tensor) -> Tensor:
        """All of `transfer` that depends on the source alone: [B, 1024, 32, 32]."""
        return self.exp_transfer.source_share(source_frontal01.to(self.dtype), planes.to(self.dtype))

    def expression(self, source_share: Tensor, driver_frontal01: Tensor) -> Tensor:
        """The rest of `transfer`: what the driver's expression adds to the source's planes [B, 3, 32, 256, 256]."""
        return self.exp_transfer.residual(source_share, driver_frontal01.to(self.dtype)).float()

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
        return triplane.march(self.field(planes), cam2world, intrinsics, resolution, coarse, fine, channels)

    def superresolve(self, rgb: Tensor) -> Tensor:
        """Pictures [V, 3, 128, 128], about -1..1 -> [V, 3, 512, 512], about -1..1, not clamped."""
        at_once = VIEWS_AT_ONCE.get(rgb.device.type, 1)
        return torch.cat([self.superresolution(some.to(self.dtype)).float() for some in rgb.split(at_once)])

    def source_frontal(self, planes: Tensor, coarse: int = 96, fine: int = 96) -> Tensor:
        """The source as the transfer wants to see it: from the front, super-resolved, [1, 3, 512, 512] in about 0..1."""
        raw, _ = self.march(planes, *self.frontal(), self.arch.marched, coarse, fine, 3)
        return (self.superresolve(raw) + 1) / 2

    def driver_frontal(self, planes: Tensor, coarse: int = 96, fine: int = 96) -> Tensor:
        """The driver as the transfer wants to see it: from the front, enlarged without smoothing, in about 0..1."""
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
