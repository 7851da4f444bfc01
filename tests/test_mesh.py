"""Meshes of tri-plane heads: where the surface is, which way it faces, and files that say what they hold."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from engines import mesh
from engines.heads import head, planes_and_decoder
from engines.triplane import TriplaneField

pytest.importorskip("skimage", reason="meshes are found by scikit-image")
SIDE = 40


@pytest.fixture(scope="module")
def found() -> mesh.Mesh:
    return mesh.surface(head("plain"), SIDE)


def test_the_surface_lies_where_the_field_crosses_the_level(found: mesh.Mesh) -> None:
    field, step = head("plain"), 1 / (SIDE - 1)
    near = found.vertices[(found.vertices[:, 1] > 0) & (found.vertices[:, 2] > 0.08)]  # the brow, seen from the middle
    out = near / np.linalg.norm(near, axis=1, keepdims=True) * step
    with torch.no_grad():
        inside, outside = (field(torch.from_numpy((near + sign * out).astype(np.float32)), 0)[0] for sign in (-1, 1))
    assert len(near) > 100
    assert ((inside > mesh.SURFACE) & (outside < mesh.SURFACE)).float().mean() > 0.9
    assert found.vertices[:, 1].max() == pytest.approx(0.02 + 0.2, abs=2 * step)  # the crown of the skull
    assert np.abs(found.vertices).max() <= 0.5


def test_is_closed_and_faces_outwards(found: mesh.Mesh) -> None:
    edges = np.concatenate([found.faces[:, pair] for pair in ([0, 1], [1, 2], [2, 0])])
    _, times = np.unique(np.sort(edges, axis=1), axis=0, return_counts=True)
    assert (times == 2).all()
    a, b, c = (found.vertices[found.faces[:, k]].astype(np.float64) for k in range(3))
    volume = (a * np.cross(b, c)).sum() / 6
    assert 0.02 < volume < 0.15  # positive: counter-clockwise from outside


def test_colours_are_the_fields(found: mesh.Mesh) -> None:
    assert found.colours.shape == found.vertices.shape
    assert found.colours.std(0).min() > 20


def test_progress_counts_slices() -> None:
    told: list[tuple[int, int]] = []
    mesh.surface(head("soft"), 12, progress=lambda done, of: told.append((done, of)))
    assert told == [(k + 1, 12) for k in range(12)]


def test_a_field_without_a_surface_says_so() -> None:
    planes, decoder = planes_and_decoder("plain")
    with pytest.raises(mesh.NoSurface, match="density"):
        mesh.surface(TriplaneField(torch.zeros_like(planes[0]), decoder), 8)


def test_ply_reads_back(found: mesh.Mesh, tmp_path: Path) -> None:
    path = tmp_path / "head.ply"
    mesh.write(found, path, "made in a test")
    header, _, body = path.read_bytes().partition(b"end_header\n")
    assert b"comment made in a test" in header
    assert f"element vertex {len(found.vertices)}".encode() in header
    vertices = np.frombuffer(body, [("place", "<f4", 3), ("colour", "u1", 3)], len(found.vertices))
    faces = np.frombuffer(body[vertices.nbytes :], [("count", "u1"), ("corners", "<i4", 3)])
    np.testing.assert_array_equal(vertices["place"], found.vertices)
    np.testing.assert_array_equal(faces["corners"], found.faces)


def test_glb_is_gltf_whose_parts_fit(found: mesh.Mesh, tmp_path: Path) -> None:
    path = tmp_path / "head.glb"
    mesh.write(found, path, "made in a test")
    content = path.read_bytes()
    magic, version, length = struct.unpack_from("<4sII", content)
    assert (magic, version, length) == (b"glTF", 2, len(content))
    size, kind = struct.unpack_from("<I4s", content, 12)
    assert kind == b"JSON"
    scene = json.loads(content[20 : 20 + size])
    assert scene["asset"]["extras"]["note"] == "made in a test"
    binary = content[20 + size + 8 :]
    views = scene["bufferViews"]
    assert views[-1]["byteOffset"] + views[-1]["byteLength"] == scene["buffers"][0]["byteLength"] <= len(binary)
    assert all(view["byteOffset"] % 4 == 0 for view in views)
    places = np.frombuffer(binary, "<f4", 3 * len(found.vertices)).reshape(-1, 3)
    np.testing.assert_array_equal(places, found.vertices)
    assert scene["accessors"][0]["max"] == places.max(0).tolist()
    corners = np.frombuffer(binary[views[2]["byteOffset"] :], "<u4", found.faces.size)
    np.testing.assert_array_equal(corners.reshape(-1, 3), found.faces)


def test_another_ending_is_refused(found: mesh.Mesh, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\.ply or \.glb"):
        mesh.write(found, tmp_path / "head.obj")
