"""An exported avatar comes in whole and checked; what is none is refused in one line that says what to do."""

from __future__ import annotations

import io
import random
import struct
import zipfile
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest

from benchmarks.hostile import heads
from engines import gltf
from engines.actions import ACTIONS, INDEX
from engines.contract import AvatarRefused
from engines.splats import importing
from tests.exported import COLUMNS, Head, head, zipped


def refusal(data: bytes) -> AvatarRefused:
    with pytest.raises(AvatarRefused) as refused:
        importing.bring(data)
    said = str(refused.value)
    assert "\n" not in said
    assert len(said) < 320
    assert refused.value.reason
    return refused.value


def test_a_head_comes_in_whole():
    made = head()
    brought = importing.bring(made.zipped())
    avatar = importing.made(brought.arrays)
    assert len(avatar) == len(made.vertices)
    assert np.allclose(avatar.eyes, importing.WORLD_EYES, atol=1e-5), "its eyes are where cameras expect a face's"
    gain = (avatar.eyes[1] - avatar.eyes[0])[0] / 0.062
    assert np.allclose(np.diff(avatar.points[:50], axis=0), gain * np.diff(made.vertices[:50], axis=0), atol=1e-5)
    assert np.allclose(avatar.colours, made.rows[:, 6:9], atol=1e-6)
    assert np.allclose(avatar.opacities, 1 / (1 + np.exp(-2.0)))
    assert np.allclose(avatar.scales, 0.004 * gain)
    assert "CC BY-NC 4.0" in brought.licence


def test_an_action_moves_its_own_and_nothing_else():
    made = head()
    avatar = importing.made(importing.bring(made.zipped()).arrays)
    for name in ("jawOpen", "eyeBlinkLeft", "eyeLookOutRight", "cheekPuff"):
        weights = np.zeros(len(ACTIONS), np.float32)
        weights[INDEX[name]] = 0.5
        moved = np.flatnonzero((avatar.posed(weights) != avatar.points).any(axis=1))
        assert moved.tolist() == made.targets[name][0].tolist(), name


def test_a_file_of_our_own_says_its_own_terms():
    made = head()
    own = made.glb()
    scene = gltf.unpacked(own)
    noted = gltf.packed({"meshes": scene.scene["meshes"]}, _buffer(scene), note="a mannequin, CC0")
    assert importing.bring(zipped({"offset.ply": made.ply(), "skin.glb": noted})).licence == "a mannequin, CC0"


def _buffer(file: gltf.File) -> gltf.Buffer:
    return gltf.Buffer([file.binary], file.scene["bufferViews"], file.scene["accessors"], len(file.binary))


def changed(change: Callable[[Head], object]) -> bytes:
    made = head()
    change(made)
    return made.zipped()


def set_rows(columns: slice | int, value: float) -> Callable[[Head], object]:
    def change(made: Head) -> None:
        made.rows[:, columns] = value

    return change


def shuffled(made: Head) -> None:
    made.rows = made.rows[np.random.default_rng(3).permutation(len(made.rows))]


def one_not_a_number(made: Head) -> None:
    made.rows[77, 1] = np.nan


def without_an_action(made: Head) -> None:
    del made.targets["jawOpen"]


def no_eyes(made: Head) -> None:
    made.targets["eyeLookOutLeft"] = made.targets["jawOpen"]


def turned_round(made: Head) -> None:
    made.vertices = made.vertices * np.array([-1, 1, -1], np.float32)


def outside(made: Head) -> None:
    made.targets["jawOpen"] = np.array([len(made.vertices) + 5]), np.zeros((1, 3))


