"""The manifest for KubeRay, held to what the code and its image take: flags, settings, ports, routes, folders."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from server.__main__ import app
from server.app import create_app
from server.settings import Settings

ROOT = Path(__file__).parents[1]
MANIFEST = ROOT / "docs" / "kubernetes" / "cluster.yaml"


@pytest.fixture(scope="module")
def parts() -> dict[str, Any]:
    """By kind."""
    return {part["kind"]: part for part in yaml.safe_load_all(MANIFEST.read_text())}


@pytest.fixture(scope="module")
def pod(parts: dict[str, Any]) -> dict[str, Any]:
    (group,) = parts["RayCluster"]["spec"]["workerGroupSpecs"]
    return group["template"]["spec"]


@pytest.fixture(scope="module")
def node(pod: dict[str, Any]) -> dict[str, Any]:
    """The container in which `serve --cluster` runs."""
    return next(one for one in pod["containers"] if one["name"] == "node")


def image() -> dict[str, str]:
    """The variables that the Dockerfile sets."""
    return dict(re.findall(r"(\w+)=(\S+)", (ROOT / "Dockerfile").read_text()))


def test_its_command_has_flags_that_there_are(node):
    program, command, *flags = node["command"]
    assert program == ".venv/bin/telequilt"
    commands: Any = typer.main.get_command(app)
    assert set(flags) <= {name for one in commands.commands[command].params for name in one.opts}


def test_its_settings_are_ours_and_fit(node, tmp_path, monkeypatch):
    given = {one["name"]: one["value"] for one in node["env"]}
    (tmp_path / "token").write_text("a token of the house\n")
    for name, value in (given | {"TELEQUILT_TOKEN_FILE": str(tmp_path / "token")}).items():
        assert name.removeprefix("TELEQUILT_").lower() in {*Settings.model_fields, "token_file"}
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert not settings.private
    assert settings.token is not None
    assert settings.media_ports is not None
    (mount,) = (one["mountPath"] for one in node["volumeMounts"] if one["name"] == "token")
    assert given["TELEQUILT_TOKEN_FILE"] == f"{mount}/token"


def test_its_ports_and_probes_are_those_of_a_door(parts, node, tmp_path):
    port = int(image()["TELEQUILT_PORT"])
    (service,) = parts["Service"]["spec"]["ports"]
    probes = [node[name]["httpGet"] for name in ("readinessProbe", "livenessProbe")]
    assert {service["targetPort"], *(one["port"] for one in probes)} == {port}
    routes = create_app(Settings(data_dir=tmp_path)).openapi()["paths"]
    assert {one["path"] for one in probes} <= set(routes)
    labels = parts["Service"]["spec"]["selector"]
    assert parts["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels


def test_all_of_a_pod_share_the_folders_that_the_image_writes(pod):
    folder = image()["TELEQUILT_DATA_DIR"]
    owner = re.search(r"^USER (\d+)", (ROOT / "Dockerfile").read_text(), re.M)
    assert owner is not None
    (first,) = pod["initContainers"]
    assert first["command"] == ["chown", f"{owner[1]}:{owner[1]}", folder]
    for one in (first, *pod["containers"]):
        assert folder in {mount["mountPath"] for mount in one["volumeMounts"]}
        assert {mount["name"] for mount in one["volumeMounts"]} <= {volume["name"] for volume in pod["volumes"]}


def test_ray_is_the_one_that_is_pinned(parts):
    (pinned,) = re.findall(r"(?m)^ray==(\S+)", (ROOT / "constraints.txt").read_text())
    assert parts["RayCluster"]["spec"]["rayVersion"] == pinned
