"""Outline: the identity moved until the head's outline lies on that of the portrait's matte. Hair counts as head: a photo's
colours are projected on what there is."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import torch
from torch import Tensor

from display import optics
from engines.contract import CROP
from engines.parametric.head import HeadModel
from engines.parametric.posing import IDENTITIES, Posed

RAYS, STEPS = 64, 20
SAMPLES = 24
"Along each ray, about the head's middle."
DEPTH = 0.45
"Canonical units before and behind the head's middle that rays are followed through."
RATE = 0.08
LANDMARKS, PRIOR = 20.0, 2e-3
"Of landmarks' mean square displacement and of the mean |c|^2, beside the mean distance between rays and surface in canonical units."
FURTHEST = 0.12
"Canonical units beyond which an outline is hair's, not the head's: it pulls no more."


def fit(model: HeadModel, posed: Posed, landmarks: np.ndarray, cam2world: np.ndarray, matte: np.ndarray) -> Posed:
    """`posed` with other coefficients: rays of the outline above the ears just touch the head, landmarks stay where they were.

    Of landmarks [478, 3] in crop pixels, cam2world [4, 4], matte [H, W] uint8; unchanged where fewer than RAYS / 4 pixels of an outline
    are seen."""
    pixels = border(matte, landmarks)
    if len(pixels) < RAYS // 4:
        return posed
    origins, directions = _rays(posed, cam2world, pixels)
    start = torch.from_numpy(posed.coefficients).float()
    found = start[None].clone().requires_grad_(True)
    by_identity = torch.einsum("kz,zlc->klc", model.basis[:IDENTITIES], model.landmarks[1:])
    optimiser = torch.optim.Adam([found], lr=RATE)
    for _ in range(STEPS):
        with torch.enable_grad():
            z = model.mean + found @ model.basis[:IDENTITIES]
            gap = _gap(model, z, origins, directions)
            moved = torch.tensordot(found[0] - start, by_identity, 1)
            loss = gap.abs().clamp(max=FURTHEST).mean() + LANDMARKS * moved.square().sum(-1).mean()
            loss = loss + PRIOR * found.square().mean()
            optimiser.zero_grad()
            loss.backward(inputs=[found])
        optimiser.step()
    return replace(posed, coefficients=found.detach()[0].double().numpy())


def border(matte: np.ndarray, landmarks: np.ndarray, count: int = RAYS) -> np.ndarray:
    """[<= count, 2] pixels of the matte's outline that lie above the mouth and within the picture."""
    mask = (matte > 0.5).astype(np.uint8)
    lines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not lines:
        return np.empty((0, 2))
    line = max(lines, key=cv2.contourArea)[:, 0].astype(np.float64)
    within = ((line > 4) & (line < CROP - 5)).all(1) & (line[:, 1] < landmarks[13, 1])
    kept = line[within]
    return kept[:: max(len(kept) // count, 1)][:count]


def _rays(posed: Posed, cam2world: np.ndarray, pixels: np.ndarray) -> tuple[Tensor, Tensor]:
    """Origins [R, 3] and unit directions [R, 3] in canonical space."""
    ahead = np.concatenate([(pixels - CROP / 2) / (optics.FOCAL * CROP), np.ones((len(pixels), 1))], 1)
    turned = ahead @ cam2world[:3, :3].T @ posed.rotation
    origin = (cam2world[:3, 3] - posed.shift) @ posed.rotation / posed.scale
    turned /= np.linalg.norm(turned, axis=1, keepdims=True)
    return torch.from_numpy(np.broadcast_to(origin, turned.shape).copy()).float(), torch.from_numpy(turned).float()


def _gap(model: HeadModel, z: Tensor, origins: Tensor, directions: Tensor) -> Tensor:
    """[R] the least signed distance along each ray: 0 where it touches the head."""
    nearest = -(origins * directions).sum(-1, keepdim=True)
    along = nearest + torch.linspace(-DEPTH, DEPTH, SAMPLES)
    points = (origins[:, None] + along[..., None] * directions[:, None]).view(1, -1, 3)
    return model.identity.sdf(model.identity.planes(z), points).view(len(origins), SAMPLES).amin(1)
