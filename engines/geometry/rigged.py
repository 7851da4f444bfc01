"""Rigged: a head with named facial actions as a binary glTF 2.0 that any viewer opens and animates by its morph targets.

PNG rather than WebP and no skin: what programs for such heads read today.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from PIL import Image

from engines import gltf


@dataclass(frozen=True)
class Rig:
    """A head at rest, and where its points go when it does something."""

    points: np.ndarray
    "[N, 3] float32 metres; y up, the face looks along +z."
    uv: np.ndarray
    "[N, 2] float32: 0..1 of the atlas, from its top left corner."
    light: np.ndarray
    "[N] float32 0..1 that colours are multiplied with."
    parts: dict[str, np.ndarray]
    "Of each named part its triangles [T, 3] int32, counter-clockwise from in front; in drawing order."
    actions: dict[str, np.ndarray]
    "Of each facial action by ARKit's name [N, 3] float32: by how much points move when it is whole."
    atlas: np.ndarray
    "[H, W, 4] uint8, straight alpha."


class HasRig(Protocol):
    """An engine whose avatars can be exported with named facial actions (engines.contract.Abilities.rig)."""

    def rig(self, avatar: Any) -> Rig:
        """The avatar at rest and what each action does to it."""
        ...


def packed(rig: Rig, note: str = "") -> bytes:
    """The file; `note` is kept within it."""
    buffer = gltf.Buffer()
    linear = np.full((len(rig.points), 4), 255, np.uint8)
    linear[:, :3] = np.rint(255 * np.clip(rig.light, 0, 1) ** 2.2)[:, None]
    attributes = {
        "POSITION": buffer.accessor(rig.points.astype(np.float32), gltf.VERTICES, bounds=True),
        "TEXCOORD_0": buffer.accessor(rig.uv.astype(np.float32), gltf.VERTICES),
        "COLOR_0": buffer.accessor(linear, gltf.VERTICES, normalized=True),
    }
    targets = [
        {"POSITION": buffer.accessor(moves.astype(np.float32), gltf.VERTICES, bounds=True)}
        for moves in rig.actions.values()
    ]
    kind = np.uint16 if len(rig.points) <= 65535 else np.uint32
    primitives = [
        {
            "attributes": attributes,
            "indices": buffer.accessor(triangles.astype(kind).ravel(), gltf.INDICES),
            "material": number,
            "targets": targets,
            "mode": gltf.TRIANGLES,
        }
        for number, triangles in enumerate(rig.parts.values())
    ]
    return gltf.packed(_scene(rig, primitives, buffer.view(_png(rig.atlas))), buffer, note)


def _scene(rig: Rig, primitives: list[dict[str, Any]], picture: int) -> dict[str, Any]:
    look = {"baseColorTexture": {"index": 0}, "metallicFactor": 0, "roughnessFactor": 1}
    materials = [
        {
            "name": name,
            "pbrMetallicRoughness": look,
            "alphaMode": "MASK",
            "alphaCutoff": 0.5,
            "doubleSided": True,
            "extensions": {"KHR_materials_unlit": {}},
        }
        for name in rig.parts
    ]
    names = list(rig.actions)
    mesh = {"name": "head", "primitives": primitives, "weights": [0.0] * len(names), "extras": {"targetNames": names}}
    return {
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"name": "head", "mesh": 0}],
        "meshes": [mesh],
        "materials": materials,
        "textures": [{"source": 0, "sampler": 0}],
        "samplers": [{"magFilter": 9729, "minFilter": 9987, "wrapS": 33071, "wrapT": 33071}],
        "images": [{"bufferView": picture, "mimeType": "image/png"}],
        "extensionsUsed": ["KHR_materials_unlit"],
    }


def _png(atlas: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(atlas).save(out, "PNG")
    return out.getvalue()
