"""Network: ROME whole, one method per step, equal to the release and with none of its waste.

Pictures are RGB in 0..1 (`*01`); vertices are metres in the head's frame (flame.py). Networks run in the dtype they were loaded
in; FLAME, what is drawn, harmonic encodings and everything between networks are float32. Who runs the networks is a runtime's
affair (`run_by`): eagerly unless told otherwise, and then every number is the definition's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engines.loading import Prepared
from engines.raster import plain
from engines.rome import checkpoint, components, manifests, offsets
from engines.rome.architecture import DECA_CODES, MOBILE_CODES, TEXTURE, Architecture
from engines.rome.blocks import standardise
from engines.rome.embedding import Embedding
from engines.rome.flame import Flame, Posed, rotation
from engines.rome.harmonic import harmonic
from engines.rome.offsets import Basis
from engines.rome.regressors import folded
from engines.rome.visible import rasterised
from engines.runtime import Component, Run, Runtime
from engines.runtime.eager import Eager

VIEWS_AT_ONCE = {"cpu": 1, "cuda": 6}
"Views shaded together. One keeps a CPU's caches to itself; of six, 24 views make four batches, and six are what each of four"
"renderers has."
Codes = Mapping[str, Tensor]
"`shape` [B, 100], `exp` [B, 50], `pose` [B, 6] (axis-angles of head and jaw), `cam` [B, 3] (scale, x, y)."


class Rome(nn.Module):
    """The networks and the head they move. What is optional (`deca`, `linear` with its `basis`, `mobile`, and the `embedding` of
    MediaPipe's landmarks) is None where it was not given."""

    def __init__(self, flame: Flame, arch: Architecture, parts: frozenset[str]) -> None:
        """`parts`: which of the optional networks there are, of {"deca", "linear", "mobile"}."""
        super().__init__()
        self.arch, self.flame = arch, flame
        with torch.device("meta"):
            for name, network in manifests.networks(arch).items():
                self.add_module(name, network)
            for name, network in manifests.regressors(arch).items():
                self.add_module(name, network if name in parts else None)
        self.basis: Basis | None = None
        self.embedding: Embedding | None = None
        self.requires_grad_(False).eval()
        self.run_by(Eager())

    autoencoder: nn.Module
    mesh_deformer: nn.Module
    mlp_deformer: nn.Module
    unet: nn.Module
    deca: nn.Module | None
    linear: nn.Module | None
    mobile: nn.Module | None

    @classmethod
    def from_checkpoints(
        cls,
        rome: str | Path,
        flame: str | Path,
        deca: str | Path | None = None,
        linear: str | Path | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> Rome:
        """The networks with published weights. ROME's and DECA's data files lie beside the FLAME model, the basis beside `linear`.

        Raises weights.CheckpointRejected, naming the file and what does not fit, or FileNotFoundError.
        """
        paths = [None if path is None else Path(path) for path in (rome, flame, deca, linear)]
        assert paths[0] is not None
        assert paths[1] is not None
        return cls.from_tensors(checkpoint.read(paths[0], paths[1], *paths[2:]), device=device, dtype=dtype)

    @classmethod
    def from_tensors(
        cls,
        tensors: Mapping[str, Tensor],
        arch: Architecture = Architecture(),
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> Rome:
        """The networks with `tensors` as published, by the names of checkpoint.read; filters are standardised here."""
        parts = frozenset(name.partition(".")[0] for name in tensors)
        network = cls(Flame(_of("flame", tensors), arch.image), arch, parts)
        for name in (*manifests.NETWORKS, *(parts & {"deca", "linear", "mobile"})):
            part = network.get_submodule(name)
            part.load_state_dict(_counted(part, _of(name, tensors)), strict=True, assign=True)
            standardise(part)
            folded(part).to(device=device, dtype=dtype)
        if "basis" in parts:
            network.basis = Basis(*_of("basis", tensors).values()).to(device)
        if "embedding" in parts:
            network.embedding = Embedding.from_tensors(_of("embedding", tensors))
        network.flame.to(device)
        network.requires_grad_(False)  # loading with assign brought new parameters
        return network.eval()

    @property
    def device(self) -> torch.device:
        """Where its weights lie."""
        return self.flame.template.device

    def run_by(self, runtime: Runtime, views_at_once: int | None = None) -> Rome:
        """Let `runtime` run every component from now on, each prepared when first wanted; shading with `views_at_once` views,
        by default as many as suit the device."""
        self.prepared, self._at_once = Prepared(runtime), views_at_once
        return self

    @property
    def views_at_once(self) -> int:
        """Views that are shaded together."""
        return self._at_once or VIEWS_AT_ONCE.get(self.device.type, 1)

    def components(self) -> list[Component]:
        """Every component that there are weights for, in the order of a frame."""
        return components.every(self)

    def prepare(self) -> None:
        """Have the runtime do now what the first frame would wait for."""
        for component in (components.geometry, components.offsets) if self.linear is None else ():
            self._run(component)
        if self.deca is not None:
            self._run(components.codes)
        if self.mobile is not None:
            self._run(components.mobile_codes)
        self._run(components.shading)

    def texture(self, image01: Tensor, matte: Tensor) -> Tensor:
        """Aligned portraits [B, 3, S, S] and mattes [B, 1, S, S] in 0..1 -> textures [B, 8, S, S], unbounded."""
        return self._each(components.texture, torch.cat((image01, matte), 1))

    def coefficients(self, image01: Tensor) -> Tensor:
        """Aligned portraits [B, 3, S, S] in 0..1 -> the linear model's coefficients [B, 60]."""
        return self._each(components.coefficients, image01)

    def codes(self, image01_224: Tensor) -> dict[str, Tensor]:
        """Crops about a face's landmarks (crops.py) [B, 3, 224, 224] in 0..1 -> DECA's codes; `cam` is the crop's own."""
        every = dict(
            zip(DECA_CODES, self._each(components.codes, image01_224).split([*DECA_CODES.values()], 1), strict=True)
        )
        return {name: every[name] for name in ("shape", "exp", "pose", "cam")}

    def mobile_codes(self, image01: Tensor) -> dict[str, Tensor]:
        """Whole pictures [B, 3, S, S] in 0..1 -> expression, pose and camera; `cam` is the whole picture's."""
        found = self._each(components.mobile_codes, image01)
        return dict(zip(MOBILE_CODES, found.split([*MOBILE_CODES.values()], 1), strict=True))

    def posed(self, codes: Codes) -> Posed:
        """FLAME with these codes' shape, expression and jaw, not turned."""
        given = (codes[name].to(self.device, torch.float32) for name in ("shape", "exp", "pose"))
        shape, expression, pose = given
        return self.flame.posed(shape, expression, pose[:, 3:])

    def deform(self, T: Tensor, codes: Codes) -> Tensor:
        """Vertices [B, N, 3] of the full model: the posed head with the offsets that the texture [B or 1, 8, S, S] asks for."""
        return self.dressed(T, self.posed(codes).vertices)

    def dressed(self, T: Tensor, vertices: Tensor) -> Tensor:
        """Posed `vertices` [B, N, 3] with the full model's offsets."""
        latent = self._each(components.geometry, offsets.geometry_input(self.flame, T.to(self.device), vertices))
        left = self._each(components.offsets, offsets.looked_up(self.flame, latent))
        return offsets.moved(self.flame, vertices, left)

    def deform_linear(self, coefficients: Tensor, codes: Codes) -> Tensor:
        """Vertices [B, N, 3] of the linear model: the posed head plus the offsets of `coefficients` [B or 1, 60]."""
        assert self.basis is not None
        return self.posed(codes).vertices + self.basis(coefficients.to(self.device))

    def render(self, T: Tensor, vertices: Tensor, codes: Codes, rotations: Tensor) -> tuple[Tensor, Tensor]:
        """One head `vertices` [1, N, 3] from V sides: rotations [V, 3, 3] about the posed root joint, instead of pose[:, :3], then
        the parallel projection `cam`. -> colours [V, 3, S, S], not composited, and soft mask [V, 1, S, S], both in 0..1."""
        cam = codes["cam"].to(self.device, torch.float32)
        assert len(vertices) == len(cam) == 1, (vertices.shape, cam.shape)
        root = self.posed(codes).root
        turned = (vertices - root[:, None]) @ rotations.to(self.device).transpose(1, 2) + root[:, None]
        shifted = turned + F.pad(cam[:, None, 1:], (0, 1))
        screen = shifted * cam[:, :1, None] * turned.new_tensor([1.0, -1.0, -1.0])
        return self.shade(T, *self.seen(screen, self.flame.normals(vertices)))

    NEARNESS = 10.0
    "Added to depths before drawing, as the release does: its rounding decides which of two surfaces that meet is shown."

    def seen(self, screen: Tensor, normals: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Where V views [V, N, 3] (raster's axes) of one head show its texture [V, 2, S, S], its normals [V, 3, S, S], which are
        those of the head's frame in every view, and itself [V, 1, S, S]."""
        seen = rasterised(screen + screen.new_tensor([0.0, 0.0, self.NEARNESS]), self.flame.faces, self.arch.image)
        values = torch.cat((self.flame.corners_uv, normals[0, self.flame.faces.long()]), 2)
        uv, normal = plain.interpolated(seen, values).split((2, 3), 1)
        return uv, normal, seen.alpha

    def shade(self, T: Tensor, uv: Tensor, normals: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
        """Colours [V, 3, S, S] and soft mask [V, 1, S, S] in 0..1 of what `seen` gives, with textures [1 or V, 8, S, S].

        In batches of `views_at_once`, the last one filled up with its last view.
        """
        run, at_once = self._run(components.shading), self.views_at_once
        textures = T.to(self.device, torch.float32).expand(len(uv), -1, -1, -1)
        logits = uv.new_empty(len(uv), 4, *uv.shape[2:])
        for part, into in zip(torch.arange(len(uv)).split(at_once), logits.split(at_once), strict=True):
            some = slice(int(part[0]), int(part[-1]) + 1)
            asked = shading_input(textures[some], uv[some], normals[some], alpha[some])
            if len(asked) < at_once:
                asked = torch.cat((asked, asked[-1:].expand(at_once - len(asked), -1, -1, -1)))
            into.copy_(run(asked)[: len(into)])
        return logits[:, :3].sigmoid(), logits[:, 3:].sigmoid()

    def _each(self, component: Callable[[Rome], Component], given: Tensor) -> Tensor:
        """A component that takes one at a time, for every one of [B, ...]."""
        run = self._run(component)
        return torch.cat([run(one.contiguous()) for one in given.to(self.device, torch.float32).split(1)])

    def _run(self, component: Callable[[Rome], Component]) -> Run:
        return self.prepared.run(component, lambda: component(self))


def shading_input(texture: Tensor, uv: Tensor, normals: Tensor, alpha: Tensor) -> Tensor:
    """[V, 47, S, S] for the render U-Net: the texture where each pixel shows it, and the normal there, harmonically."""
    found = F.grid_sample(texture, uv.permute(0, 2, 3, 1), align_corners=False) * alpha
    assert found.shape[1] == TEXTURE, found.shape
    return torch.cat((found, harmonic(normals, 1)), 1)


def turned_head(codes: Codes) -> Tensor:
    """[B, 3, 3]: the head's rotation in `codes`."""
    return rotation(codes["pose"][:, :3].float())


def _of(part: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(f"{part}."): tensor for name, tensor in tensors.items() if name.startswith(f"{part}.")}


def _counted(part: nn.Module, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """`tensors` with the counters of batch norms, which nobody reads and a module insists on."""
    return {name: torch.tensor(0) for name in part.state_dict() if name.endswith(manifests.COUNTER)} | tensors
