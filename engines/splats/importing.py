"""Importing: an exported avatar's zip -> SplatAvatar, whole and checked. The file is untrusted; what does not fit is refused in one line.

The form is LAM's (aigc3d/LAM, tools/generateARKITGLBWithBlender.py): `skin.glb`, a mesh in metres with 51 sparse morph targets, and
`offset.ply`, of whose rows the i-th is the Gaussian on vertex i: where it lies from its vertex, colour as it is, opacity as a logit,
size as the logarithm of metres, turn as w x y z.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from engines import gltf
from engines.actions import ACTIONS, INDEX
from engines.contract import AvatarRefused, Brought
from engines.splats import archive, ply
from engines.splats.avatar import SplatAvatar, neck_share

LAM = "made with LAM, whose weights are CC BY-NC 4.0; whether that holds for an avatar too is unanswered: take it as not for commercial use"
"LICENSE_WEIGHT and issue 106 of aigc3d/LAM: its training data is not for commercial use either."
_COLUMNS = (
    "x",
    "y",
    "z",
    "f_dc_0",
    "f_dc_1",
    "f_dc_2",
    "opacity",
    *(f"scale_{i}" for i in range(3)),
    *(f"rot_{i}" for i in range(4)),
)
LEAST, MOST = 1_000, ply.MOST_ROWS
"Gaussians. LAM makes 20,018."
MOST_TARGETS = 4_000_000
"Entries of all targets together; the sample has 188,603."
MOST_TRIANGLES = 2 * MOST
"A closed surface has two for each vertex."
FURTHEST = 0.1
"Metres that LAM lets a Gaussian leave its vertex by; places of their own would be 1.5 m and more from it."
LARGEST_MOVE, LARGEST_SCALE = 0.2, 0.1
"Metres: of an action (jawOpen 0.05 in the sample), of a Gaussian's standard deviation (0.01)."
LEAST_TURN = 1e-3
"Of a quaternion's length, which says nothing; and its inverse the most."
EYE_TO_EYE = 0.04, 0.09
"Metres between two people's eyes, with room: adults have 0.054 to 0.074."
WORLD_EYES = np.array([[-0.0854, 0.0877, 0.1757], [0.0854, 0.0877, 0.1757]], np.float32)
"""Where the middles of the canonical face's eyeballs are in the world, the person's right one first: a centimetre
behind the irises, (-+3.16, 2.63, 3.65) centimetres, by the framing of pipeline/preprocess/framing.py."""
NEIGHBOURS_ALIKE = 0.6
"""Of the mean difference in colour of any two Gaussians, that of neighbours on the mesh is less than this share where the two files
are in one order: 0.31 in the sample, 0.86 and more with its rows in any other order."""


def bring(data: bytes) -> Brought:
    """An exported avatar's zip as what is kept of it. Raises AvatarRefused."""
    exported = archive.opened(data)
    avatar, scene = _assembled(exported)
    return Brought(arrays(avatar), _licence(scene))


def arrays(avatar: SplatAvatar) -> dict[str, np.ndarray]:
    """What is kept of an avatar: its fields by name."""
    return {name: np.ascontiguousarray(value) for name, value in vars(avatar).items()}


def made(kept: Mapping[str, np.ndarray]) -> SplatAvatar:
    """The avatar of what `arrays` gave. Raises ValueError where it is not that."""
    try:
        avatar = SplatAvatar(**kept)
    except (TypeError, AssertionError, AttributeError) as wrong:
        raise ValueError(f"not what is kept of an avatar of Gaussians: {wrong}") from None
    floats = [array for array in kept.values() if array.dtype != np.int32]
    if any(array.dtype != np.float32 or not np.isfinite(array).all() for array in floats):
        raise ValueError("what is kept of this avatar is not finite, or of another type")
    rising = avatar.starts[0] == 0 and (np.diff(avatar.starts) >= 0).all() and avatar.starts[-1] == len(avatar.which)
    if not rising or (len(avatar.which) and not 0 <= avatar.which.min() <= avatar.which.max() < len(avatar)):
        raise ValueError("what is kept of this avatar points outside of it")
    return avatar


def _licence(scene: dict[str, Any]) -> str:
    """As the file itself says, where this program wrote it; all others are taken for LAM's."""
    said = scene.get("asset", {})
    note = said.get("extras", {}).get("note") if said.get("generator") == "telequilt" else None
    return str(note)[:200] if note else LAM


def _assembled(exported: archive.Exported) -> tuple[SplatAvatar, dict[str, Any]]:
    rows = _gaussians(exported.ply)
    try:
        file = gltf.unpacked(exported.glb)
        vertices, triangles, targets = _mesh(file)
        _require_one_order(rows, vertices, triangles)
        eyes = _eyes(vertices, triangles, targets)
    except AvatarRefused:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError, OverflowError) as failure:
        raise _refused(f"{archive.GLB} cannot be read ({str(failure)[:120]})") from None
    return _placed(rows, vertices, targets, eyes), file.scene


