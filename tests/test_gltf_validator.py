"""Khronos's own validator finds no error in an asset."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from engines.geometry import glb
from engines.relief.engine import Relief
from tests import npm, people

VERSION, SHA256 = "2.0.0-dev.3.10", "4e03dbdc3bc0d1342afd5d2d7ae341a7e3474502ccb872b02dbbaddaee0fdec6"
SCRIPT = """
const validator = require(process.argv[1]);
validator.validateBytes(new Uint8Array(require("fs").readFileSync(process.argv[2])), { maxIssues: 0 })
  .then((report) => console.log(JSON.stringify(report)));
"""


def test_an_asset_is_valid_gltf(relief: Relief, tmp_path: Path):
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node.js, which runs glTF's validator, is missing: apt-get install npm")
    with npm.package("gltf-validator", VERSION, SHA256) as archive:
        archive.extractall(tmp_path, filter="data")
    asset = tmp_path / "asset.glb"
    asset.write_bytes(glb.packed(relief.asset(relief.enrol(people.observed(people.hopper()))), "AI avatar").data)
    ran = subprocess.run(
        [node, "-e", SCRIPT, str(tmp_path / "package"), str(asset)], capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    report = json.loads(ran.stdout)
    wrong = [one for one in report["issues"]["messages"] if one["severity"] <= 1]  # errors and warnings
    assert wrong == []
    assert report["info"]["totalVertexCount"] > 2000
    assert report["info"]["materialCount"] == 2
    assert report["info"]["hasSkins"]
