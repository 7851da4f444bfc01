"""Cloud as glTF: points with KHR_gaussian_splatting, which viewers that know it show as Gaussians and all others as dots, and facial
actions as sparse morph targets. docs/geometry.md, Asset."""

from __future__ import annotations

from typing import Any

import numpy as np

from engines import gltf
from engines.geometry.cloud import Cloud, Target

EXTENSION = "KHR_gaussian_splatting"
POINTS = 0
_HARMONIC = 0.28209479177387814
"The constant spherical harmonic: the extension keeps (colour - 0.5) / this."
_WHOLE = 32767
"int16 that stands for 1."


def scene(cloud: Cloud, buffer: gltf.Buffer, metres: float, told: dict[str, Any]) -> dict[str, Any]:
    """Its arrays go to `buffer`; `told`: what else is said of it; `metres`: a unit of the world."""
    names = [target.name for target in cloud.targets]
    primitive = {
        "attributes": _attributes(cloud, buffer),
        "targets": [{"POSITION": _target(target, len(cloud.points), buffer)} for target in cloud.targets],
        "material": 0,
        "mode": POINTS,
        "extensions": {EXTENSION: {"kernel": "ellipse", "colorSpace": "srgb_rec709_display"}},
    }
    mesh = {
        "name": "avatar",
        "primitives": [primitive],
        "weights": [0.0] * len(names),
        "extras": {"targetNames": names},
    }
    return {
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"name": "avatar", "mesh": 0, "scale": [metres] * 3}],
        "meshes": [mesh],
        "materials": [{"name": "dots", "alphaMode": "BLEND", "extensions": {"KHR_materials_unlit": {}}}],
        "extensionsUsed": ["KHR_materials_unlit", "KHR_mesh_quantization", EXTENSION],
        "extensionsRequired": ["KHR_mesh_quantization"],
        "extras": {"telequilt": {**told, "joints": 1, "controls": 0, "shades": 0, "coefficients": len(names)}},
    }


def cloud_of(file: gltf.File, told: dict[str, Any]) -> Cloud:
    """Raises KeyError, IndexError, TypeError or ValueError where it is none."""
    mesh = file.scene["meshes"][0]
    primitive = mesh["primitives"][0]
    at = primitive["attributes"]
    named = zip(mesh["extras"]["targetNames"], primitive["targets"], strict=True)
    harmonics = file.array(at[f"{EXTENSION}:SH_DEGREE_0_COEF_0"])
    return Cloud(
        engine=told["engine"],
        parallel=told["projection"] == "parallel",
        points=file.array(at["POSITION"]),
        scales=file.array(at[f"{EXTENSION}:SCALE"]),
        rotations=file.array(at[f"{EXTENSION}:ROTATION"]).astype(np.float32) / _WHOLE,
        colours=np.clip(0.5 + _HARMONIC * harmonics, 0, 1).astype(np.float32),
        opacities=file.array(at[f"{EXTENSION}:OPACITY"]),
        targets=tuple(_moved(file, name, target["POSITION"]) for name, target in named),
        fade=told["fade"],
    )


def _attributes(cloud: Cloud, buffer: gltf.Buffer) -> dict[str, int]:
    dots = np.rint(255 * np.concatenate([cloud.colours**2.2, cloud.opacities[:, None]], 1)).astype(np.uint8)
    harmonics = (cloud.colours - 0.5) / _HARMONIC
    return {
        "POSITION": buffer.accessor(cloud.points.astype(np.float32), gltf.VERTICES, bounds=True),
        "COLOR_0": buffer.accessor(dots, gltf.VERTICES, normalized=True),
        f"{EXTENSION}:ROTATION": buffer.accessor(_shorts(cloud.rotations), gltf.VERTICES, normalized=True),
        f"{EXTENSION}:SCALE": buffer.accessor(cloud.scales.astype(np.float32), gltf.VERTICES),
        f"{EXTENSION}:OPACITY": buffer.accessor(cloud.opacities.astype(np.float32), gltf.VERTICES),
        f"{EXTENSION}:SH_DEGREE_0_COEF_0": buffer.accessor(harmonics.astype(np.float32), gltf.VERTICES),
    }


def _target(target: Target, count: int, buffer: gltf.Buffer) -> int:
    moves = _shorts(target.moves)
    kept = moves.any(axis=1)
    return buffer.sparse(target.which[kept], moves[kept], count, normalized=True)


def _moved(file: gltf.File, name: str, index: int) -> Target:
    which, moves = file.sparse(index)
    return Target(name, which.astype(np.int32), moves.astype(np.float32) / _WHOLE)


def _shorts(numbers: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(numbers, -1, 1) * _WHOLE).astype(np.int16)