def _gaussians(data: bytes) -> np.ndarray:
    """[N, 14] float32 of _COLUMNS, checked."""
    try:
        rows, others = ply.columns(data, _COLUMNS)
    except ply.PlyUnreadable as failure:
        raise _refused(f"{archive.PLY} does not fit: {failure}") from None
    if any(name.startswith("f_rest") for name in others):
        raise _refused(f"{archive.PLY} has colours that change with the angle, which LAM does not make")
    if not LEAST <= len(rows) <= MOST:
        raise _refused(f"{archive.PLY} has {len(rows)} Gaussians; {LEAST} to {MOST} are a head")
    if not np.isfinite(rows).all():
        raise _refused(f"{archive.PLY} holds values that are no numbers")
    if np.abs(rows[:, :3]).max() > 1.01 * FURTHEST:
        raise _refused(f"{archive.PLY} holds places, or metres are not its unit: an offset is {FURTHEST} m at most")
    if rows[:, 3:6].min() < -0.1 or rows[:, 3:6].max() > 1.1:
        raise _refused(f"the colours in {archive.PLY} are not from 0 to 1: those of a scene of Gaussians, not of LAM")
    turns = np.linalg.norm(rows[:, 10:].astype(np.float64), axis=1)
    if rows[:, 7:10].max() > np.log(LARGEST_SCALE) or turns.min() < LEAST_TURN or turns.max() > 1 / LEAST_TURN:
        raise _refused(
            f"sizes or turns in {archive.PLY} are out of range: a Gaussian of {LARGEST_SCALE} m, or turned by nothing"
        )
    return rows


_Targets = list[tuple[np.ndarray, np.ndarray]]
"Of each action: which vertices it moves [M], and by how much [M, 3], metres."


def _mesh(file: gltf.File) -> tuple[np.ndarray, np.ndarray, _Targets]:
    """(vertices [N, 3] metres, triangles [T, 3], targets in the order of ACTIONS). Raises as gltf.File does, and AvatarRefused."""
    meshes = file.scene["meshes"]
    if len(meshes) != 1 or len(meshes[0]["primitives"]) != 1:
        raise _refused(f"{archive.GLB} holds {len(meshes)} meshes, not a head in one piece")
    mesh, primitive = meshes[0], meshes[0]["primitives"][0]
    vertices = file.array(primitive["attributes"]["POSITION"])
    triangles = _triangles(file, primitive["indices"])
    names, targets = mesh.get("extras", {}).get("targetNames", []), primitive.get("targets", [])
    by_name = dict(zip(names, targets, strict=False))
    missing = [name for name in ACTIONS if name not in by_name]
    if missing or len(names) != len(targets):
        raise _refused(
            f"{archive.GLB} lacks {len(missing)} of the 51 facial actions, {', '.join(missing[:3]) or 'or their names'}"
        )
    _check_vertices(vertices, triangles)
    stored = [by_name[name]["POSITION"] for name in ACTIONS]
    _check_sizes([file.scene["accessors"][index] for index in stored], len(vertices))
    return vertices, triangles, _checked([file.sparse(index) for index in stored], len(vertices))


def _triangles(file: gltf.File, index: int) -> np.ndarray:
    corners = file.array(index)
    if len(corners) > 3 * MOST_TRIANGLES or corners.dtype.kind not in "iu":
        raise ValueError("its triangles are too many, or none")
    return corners.astype(np.int64).reshape(-1, 3)


def _check_vertices(vertices: np.ndarray, triangles: np.ndarray) -> None:
    if vertices.ndim != 2 or vertices.shape[1] != 3 or vertices.dtype != np.float32 or not np.isfinite(vertices).all():
        raise ValueError("its places are no numbers")
    if not len(triangles) or triangles.min() < 0 or triangles.max() >= len(vertices):
        raise ValueError("its triangles point outside")
    size = float(np.ptp(vertices, axis=0).max())
    if not 0.1 < size < 1.0:
        raise _refused(f"the head in {archive.GLB} is {size:.3g} m large: its unit is not the metre")


def _check_sizes(accessors: list[dict[str, Any]], count: int) -> None:
    """Before anything of them is read: all may be one and the same array of as much as a zip may hold, which is then there 51 times."""
    if any(one["count"] != count for one in accessors):
        raise ValueError("its facial actions are of another mesh")
    entries = [one.get("sparse", one)["count"] for one in accessors if "sparse" in one or "bufferView" in one]
    if min(entries, default=0) < 0 or sum(entries) > MOST_TARGETS:
        raise ValueError("its facial actions move too much")


def _checked(targets: _Targets, count: int) -> _Targets:
    for name, (which, moves) in zip(ACTIONS, targets, strict=True):
        if moves.shape != (len(which), 3) or moves.dtype != np.float32 or (len(which) and which[-1] >= count):
            raise ValueError(f"{name} points outside")
        if not np.isfinite(moves).all() or (len(moves) and np.abs(moves).max() > LARGEST_MOVE):
            raise _refused(f"{name} in {archive.GLB} moves by more than {LARGEST_MOVE} m, or by what is no number")
    return targets


