"""GLB: an asset as a binary glTF 2.0 that any viewer of glTF opens, and back (docs/geometry.md)."""

from __future__ import annotations

import gzip
import hashlib
import io
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from PIL import Image
from scipy.sparse import csr_matrix

from display import label
from engines import gltf
from engines.geometry import cloud_glb
from engines.geometry.asset import METRES, Asset, Part
from engines.geometry.cloud import Cloud

VERSION = 1
TRIANGLES, SPLATS = "triangles", "splats"
"What avatars are drawn of."
QUALITY = 95
"Of the atlas: 44 dB in 80 KB, where 90 has 42 and 100 has 45; without loss it is 360 KB."
_WHOLE = 32767
"int16 that stands for a weight of 1."


class AssetUnreadable(ValueError):
    """These bytes are no asset, or none that this version knows."""


@dataclass(frozen=True)
class Packed:
    """An asset as it is served."""

    data: bytes

    @cached_property
    def gzipped(self) -> bytes:
        """Its bytes, smaller: the map of what moves with what is mostly small numbers."""
        return gzip.compress(self.data, 6)

    @cached_property
    def hash(self) -> str:
        """Of its bytes, in hexadecimal."""
        return hashlib.sha256(self.data).hexdigest()[:32]

    @property
    def number(self) -> int:
        """The 32 bits of the hash by which records say what they move."""
        return int(self.hash[:8], 16)


def packed(asset: Asset | Cloud, mark: str | None) -> Packed:
    """`asset` as it is served; `mark`: what every view says, or None for nothing."""
    buffer = gltf.Buffer()
    told = {
        "version": VERSION, "engine": asset.engine, "drawn": SPLATS if isinstance(asset, Cloud) else TRIANGLES,
        "projection": "parallel" if asset.parallel else "perspective", "fade": asset.fade,
        "metres": METRES if isinstance(asset, Cloud) else asset.metres,
        "mark": _mark(mark),
    }  # fmt: skip
    if isinstance(asset, Cloud):
        return Packed(gltf.packed(cloud_glb.scene(asset, buffer, METRES, told), buffer))
    return Packed(gltf.packed(_mesh(asset, buffer, told), buffer))


def _mesh(asset: Asset, buffer: gltf.Buffer, told: dict[str, Any]) -> dict[str, Any]:
    attributes = _attributes(asset, buffer)
    moves = asset.moves
    assert moves.shape is not None
    rows = {
        "starts": buffer.accessor(moves.indptr.astype(np.uint32)),
        "controls": buffer.accessor(moves.indices.astype(np.uint16)),
        "weights": buffer.accessor(np.rint(moves.data * _WHOLE).astype(np.int16), normalized=True),
    }
    kind = np.uint16 if len(asset.points) <= 65535 else np.uint32
    primitives = [
        {
            "attributes": attributes,
            "indices": buffer.accessor(part.triangles.astype(kind).ravel(), gltf.INDICES),
            "material": int(not part.culled),
            "mode": gltf.TRIANGLES,
        }
        for part in asset.parts
    ]
    picture = buffer.view(_webp(asset.atlas))
    joints = int(asset.joints.max()) + 1
    inverse = buffer.accessor(np.tile(np.eye(4, dtype=np.float32).ravel(), (joints, 1)))
    moved = {
        "joints": joints - 1, "controls": moves.shape[1], "shades": int(asset.shade.max()), "coefficients": 0, "moves": rows,
        "texture": {"crop": asset.crop, "largest": asset.largest},
    }  # fmt: skip
    return _scene(primitives, picture, joints, inverse, told | moved)


def unpacked(data: bytes) -> tuple[Asset | Cloud, str | None]:
    """The asset in `data`, and what every view says. Raises AssetUnreadable."""
    try:
        file = gltf.unpacked(data)
        told = file.scene["extras"]["telequilt"]
        if told["version"] != VERSION:
            raise AssetUnreadable(f"an asset of version {told['version']}, not {VERSION}")
        read = cloud_glb.cloud_of if told["drawn"] == SPLATS else _asset
        return read(file, told), told["mark"] and told["mark"]["text"]
    except AssetUnreadable:
        raise
    except (LookupError, TypeError, ValueError) as error:
        raise AssetUnreadable(f"not an asset: {error}") from None