def not_rising(made: Head) -> None:
    made.targets["jawOpen"] = np.array([9, 9]), np.zeros((2, 3))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda made: setattr(made, "rows", made.rows[:-1]), "not of one avatar"),
        (shuffled, "not in the order"),
        (one_not_a_number, "no numbers"),
        (set_rows(slice(0, 3), 1.6), "holds places"),
        (set_rows(6, -1.5), "colours"),
        (set_rows(slice(10, 13), 1.0), "sizes or turns"),
        (set_rows(slice(13, 17), 0.0), "sizes or turns"),
        (lambda made: setattr(made, "vertices", made.vertices * 100), "not the metre"),
        (lambda made: made.vertices.__setitem__(3, np.nan), "no numbers"),
        (without_an_action, "lacks 1 of the 51 facial actions, jawOpen"),
        (lambda made: made.targets.update(jawOpen=(np.array([1]), np.array([[0.0, 9.0, 0.0]]))), "jawOpen"),
        (lambda made: made.targets.update(jawOpen=(np.array([1]), np.array([[0.0, np.nan, 0.0]]))), "no number"),
        (outside, "cannot be read"),
        (not_rising, "do not rise"),
        (no_eyes, "no eyeballs"),
        (turned_round, "eyes"),
        (lambda made: setattr(made, "triangles", made.triangles + 60_000), "cannot be read"),
    ],
)
def test_what_does_not_fit_is_refused(change: Callable[[Head], object], says: str):
    refused = refusal(changed(change))
    assert says in str(refused)
    assert "LAM" in str(refused), "and it says what to do"


def test_foreign_forms_are_called_by_their_names():
    made = head()
    ply, glb = made.ply(), made.glb()
    rest = Head(made.vertices, made.triangles, np.concatenate([made.rows, made.rows[:, :1]], axis=1))
    cases = {
        b"\xff\xd8\xff\xe0 a photo": "this is a photo",
        glb: "this is a GLB alone",
        ply: "this is a PLY alone",
        b"hello": "this is no zip",
        b"": "this is no zip",
        zipped({"a/h5_render_data/lbs_weight_20k.json": b"{}", "a/h5_render_data/offset.ply": ply}): "older form",
        zipped({"me/skin.glb": glb}): "offset.ply is missing",
        zipped({"me/offset.ply": ply}): "skin.glb is missing",
        zipped({"me/offset.ply": ply, "you/skin.glb": glb}): "missing",
        zipped({"point_cloud.ply": ply}): "a scene of Gaussians",
        zipped({"me/me.ZIP": made.zipped()}): "bring the inner one",
        zipped({"readme.txt": b"?"}): "neither offset.ply nor skin.glb",
        zipped({"offset.ply": rest.ply((*COLUMNS, "f_rest_0")), "skin.glb": glb}): "change with the angle",
        zipped({"offset.ply": ply[:-8], "skin.glb": glb}): "are announced",
        zipped({"offset.ply": b"ply\nformat ascii 1.0\nend_header\n", "skin.glb": glb}): "binary",
        zipped({"offset.ply": ply, "skin.glb": glb[:-8]}): "skin.glb cannot be read",
        zipped({"offset.ply": ply, "skin.glb": gltf.packed({"meshes": []}, gltf.Buffer())}): "0 meshes",
    }
    for data, says in cases.items():
        assert says in str(refusal(data)), says


def test_bombs_and_locks_are_refused_unread():
    bomb = zipped({"me/offset.ply": bytes(80 << 20), "me/skin.glb": b""})
    assert len(bomb) < 1 << 20
    assert refusal(bomb).reason == "too-large"
    assert refusal(zipped({f"{number}.txt": b"" for number in range(300)})).reason == "too-large"
    lying = bytearray(zipped({"me/offset.ply": bytes(4 << 20), "me/skin.glb": b""}))
    with zipfile.ZipFile(io.BytesIO(bytes(lying))) as archive:
        at = archive.start_dir
    struct.pack_into("<I", lying, at + 24, 100)  # says that it unpacks to 100 bytes
    refusal(bytes(lying))
    locked = bytearray(head().zipped())
    with zipfile.ZipFile(io.BytesIO(bytes(locked))) as archive:
        at = archive.start_dir
    locked[at + 8] |= 1
    assert refusal(bytes(locked)).reason == "encrypted"


def glb(made: Head, **told: Any) -> bytes:
    """A head whose actions all have what `told` says of them."""
    scene, binary = heads.unpacked(made.glb())
    for target in scene["meshes"][0]["primitives"][0]["targets"]:
        scene["accessors"][target["POSITION"]].update(told)
    return zipped({"offset.ply": made.ply(), "skin.glb": heads.packed(scene, binary)})


