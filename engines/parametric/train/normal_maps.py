"""Normal maps: true ones of meshes and rendered ones of networks, from the same cameras, made alike. In canonical axes, on white."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engines.parametric import march
from engines.parametric.march import Rays
from engines.parametric.network import Identity, gradient
from engines.parametric.sampling import SurfaceFirst

AWAY, FOCAL = 2.4, 1.9
"Canonical units between camera and head, and focal length over picture width: a head fills the picture."
YAW, PITCH = 90.0, 25.0
"Degrees to either side within which cameras are drawn."
NEAR_ENOUGH = 8.0
"Betas from the surface beyond which a ray meets so little that it counts as white and is not followed."


@dataclass(frozen=True)
class Looks:
    """Cameras of a batch, for square pictures."""

    intrinsics: Tensor
    "[B, 3, 3] pixels."
    cam2world: Tensor
    "[B, 4, 4]; they look along -z of their own frames."
    side: int

    def one(self, k: int) -> Looks:
        """The camera of picture `k` alone."""
        return Looks(self.intrinsics[k : k + 1], self.cam2world[k : k + 1], self.side)

    @property
    def rays(self) -> Rays:
        """One ray through each pixel, row by row: [B, H * H, 3]."""
        return march.rays(self.intrinsics, self.cam2world, self.side)


def drawn(count: int, side: int, rng: np.random.Generator) -> Looks:
    """Cameras all round the face, upright."""
    yaws, pitches = np.radians(rng.uniform(-YAW, YAW, count)), np.radians(rng.uniform(-PITCH, PITCH, count))
    poses = np.stack([_pose(yaw, pitch) for yaw, pitch in zip(yaws, pitches, strict=True)])
    lens = np.array([[FOCAL * side, 0, (side - 1) / 2], [0, FOCAL * side, (side - 1) / 2], [0, 0, 1]])
    return Looks(torch.from_numpy(np.repeat(lens[None], count, 0)).float(), torch.from_numpy(poses).float(), side)


def _pose(yaw: float, pitch: float) -> np.ndarray:
    """[4, 4] cam2world; radians."""
    back = np.array([math.sin(yaw) * math.cos(pitch), math.sin(pitch), math.cos(yaw) * math.cos(pitch)])
    right = np.cross([0.0, 1, 0], back)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, 0], pose[:3, 1], pose[:3, 2], pose[:3, 3] = right, np.cross(back, right), back, AWAY * back
    return pose


def of_meshes(vertices: np.ndarray, normals: np.ndarray, triangles: np.ndarray, looks: Looks) -> Tensor:
    """[B, 3, H, H] true maps of meshes [B, V, 3], as `march.picture` lays them out."""
    from engines.raster import textured  # needs numba, which a machine that only trains on samples may lack

    side, maps = looks.side, np.ones((len(vertices), looks.side, looks.side, 3), np.float32)
    owner, depth = np.empty((side, side), np.int32), np.empty((side, side), np.float32)
    blank, out = np.zeros((2, 2, 3), np.uint8), np.empty((side, side, 4), np.uint8)
    count = vertices.shape[1]
    plain = np.zeros((count, 2), np.float32), np.zeros((count, 4), np.float32), np.ones(count, np.float32)
    for k, (lens, pose) in enumerate(zip(looks.intrinsics.numpy(), looks.cam2world.numpy(), strict=True)):
        seen = (vertices[k] - pose[:3, 3]) @ pose[:3, :3]
        ahead = -seen[:, 2]
        x = side - 1 - lens[0, 2] + lens[0, 0] * seen[:, 0] / ahead
        y = lens[1, 2] - lens[1, 1] * seen[:, 1] / ahead
        places = np.stack([x + 0.5, y + 0.5, ahead], 1).astype(np.float32)  # rays go through whole pixel numbers
        textured.draw(places, triangles, *plain, blank, owner, depth, out)
        facing = normals[k][triangles].mean(1)
        facing /= np.maximum(np.linalg.norm(facing, axis=-1, keepdims=True), 1e-9)
        maps[k][owner >= 0] = facing[owner[owner >= 0]]
    return torch.from_numpy(maps).permute(0, 3, 1, 2).contiguous()


def of_network(
    network: Identity,
    planes: Tensor,
    looks: Looks,
    beta: Tensor,
    sampler: SurfaceFirst = SurfaceFirst(looks=1, fine=24),
) -> Tensor:
    """[B, 3, H, H] rendered maps of identities' planes, differentiable in them, the network and beta.

    Rays that keep well away from the surface are white without having been followed.
    """
    maps = []
    for one, own in zip(planes.split(1), _each(looks.rays), strict=True):
        blur = float(beta.detach())
        with torch.no_grad():
            ends = sampler(lambda points, one=one: network.sdf(one, points), own, blur, network.arch.reach)
            middles = (ends[..., 1:] + ends[..., :-1]) / 2
            away = network.sdf(one, own.at(middles).flatten(1, 2)).view(middles.shape).amin(-1)
        met = torch.nonzero(away[0] < NEAR_ENOUGH * blur)[:, 0]
        normal_map = torch.ones(1, own.origins.shape[1], 3, device=planes.device)
        if len(met):
            kept = Rays(own.origins[:, met], own.directions[:, met], own.ahead[:, met])
            normal_map = normal_map.index_copy(1, met, _followed(network, one, kept, ends[:, met], beta))
        maps.append(march.picture(normal_map))
    return torch.cat(maps)


def _followed(network: Identity, planes: Tensor, rays: Rays, ends: Tensor, beta: Tensor) -> Tensor:
    """[1, R, 3] normals of rays whose samples end at `ends` [1, R, S + 1]."""
    middles = (ends[..., 1:] + ends[..., :-1]) / 2
    points = rays.at(middles).flatten(1, 2).requires_grad_(True)
    sdf = network.sdf(planes, points)
    slopes = gradient(sdf, points, again=True).view(*middles.shape, 3)
    return march.composite_between(sdf.view(middles.shape), slopes, ends, beta)[1]


def _each(rays: Rays) -> list[Rays]:
    parts = zip(rays.origins.split(1), rays.directions.split(1), rays.ahead.split(1), strict=True)
    return [Rays(*part) for part in parts]
