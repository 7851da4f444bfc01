"""FLAME as ROME uses it (arXiv 2206.08343, section 3.1; FLAME itself: Li et al. 2017): only the jaw turns before the head does.

Frame: x the subject's left, y up, z out of the face; metres. Head, neck and eyes stay as they are modelled; the head's rotation is
applied when it is projected, about the root joint. Everything is float32, whatever the networks are in.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engines.raster import plain
from engines.raster.plain import Fragments
from engines.rome.visible import rasterised


class Posed(NamedTuple):
    """B heads with their jaws where they are, not yet turned."""

    vertices: Tensor
    "[B, N, 3]."
    root: Tensor
    "[B, 3]: what the head turns about."
    hinge: Tensor
    "[B, 3]: what the jaw turns about."


class Flame(nn.Module):
    """A FLAME head's tensors, with ROME's texture coordinates and the vertices that it may move."""

    template: Tensor
    "[N, 3]."
    shapes: Tensor
    "[N, 3, 100], metres by standard deviation."
    expressions: Tensor
    "[N, 3, 50]."
    jaw_shapes: Tensor
    "[N, 3, 9], by the entries of the jaw's rotation matrix less the identity, row by row: no other joint ever turns."
    joints: Tensor
    "[2, N]: root and jaw as means of vertices."
    jaw_weight: Tensor
    "[N]: 1 goes with the jaw."
    faces: Tensor
    "[F, 3] int32."
    uv_faces: Tensor
    "[F, 3] int32 into `uv`."
    uv: Tensor
    "[M, 2], -1..1, y down."
    vertex_uv: Tensor
    "[N, 2] as `uv`: one place for each vertex, which need not be one of `uv`."
    movable: Tensor
    "[N]: 1 on hair, neck and shoulders, whose vertices may leave the head."
    hair: Tensor
    "[N]: 1 on the hair alone."

    def __init__(self, tensors: dict[str, Tensor], side: int) -> None:
        """`side`: of the texture in pixels."""
        super().__init__()
        for name in self.names():
            self.register_buffer(name, tensors[name])
        seen = atlas(self.uv, self.uv_faces, side)
        self.register_buffer("_atlas_face", seen.face, persistent=False)
        self.register_buffer("_atlas_place", seen.barycentric, persistent=False)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """What its tensors are called."""
        return tuple(cls.__annotations__)

    @property
    def corners_uv(self) -> Tensor:
        """[F, 3, 2]: where each triangle's corners lie in the texture."""
        return self.uv[self.uv_faces.long()]

    def posed(
        self,
        shape: Tensor,  # [B, 100]
        expression: Tensor,  # [B, 50]
        jaw: Tensor,  # [B, 3] axis-angle
    ) -> Posed:
        """The heads of these codes, in metres, jaw turned and nothing else (FLAME, Li et al. 2017: shapes, correctives, skinning)."""
        shaped = self.template + torch.einsum("nck,bk->bnc", self.shapes, shape)
        shaped = shaped + torch.einsum("nck,bk->bnc", self.expressions, expression)
        root, hinge = torch.einsum("jn,bnc->jbc", self.joints, shaped)
        turn = rotation(jaw)
        opened = (turn - torch.eye(3, device=turn.device)).flatten(1)
        corrected = shaped + torch.einsum("nck,bk->bnc", self.jaw_shapes, opened)
        from_hinge = corrected - hinge[:, None]
        turned = from_hinge @ turn.transpose(1, 2) - from_hinge
        return Posed(corrected + self.jaw_weight[:, None] * turned, root, hinge)

    def normals(self, vertices: Tensor) -> Tensor:
        """[B, N, 3] unit normals: the sum of the triangles' about a vertex, each as long as its triangle is large."""
        faces = self.faces.long()
        a, b, c = (vertices[:, faces[:, k]] for k in range(3))
        cross = torch.linalg.cross(b - a, c - a)
        summed = torch.zeros_like(vertices)
        for k in range(3):
            summed.index_add_(1, faces[:, k], cross)
        return F.normalize(summed, dim=-1, eps=1e-6)

    def unwrapped(self, vertices: Tensor) -> Tensor:
        """[B, 3, S, S]: `vertices` [B, N, 3] laid out as the texture is; 0 between its islands. Where is known beforehand."""
        seen = Fragments(self._atlas_face, self._atlas_place)  # type: ignore[arg-type]
        of_corners = vertices[:, self.faces.long()]
        return torch.cat([plain.interpolated(seen, one) for one in of_corners])


def atlas(uv: Tensor, uv_faces: Tensor, side: int) -> Fragments:
    """Which triangle each texel of a texture belongs to; `uv` [M, 2] in -1..1, y down."""
    flat = torch.cat((uv, torch.ones_like(uv[:, :1])), 1)[None]
    return rasterised(flat, uv_faces, side)


def rotation(axis_angle: Tensor) -> Tensor:
    """[B, 3, 3] of [B, 3]: Rodrigues' formula, with the release's guard against a turn of nothing."""
    angle = (axis_angle + 1e-8).norm(dim=1)[:, None, None]
    x, y, z = (axis_angle / angle[:, 0]).unbind(1)
    none = torch.zeros_like(x)
    cross = torch.stack((none, -z, y, z, none, -x, -y, x, none), 1).view(-1, 3, 3)
    return torch.eye(3, device=cross.device) + angle.sin() * cross + (1 - angle.cos()) * (cross @ cross)