def test_what_is_small_to_send_and_large_to_have_is_refused_before_it_is_there():
    """Each would take gigabytes in the server's own process."""
    made, nothing = head(), np.zeros(0, np.int64)
    scene, binary = heads.unpacked(made.glb())
    countless = heads.packed({**scene, "extras": [{}] * 900_000}, binary)
    assert "its scene of" in str(refusal(zipped({"offset.ply": made.ply(), "skin.glb": countless})))
    dense = {"bufferView": 0, "count": len(made.vertices) + 1}
    assert "of another mesh" in str(refusal(glb(made, **dense)))
    assert "move too much" in str(refusal(glb(made, sparse={"count": importing.MOST_TARGETS // 50})))
    assert "move too much" in str(refusal(glb(made, sparse={"count": -1})))
    many = np.zeros((importing.MOST_TRIANGLES + 1, 3), np.int64)
    made.targets["jawOpen"] = nothing, np.zeros((0, 3))
    made.triangles = many
    assert "too many" in str(refusal(made.zipped()))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_by_a_method_that_no_exporter_uses_is_refused_unread(method: int):
    """LZMA's decoder raises what no other does, and has a dictionary of as much memory as the file says."""
    made = head()
    assert "ordinary zip" in str(refusal(heads.zipped({"offset.ply": made.ply(), "skin.glb": made.glb()}, method)))


def test_indices_of_signed_types_that_point_before_the_first_are_refused():
    made = head()
    made.targets["jawOpen"] = np.array([0xFFFE, 0xFFFF]), np.zeros((2, 3))
    scene, binary = heads.unpacked(made.glb())
    for accessor in scene["accessors"]:
        if "sparse" in accessor:
            accessor["sparse"]["indices"]["componentType"] = 5122
    refused = refusal(zipped({"offset.ply": made.ply(), "skin.glb": heads.packed(scene, binary)}))
    assert "do not rise, or lie outside" in str(refused)


def test_damage_anywhere_is_refused_or_does_no_harm():
    """200 files of which bytes were changed, cut or added: each is refused, or comes in checked."""
    made, chance = head(), random.Random(5)
    files = {"offset.ply": made.ply(), "skin.glb": made.glb()}
    for _ in range(200):
        name = chance.choice(list(files))
        data = bytearray(files[name])
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(min(len(data), 6000))
            data[at : at + chance.randint(0, 3)] = bytes(chance.randrange(256) for _ in range(chance.randint(0, 3)))
        with suppress(AvatarRefused):
            importing.made(importing.bring(zipped(files | {name: bytes(data)})).arrays)


@pytest.mark.parametrize("name", ["points", "starts", "which", "moves", "opacities"])
def test_what_is_kept_is_checked_when_it_is_read_again(name: str):
    kept = dict(importing.bring(head().zipped()).arrays)
    with pytest.raises(ValueError, match="kept"):
        importing.made(kept | {name: kept[name][:-1]})
    with pytest.raises(ValueError, match="kept"):
        importing.made({key: value for key, value in kept.items() if key != name})
    spoiled = kept[name].copy()
    spoiled.flat[-1] = np.nan if spoiled.dtype == np.float32 else 1 << 30
    with pytest.raises(ValueError, match="kept"):
        importing.made(kept | {name: spoiled})


@pytest.mark.golden
def test_the_public_sample_comes_in(exported_sample: bytes):
    avatar = importing.made(importing.bring(exported_sample).arrays)
    assert len(avatar) == 20_018
    assert len(avatar.which) == 188_603
    with zipfile.ZipFile(io.BytesIO(exported_sample)) as archive:
        files = {place.rpartition("/")[2]: archive.read(place) for place in archive.namelist() if "MACOSX" not in place}
    ply = files["offset.ply"]
    begin = ply.index(b"end_header\n") + 11
    rows = np.frombuffer(ply[begin:], "<f4").reshape(-1, 17)
    other = np.random.default_rng(1).permutation(len(rows))
    mixed = ply[:begin] + rows[other].tobytes()
    assert "not in the order" in str(refusal(zipped({"offset.ply": mixed, "skin.glb": files["skin.glb"]})))
