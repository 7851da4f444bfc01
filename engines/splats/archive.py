"""Archive: the files of an exported avatar, out of an untrusted zip. What is no such zip is refused in one line that says what it is."""

from __future__ import annotations

import io
import zipfile
import zlib
from dataclasses import dataclass

from engines.contract import AvatarRefused

PLY, GLB = "offset.ply", "skin.glb"
MOST_BYTES = 64 << 20
"Of a zip, and of what it unpacks to. The public sample has 2.9 MB and 7.4; one of 100,000 Gaussians would have some 35."
MOST_FILES = 256
EXPORT = "export it anew with LAM (aigc3d/LAM), as its 'ARKit' form"
"What mends a file that is none of ours."
_OLDER = ("lbs_weight_20k.json", "bone_tree.json", "flame_params.json")
_MAGICS = (
    (b"\xff\xd8\xff", "a photo"), (b"\x89PNG", "a photo"), (b"RIFF", "a photo or a film"), (b"glTF", "a GLB alone"),
    (b"ply", "a PLY alone"), (b"\x1f\x8b", "a gzip"), (b"Rar!", "a RAR archive"), (b"7z\xbc\xaf", "a 7z archive"),
)  # fmt: skip


@dataclass(frozen=True)
class Exported:
    """The two files that an avatar is made of, as bytes."""

    ply: bytes
    "One Gaussian a vertex: offset, colour, opacity, size, turn."
    glb: bytes
    "The mesh on which they ride, with what each facial action adds."


def opened(data: bytes) -> Exported:
    """The files of an exported avatar. Raises AvatarRefused."""
    if len(data) > MOST_BYTES:
        raise AvatarRefused(
            "too-large", f"{len(data) >> 20} MB is no avatar: an exported one has about 3, {_MOST} at most"
        )
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _found(archive)
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        OSError,
        ValueError,
        RuntimeError,
    ) as failure:
        if isinstance(failure, AvatarRefused):
            raise
        raise AvatarRefused("not-an-avatar", _unreadable(data, failure)) from None


_MOST = f"{MOST_BYTES >> 20} MB"


def _unreadable(data: bytes, failure: Exception) -> str:
    kind = next((kind for magic, kind in _MAGICS if data.startswith(magic)), None)
    if kind is not None:
        return f"this is {kind}, and no avatar: bring the whole zip that LAM exports ({PLY} and {GLB} in one folder)"
    if data.startswith(b"PK"):
        return f"this zip is damaged or cut off ({type(failure).__name__}): send or export it again"
    return f"this is no zip, and so no avatar: {EXPORT}"


def _found(archive: zipfile.ZipFile) -> Exported:
    entries = [one for one in archive.infolist() if not one.is_dir() and not one.filename.startswith("__MACOSX/")]
    size = sum(one.file_size for one in entries)
    if size > MOST_BYTES or len(entries) > MOST_FILES:
        raise AvatarRefused(
            "too-large",
            f"this zip would unpack to {len(entries)} files of {size >> 20} MB, which no avatar does: {EXPORT}",
        )
    if any(one.flag_bits & 1 for one in entries):
        raise AvatarRefused("encrypted", "this zip is locked by a password: pack it again without one")
    if any(one.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for one in entries):
        raise AvatarRefused(
            "foreign-form", "this zip is packed by a method of its own: pack it again as an ordinary zip"
        )
    by_place = {one.filename.replace("\\", "/"): one for one in entries}
    for place in by_place:
        folder, _, name = place.rpartition("/")
        beside = f"{folder}/{GLB}" if folder else GLB
        if name == PLY and beside in by_place:
            return Exported(archive.read(by_place[place]), archive.read(by_place[beside]))
    raise AvatarRefused(*_foreign(list(by_place)))


def _foreign(places: list[str]) -> tuple[str, str]:
    """(reason, message) of a zip that holds something else."""
    names = {place.rpartition("/")[2] for place in places}
    if names & set(_OLDER) or any("h5_render_data/" in place for place in places):
        return "older-form", (
            "this is LAM's older form, which FLAME's bones and shapes drive (h5_render_data): its maker exports it anew as 'ARKit', "
            f"which has {PLY} and {GLB}"
        )
    if names & {PLY, GLB}:
        lacking = PLY if GLB in names else GLB
        return (
            "incomplete",
            f"{lacking} is missing beside {PLY if lacking == GLB else GLB}: pack the exported folder whole",
        )
    if any(name.lower().endswith(".zip") for name in names):
        return "foreign-form", "a zip is within this zip: unpack it once, and bring the inner one"
    if any(name.endswith((".ply", ".splat", ".spz", ".ksplat", ".sog")) for name in names):
        return "foreign-form", f"this is a scene of Gaussians without a face that moves: {EXPORT}"
    return "foreign-form", f"neither {PLY} nor {GLB} is in this zip: {EXPORT}"