def _require_one_order(rows: np.ndarray, vertices: np.ndarray, triangles: np.ndarray) -> None:
    """Row i belongs to vertex i: as many, and neighbours on the mesh are alike in colour. Raises AvatarRefused."""
    if len(rows) != len(vertices):
        raise _refused(
            f"{archive.PLY} has {len(rows)} Gaussians and {archive.GLB} {len(vertices)} vertices: not of one avatar"
        )
    near = np.concatenate([triangles[:, :2], triangles[:, 1:]])
    far = np.random.default_rng(0).integers(0, len(rows), near.shape)
    shown = 1 / (1 + np.exp(-rows[:, 6]))

    def apart(pairs: np.ndarray) -> float:
        weight = shown[pairs[:, 0]] * shown[pairs[:, 1]]
        difference = np.abs(rows[pairs[:, 0], 3:6] - rows[pairs[:, 1], 3:6]).mean(axis=1)
        return float((weight * difference).sum() / max(weight.sum(), 1e-9))

    anywhere = apart(far)
    if anywhere > 0.01 and apart(near) > NEIGHBOURS_ALIKE * anywhere:  # a head of one colour tells nothing
        raise _refused(f"the rows of {archive.PLY} are not in the order of the vertices of {archive.GLB}")


def _eyes(vertices: np.ndarray, triangles: np.ndarray, targets: _Targets) -> np.ndarray:
    """[2, 3] metres: the middles of the eyeballs, the person's right one first. An eyeball is a piece of the mesh of its own, and that
    eye's look to the side moves it. Raises AvatarRefused."""
    piece, middles = _pieces(len(vertices), triangles), []
    for side in ("Right", "Left"):
        which, moves = targets[INDEX[f"eyeLookOut{side}"]]
        moved = np.bincount(piece[which], np.linalg.norm(moves, axis=1), piece.max() + 1) if len(which) else np.zeros(1)
        moved[np.bincount(piece, minlength=len(moved)) > len(vertices) / 2] = 0  # the skin follows too
        if moved.max() <= 0:
            raise _refused(
                f"{archive.GLB} has no eyeballs: pieces of their own that turn with eyeLookOutRight and -Left"
            )
        ball = vertices[piece == moved.argmax()]
        middles.append((ball.min(axis=0) + ball.max(axis=0)) / 2)
    eyes = np.stack(middles)
    across = eyes[1] - eyes[0]
    if not (EYE_TO_EYE[0] < across[0] < EYE_TO_EYE[1] and np.abs(across[1:]).max() < 0.01):
        raise _refused(
            f"the eyes in {archive.GLB} are not beside each other: y is up, z to the front, x to the person's left, in metres"
        )
    if eyes[:, 2].mean() < vertices[:, 2].mean():
        raise _refused(f"the face in {archive.GLB} looks along -z: z is to the front")
    return eyes


def _pieces(count: int, triangles: np.ndarray) -> np.ndarray:
    """[N]: the number of the piece of the mesh to which each vertex belongs."""
    edges = np.concatenate([triangles[:, :2], triangles[:, 1:]])
    label = np.arange(count)
    while True:
        lower = np.minimum(label[edges[:, 0]], label[edges[:, 1]])
        spread = label.copy()
        for end in (0, 1):
            np.minimum.at(spread, edges[:, end], lower)
        spread = spread[spread]
        if (spread == label).all():
            return np.unique(label, return_inverse=True)[1]
        label = spread


def _placed(rows: np.ndarray, vertices: np.ndarray, targets: _Targets, eyes: np.ndarray) -> SplatAvatar:
    """In the world, its eyes where the canonical face has them."""
    gain = float(WORLD_EYES[1, 0] - WORLD_EYES[0, 0]) / float(eyes[1, 0] - eyes[0, 0])
    middle = eyes.mean(axis=0)

    def to_world(places: np.ndarray) -> np.ndarray:
        return ((places - middle) * gain + WORLD_EYES.mean(axis=0)).astype(np.float32)

    counts, points = [len(which) for which, _ in targets], to_world(vertices + rows[:, :3])
    return SplatAvatar(
        points=points,
        starts=np.concatenate([[0], np.cumsum(counts)]).astype(np.int32),
        which=np.concatenate([which for which, _ in targets]).astype(np.int32),
        moves=(np.concatenate([moves for _, moves in targets]) * gain).astype(np.float32),
        colours=np.clip(rows[:, 3:6], 0, 1).astype(np.float32),
        opacities=(neck_share(points) / (1 + np.exp(-rows[:, 6]))).astype(np.float32),
        scales=(np.exp(rows[:, 7:10]) * gain).astype(np.float32),
        rotations=(rows[:, 10:] / np.linalg.norm(rows[:, 10:], axis=1, keepdims=True)).astype(np.float32),
        eyes=to_world(eyes),
    )


def _refused(what: str) -> AvatarRefused:
    return AvatarRefused("not-an-avatar", f"{what}: {archive.EXPORT}")
