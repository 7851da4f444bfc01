"""Heads: avatars that were made elsewhere, as zips that are spoilt: the zip, its table of Gaussians, its mesh, what that says of itself."""

from __future__ import annotations

import io
import json
import random
import re
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from benchmarks.hostile.chance import NUMBERS, WORDS, changed, value
from engines.splats.archive import GLB, PLY

Files = dict[str, bytes]
PLACES = (
    "../../../{}",
    "/{}",
    "..\\..\\{}",
    "C:\\{}",
    "a/./b/../{}",
    "{}\0.txt",
    "{}/",
    "\x1b[31m/{}",
    "\u202e/{}",
    "x" * 4000 + "/{}",
    "__MACOSX/{}",
)
"Where a file of a zip may claim to belong: out of its folder, nowhere, or where a terminal goes wrong."
BOMB = 60 << 20
"Bytes of nothing, within what a zip may unpack to: what reads them must bear them."
MANY = 5_000_000
NAN, INFINITE, ENORMOUS, TINY = 0x7FC00000, 0x7F800000, 0x7F7FFFFF, 0x00000001
"Bits of float32."


def heads(luck: random.Random, whole: bytes) -> Iterator[bytes]:
    """Without end: what has become of a good avatar's zip, `whole`."""
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        files = {place.rpartition("/")[2]: archive.read(place) for place in archive.namelist()}
    files = {PLY: files[PLY], GLB: files[GLB]}
    kinds: tuple[Callable[[], bytes], ...] = (
        lambda: changed(luck, whole),
        lambda: whole[: luck.randrange(4, len(whole))],
        lambda: _foreign(luck, files),
        lambda: _misplaced(luck, files),
        lambda: _packed_otherwise(luck, files),
        lambda: zipped(files | _bomb(luck, files)),
        lambda: zipped(files | {PLY: _table(luck, files[PLY])}),
        lambda: zipped(files | {PLY: _table(luck, files[PLY])}),
        lambda: zipped(files | {GLB: _mesh(luck, files[GLB])}),
        lambda: zipped(files | {GLB: _mesh(luck, files[GLB])}),
        lambda: zipped(files | {GLB: _numbers(luck, files[GLB])}),
        lambda: zipped({name: changed(luck, data) for name, data in files.items()}),
    )
    while True:
        yield luck.choice(kinds)()


def zipped(files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, method, 1)
    return packed.getvalue()


def _foreign(luck: random.Random, files: Files) -> bytes:
    """Other forms, halves, one within another, far too many."""
    return zipped(
        luck.choice(
            (
                {GLB: files[GLB]},
                {"a/" + PLY: files[PLY], "b/" + GLB: files[GLB]},
                {PLY: files[GLB], GLB: files[PLY]},
                {"h5_render_data/lbs_weight_20k.json": b"{}", "h5_render_data/offset.ply": files[PLY]},
                {"point_cloud.ply": files[PLY]},
                {"scene.splat": files[PLY][-3200:]},
                {"inner.zip": zipped(files)},
                {f"{number}/{PLY}": b"" for number in range(luck.choice((200, 3000)))},
                {},
            )
        )
    )


def _misplaced(luck: random.Random, files: Files) -> bytes:
    place = luck.choice(PLACES)
    return zipped({place.format(name): data for name, data in files.items()})


def _packed_otherwise(luck: random.Random, files: Files) -> bytes:
    """By another method, or by one that the head of an entry names wrongly; a link; locked; of a size that is not true."""
    made = bytearray(zipped(files, luck.choice((zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))))
    entry = made.find(b"PK\x01\x02")
    at, form, values = luck.choice(
        (
            (10, "<H", (0, 8, 9, 12, 14, 93, 99)),  # method
            (8, "<H", (1, 0x41, 0x800, 0xFFFF)),  # flags
            (20, "<I", (0, 1, 0xFFFFFFFF)),  # packed size
            (24, "<I", (0, 1, 100, 0xFFFFFFFF)),  # size
            (16, "<I", (0, 7)),  # checksum
            (28, "<H", (0, 0xFFFF)),  # length of the name
            (30, "<H", (4, 0xFFFF)),  # of what is more
            (38, "<I", (0o120777 << 16,)),  # a symbolic link
            (42, "<I", (0, 5, 0xFFFFFFFF)),  # where it lies
        )
    )
    struct.pack_into(form, made, entry + at, luck.choice(values))
    if luck.random() < 0.3:  # as the file's own head says, too: the first of an LZMA stream is its settings
        begins = 30 + len(PLY)
        made[begins : begins + 9] = luck.randbytes(9)
    return bytes(made)