def _asset(file: gltf.File, told: dict[str, Any]) -> Asset:
    primitives = file.scene["meshes"][0]["primitives"]
    at = {name: file.array(index) for name, index in primitives[0]["attributes"].items()}
    rows = {name: file.array(index) for name, index in told["moves"].items()}
    weights = rows["weights"].astype(np.float32) / _WHOLE
    two_sided = [material.get("doubleSided", False) for material in file.scene["materials"]]
    parts = tuple(
        Part(file.array(one["indices"]).reshape(-1, 3).astype(np.int32), not two_sided[one["material"]])
        for one in primitives
    )
    picture = Image.open(io.BytesIO(file.view(file.scene["images"][0]["bufferView"])))
    return Asset(
        engine=told["engine"],
        parallel=told["projection"] == "parallel",
        points=at["POSITION"],
        uv=at["TEXCOORD_0"],
        light=at["_LIGHT"],
        shade=at["_SHADE"].astype(np.int32),
        joints=at["JOINTS_0"],
        weights=at["WEIGHTS_0"],
        moves=csr_matrix((weights, rows["controls"], rows["starts"]), (len(at["POSITION"]), told["controls"])),
        parts=parts,
        atlas=np.asarray(picture.convert("RGBA")),
        crop=told["texture"]["crop"],
        largest=told["texture"]["largest"],
        fade=told["fade"],
        metres=told["metres"],
    )


def _attributes(asset: Asset, buffer: gltf.Buffer) -> dict[str, int]:
    linear = np.full((len(asset.points), 4), 255, np.uint8)
    linear[:, :3] = np.rint(255 * np.clip(asset.light, 0, 1) ** 2.2)[:, None]
    return {
        "POSITION": buffer.accessor(asset.points.astype(np.float32), gltf.VERTICES, bounds=True),
        "TEXCOORD_0": buffer.accessor(asset.uv.astype(np.float32), gltf.VERTICES),
        "JOINTS_0": buffer.accessor(asset.joints.astype(np.uint8), gltf.VERTICES),
        "WEIGHTS_0": buffer.accessor(asset.weights.astype(np.float32), gltf.VERTICES),
        "COLOR_0": buffer.accessor(linear, gltf.VERTICES, normalized=True),
        "_LIGHT": buffer.accessor(asset.light.astype(np.float32), gltf.VERTICES),
        "_SHADE": buffer.accessor(asset.shade.astype(np.float32), gltf.VERTICES),
    }


def _scene(
    primitives: list[dict[str, Any]], picture: int, joints: int, inverse: int, told: dict[str, Any]
) -> dict[str, Any]:
    """A skinned mesh beside its skeleton, which has life size."""
    names = ["still", *(f"moved {number}" for number in range(1, joints))]
    nodes = [
        {"name": "avatar", "mesh": 0, "skin": 0},
        {"name": "metres", "scale": [told["metres"]] * 3, "children": list(range(2, 2 + joints))},
        *({"name": name} for name in names),
    ]
    colours = {"baseColorTexture": {"index": 0}, "metallicFactor": 0, "roughnessFactor": 1}
    front = {
        "name": "seen from the front",
        "pbrMetallicRoughness": colours,
        "alphaMode": "BLEND",
        "extensions": {"KHR_materials_unlit": {}},
    }
    return {
        "scene": 0,
        "scenes": [{"nodes": [0, 1]}],
        "nodes": nodes,
        "meshes": [{"name": "avatar", "primitives": primitives}],
        "skins": [{"joints": list(range(2, 2 + joints)), "inverseBindMatrices": inverse, "skeleton": 1}],
        "materials": [front, {**front, "name": "seen from both sides", "doubleSided": True}],
        "textures": [{"sampler": 0, "extensions": {"EXT_texture_webp": {"source": 0}}}],
        "samplers": [{"magFilter": 9729, "minFilter": 9987, "wrapS": 33071, "wrapT": 33071}],
        "images": [{"bufferView": picture, "mimeType": "image/webp"}],
        "extensionsUsed": ["KHR_materials_unlit", "EXT_texture_webp"],
        "extensionsRequired": ["EXT_texture_webp"],
        "extras": {"telequilt": told},
    }


def _webp(atlas: np.ndarray) -> bytes:
    """Colours are kept where alpha is 0 too: filtering mixes them in."""
    out = io.BytesIO()
    Image.fromarray(atlas).save(out, "WEBP", quality=QUALITY, method=4, exact=True, use_sharp_yuv=True)
    return out.getvalue()


def _mark(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    strokes, advance = label.lines(text)
    return {
        "text": text,
        "lines": [[round(number, 4) for point in stroke for number in point] for stroke in strokes],
        "advance": round(advance, 4),
        "safe": label.SAFE_SHARE, "height": label.HEIGHT_SHARE, "smallest": label.SMALLEST_CAPITAL,
        "shortest": label.SHORTEST_CAPITAL, "opacity": label.OPACITY, "plate": label.PLATE_OPACITY,
    }  # fmt: skip
