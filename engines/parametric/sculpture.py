"""Sculpture: a driven head as a mesh for other programs: finer than frames need, moved by the network rather than by baked shapes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from engines import mesh
from engines.parametric import extraction
from engines.parametric.baking import displacements
from engines.parametric.drive import ParametricState
from engines.parametric.head import HeadModel


def sculpture(
    model: HeadModel, state: ParametricState, side: int, progress: Callable[[int, int], None] = lambda *_: None
) -> mesh.Mesh:
    """In world units, with the avatar's colours. Raises mesh.NoSurface or mesh.MeshingMissing."""
    from scipy.spatial import KDTree

    avatar = state.avatar
    z_id = torch.from_numpy(avatar.z_id)[None]
    found = extraction.surface(model.distance(z_id), side=side, progress=progress)
    code = model.expressions[:1] + torch.from_numpy(state.coefficients @ avatar.baked.to_codes)[None]
    moved = displacements(model, z_id, torch.from_numpy(found.vertices), code.float())[0]
    nearest = np.asarray(KDTree(avatar.vertices - avatar.baked.shut).query(found.vertices)[1])
    return mesh.Mesh(avatar.to_world(found.vertices + moved), found.faces, _colours(state)[nearest])


def _colours(state: ParametricState) -> np.ndarray:
    """[N, 3] uint8 of the avatar's own vertices."""
    coloured = state.avatar.coloured
    u, v = (np.clip(coloured.uv[:, k].astype(int), 0, coloured.texture.shape[1 - k] - 1) for k in range(2))
    share = coloured.colours[:, 3:]
    seen = (1 - share) * coloured.colours[:, :3] + share * coloured.texture[v, u]
    return (seen * state.avatar.light[:, None]).clip(0, 255).astype(np.uint8)