def _bomb(luck: random.Random, files: Files) -> Files:
    """What is small to send and large to have."""
    scene, binary = unpacked(files[GLB])
    match luck.randrange(5):
        case 0:
            return {PLY: files[PLY] + bytes(BOMB)}
        case 1:  # a scene of countless things
            return {GLB: packed({**scene, "extras": [{}] * MANY}, binary)}
        case 2:  # every action moves all there is, by as much memory as there is
            _dense(scene, len(binary))
            return {GLB: packed(scene, binary + b"\1" * (BOMB - len(binary)))}
        case 3:  # triangles without end, all of them one
            primitive = scene["meshes"][0]["primitives"][0]
            scene["bufferViews"].append({"buffer": 0, "byteOffset": len(binary), "byteLength": 6 * MANY})
            accessor = {"bufferView": len(scene["bufferViews"]) - 1, "componentType": 5123, "type": "SCALAR"}
            scene["accessors"].append(accessor | {"count": 3 * MANY})
            primitive["indices"] = len(scene["accessors"]) - 1
            return {GLB: packed(scene, binary + bytes(6 * MANY))}
    return {GLB: packed(scene, binary)[:20] + b"[" * BOMB}


def _dense(scene: dict[str, Any], begins: int) -> None:
    scene["bufferViews"].append({"buffer": 0, "byteOffset": begins, "byteLength": BOMB - begins})
    accessor = {"bufferView": len(scene["bufferViews"]) - 1, "componentType": 5126, "type": "VEC3"}
    scene["accessors"].append(accessor | {"count": (BOMB - begins) // 12})
    for target in scene["meshes"][0]["primitives"][0]["targets"]:
        target["POSITION"] = len(scene["accessors"]) - 1


def _table(luck: random.Random, ply: bytes) -> bytes:
    """Of Gaussians: other columns, another count, or values that are none."""
    begins = ply.index(b"end_header\n") + 11
    head, rows = ply[:begins], bytearray(ply[begins:])
    width = 4 * head.count(b"property float")
    match luck.randrange(8):
        case 0:
            head = re.sub(rb"vertex \d+", b"vertex %d" % luck.choice((0, 1, 399_999, 10**8)), head)
        case 1:
            head = head.replace(luck.choice((b"float", b"little", b"vertex", b"opacity", b"rot_0")), b"double", 1)
        case 2:
            head = head.replace(b"end_header", b"property list uchar int x\nelement face 1\nend_header", 1)
        case 3:
            return changed(luck, head) + bytes(rows)
        case 4:
            return head + bytes(rows[: luck.randrange(len(rows))])
        case _:
            column = 4 * luck.randrange(width // 4)
            bits = luck.choice((NAN, INFINITE, ENORMOUS, TINY, NAN | 1 << 31, ENORMOUS | 1 << 31, luck.getrandbits(32)))
            all_of_them = luck.random() < 0.5
            for row in range(0, len(rows), width) if all_of_them else (width * luck.randrange(len(rows) // width),):
                struct.pack_into("<I", rows, row + column, bits)
    return head + bytes(rows)


def _mesh(luck: random.Random, glb: bytes) -> bytes:
    """Its scene, with anything in any place of it; mostly where arrays are told of."""
    scene, binary = unpacked(glb)
    for _ in range(luck.choice((1, 1, 2, 5))):
        inside: Any = scene[luck.choice(("accessors", "accessors", "bufferViews", "meshes", "asset"))]
        while isinstance(inside, (list, dict)) and inside:
            key = luck.choice(range(len(inside)) if isinstance(inside, list) else list(inside))
            if not isinstance(inside[key], (list, dict)) or luck.random() < 0.15:
                if luck.random() < 0.1:
                    del inside[key]
                else:
                    inside[key] = luck.choice(
                        (value(luck), luck.choice(NUMBERS), luck.choice(WORDS), -5, 5120, 5122, 5126, "MAT4")
                    )
                break
            inside = inside[key]
    return packed(scene, binary)


def _numbers(luck: random.Random, glb: bytes) -> bytes:
    """Its arrays, with values that are no numbers, too large, or point outside; some of signed types."""
    scene, binary = unpacked(glb)
    made = bytearray(binary)
    for _ in range(luck.choice((1, 5, 300))):
        at = luck.randrange(len(made) // 4) * 4
        struct.pack_into("<I", made, at, luck.choice((NAN, INFINITE, ENORMOUS, 0xFFFFFFFF, 0xFFFEFFFE, 0, 1)))
    if luck.random() < 0.4:
        for accessor in scene["accessors"]:
            with suppress(KeyError):
                accessor["sparse"]["indices"]["componentType"] = 5122
        indices = scene["meshes"][0]["primitives"][0]["indices"]
        scene["accessors"][indices]["componentType"] = luck.choice((5122, 5123))
    return packed(scene, bytes(made))


def unpacked(glb: bytes) -> tuple[dict[str, Any], bytes]:
    (size,) = struct.unpack_from("<I", glb, 12)
    return json.loads(glb[20 : 20 + size]), glb[28 + size :]


def packed(scene: dict[str, Any], binary: bytes) -> bytes:
    """A file whose lengths are true, whatever its scene says."""
    text = json.dumps(scene).encode("utf-8", "surrogatepass")
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks
