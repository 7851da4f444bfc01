"""Doctor: what this machine has and lacks, each lack with the command that mends it. Looks, changes nothing."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import socket
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import httpx
import psutil

from engines import catalogue
from pipeline.devices import gpus
from pipeline.devices.planner import PlacementImpossible
from server.channels.services import planned
from server.provenance.keys import KeyUnusable
from server.settings import Settings

SOCKET_BUFFER = 4 * 1024 * 1024
"Bytes of UDP buffer that a keyframe burst of a quilt needs; below this packets are lost on busy machines."


class Health(StrEnum):
    FINE = "fine"
    SLOWER = "works, could be better"
    LACKING = "lacking"


@dataclass(frozen=True)
class Finding:
    what: str
    health: Health
    detail: str
    mend: str = ""
    "The command, or the words, that mend it; empty where nothing is to be mended."


def examine(settings: Settings, cluster: bool = False) -> list[Finding]:
    """Every finding, in the order in which an operator would mend them; of the `cluster` too, if asked. A check that breaks is
    itself a finding."""
    checks: list[Callable[[], Finding | None]] = [
        _python,
        _processor,
        _memory,
        _packages,
        _tracker,
        *(lambda listed=listed: _engine(listed, settings) for listed in catalogue.listing(settings.engine_options)),
        _gpu,
        compiler,
        lambda: _placement(settings),
        _encoder,
        lambda: _signing(settings),
        _buffers,
        lambda: _ice_servers(settings),
        lambda: _ports(settings),
        lambda: _data_folder(settings.data_dir),
        lambda: _address(settings.host, settings.port),
        _browser,
    ]
    found = [one for check in checks if (one := _safely(check)) is not None]
    if cluster:
        found += _cluster()
    return found


def _cluster() -> list[Finding]:
    try:
        from server.cluster import examination
    except ModuleNotFoundError:
        return [Finding("Ray", Health.LACKING, "is not installed", "pip install -c constraints.txt -e '.[cluster]'")]
    return [Finding(what, Health(health), detail, mend) for what, health, detail, mend in examination.look()]


def _safely(check: Callable[[], Finding | None]) -> Finding | None:
    try:
        return check()
    except Exception as failure:
        return Finding(
            "a check of our own", Health.LACKING, f"{type(failure).__name__}: {failure}", "please report this"
        )


def _python() -> Finding:
    have = platform.python_version()
    fits = (3, 11) <= sys.version_info[:2] <= (3, 12)
    return Finding(
        "Python", Health.FINE if fits else Health.LACKING, have, "" if fits else "make run PYTHON=python3.11"
    )


def _processor() -> Finding:
    cores = len(os.sched_getaffinity(0))
    fine = cores >= 2
    detail = f"{cores} cores, {platform.machine()}"
    return Finding(
        "Processor", Health.FINE if fine else Health.SLOWER, detail, "" if fine else "give the server two cores or more"
    )


def _memory() -> Finding:
    free = psutil.virtual_memory().available / 2**30
    fine = free >= 2
    return Finding(
        "Memory",
        Health.FINE if fine else Health.LACKING,
        f"{free:.1f} GiB free",
        "" if fine else "close other programs: the server wants 2 GiB",
    )


def _packages() -> Finding:
    have, lack = [], []
    for name in ("torch", "mediapipe", "aiortc", "av", "numba"):
        try:
            have.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            lack.append(name)
    if lack:
        return Finding("Packages", Health.LACKING, f"without {', '.join(lack)}", "pip install -c constraints.txt -e .")
    return Finding("Packages", Health.FINE, ", ".join(have))


def _tracker() -> Finding:
    from pipeline.preprocess.observer import Observer

    with Observer():
        return Finding("Face tracking", Health.FINE, "MediaPipe's bundled face models load")


def _engine(listed: catalogue.Listed, settings: Settings) -> Finding:
    if listed.failure is None:
        return Finding(f"Engine {listed.name}", Health.FINE, listed.summary)
    for wanted in catalogue.published():
        if wanted.engine == listed.name and not wanted.place(settings.engine_options.weights).is_file():
            return Finding(
                f"Engine {listed.name}", Health.SLOWER, f"wants {wanted.file}, from {wanted.where}", wanted.command
            )
    return Finding(f"Engine {listed.name}", Health.LACKING, listed.failure, "please report this")


def _gpu() -> Finding:
    found = gpus.present()
    return Finding(
        "GPU", Health.FINE, ", ".join(map(str, found)) or "none that PyTorch sees; the relief engine needs none"
    )


def compiler() -> Finding | None:
    """Triton compiles a launcher for each kernel, by the compiler that its runtime/build.py finds. None where it has no GPU."""
    if not gpus.present() or find_spec("triton") is None:
        return None
    chosen = os.environ.get("CC")
    found = shutil.which(chosen) if chosen else shutil.which("gcc") or shutil.which("clang")
    if chosen and not found:
        return Finding(
            "C compiler", Health.LACKING, f"CC names {chosen}, which is not there", "unset CC, or name one that is"
        )
    headers = Path(sysconfig.get_path("include"), "Python.h").is_file()
    if found and headers:
        return Finding("C compiler", Health.FINE, found)
    lacking = f"{found}, but no Python.h" if found else "none"
    packages = f"gcc g++ python{sys.version_info.major}.{sys.version_info.minor}-dev"
    return Finding("C compiler", Health.LACKING, f"{lacking}: Triton's kernels want it", f"apt-get install {packages}")


def _placement(settings: Settings) -> Finding:
    try:
        found = planned(settings, settings.engine, catalogue.abilities(settings.engine).footprint)
    except PlacementImpossible as failure:
        return Finding("Placement", Health.LACKING, str(failure), "python -m server placement")
    return Finding("Placement", Health.FINE, " ".join((*found.reasons, *found.roles)))


def _encoder() -> Finding:
    from server.media.encode import best_codec

    codec = best_codec()
    return Finding("Video encoder", Health.FINE, f"{codec}, probed by encoding with it")


def _buffers() -> Finding:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER)
        granted = probe.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2  # Linux answers twice what it grants
    fine = granted >= SOCKET_BUFFER
    mend = "" if fine else f"sudo sysctl -w net.core.rmem_max={SOCKET_BUFFER} net.core.wmem_max={SOCKET_BUFFER}"
    return Finding("UDP buffers", Health.FINE if fine else Health.SLOWER, f"{granted // 1024} KiB granted", mend)


def _ice_servers(settings: Settings) -> Finding | None:
    """None where none is configured, which is fine where clients reach this machine directly."""
    if not settings.ice_servers:
        return None
    from server.webrtc.peers import useless_servers

    useless = asyncio.run(useless_servers(settings))
    if not useless:
        return Finding("STUN and TURN", Health.FINE, f"{', '.join(settings.ice_servers)} give addresses")
    said = "; ".join(f"{url} {why}" for url, why in useless.items())
    refused = any("refuses" in why for why in useless.values())
    secret = "TELEQUILT_TURN_SECRET has to be coturn's static-auth-secret (with use-auth-secret), and both clocks right"
    return Finding(
        "STUN and TURN",
        Health.SLOWER,
        f"{said}; whoever needs one cannot connect",
        secret if refused else "check TELEQUILT_ICE_SERVERS, and that UDP gets out to them",
    )


def _ports(settings: Settings) -> Finding | None:
    """Each peer has a socket for each address of this machine. None where any port will do."""
    ports = settings.media_ports
    if ports is None:
        return None
    families = (socket.AF_INET, socket.AF_INET6)
    addresses = sum(one.family in families for of_one in psutil.net_if_addrs().values() for one in of_one)
    wanted = settings.max_channels * (1 + settings.max_viewers)
    detail = f"{len(ports)} ports, each of them on {addresses} addresses, for up to {wanted} peers"
    if len(ports) >= wanted:
        return Finding("UDP ports", Health.FINE, detail)
    mend = f"TELEQUILT_UDP_PORTS={ports[0]}-{min(65535, ports[0] + wanted - 1)}, or fewer by TELEQUILT_MAX_VIEWERS"
    return Finding("UDP ports", Health.SLOWER, f"{detail}: the last to come cannot connect", mend)


def _data_folder(folder: Path) -> Finding:
    place = folder
    while not place.exists():
        place = place.parent
    if not os.access(place, os.W_OK):
        return Finding("Data folder", Health.LACKING, f"{folder} cannot be written", "set TELEQUILT_DATA_DIR")
    free = shutil.disk_usage(place).free / 2**30
    fine = free >= 1
    return Finding(
        "Data folder",
        Health.FINE if fine else Health.LACKING,
        f"{folder}, {free:.0f} GiB free",
        "" if fine else "free some space, or set TELEQUILT_DATA_DIR to another disk",
    )


def _address(host: str, port: int) -> Finding:
    try:
        with socket.create_server((host, port)):
            return Finding("Address", Health.FINE, f"{host}:{port} is free")
    except OSError as failure:
        if _telequilt(host, port):
            return Finding("Address", Health.FINE, f"a Telequilt answers at {host}:{port}")
        return Finding(
            "Address", Health.LACKING, f"{host}:{port}: {failure.strerror}", f"make run TELEQUILT_PORT={port + 1}"
        )


def _telequilt(host: str, port: int) -> bool:
    """Whether it is one that has that port."""
    met = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    try:
        answer = httpx.get(f"http://{f'[{met}]' if ':' in met else met}:{port}/healthz", timeout=3, trust_env=False)
        return bool(answer.json() == {"status": "alive"})
    except (httpx.HTTPError, ValueError):
        return False


def _signing(settings: Settings) -> Finding:
    what = "Content credentials"
    if find_spec("c2pa") is None:
        return Finding(what, Health.SLOWER, "films and stills are not signed", "pip install c2pa-python")
    if settings.keys.ours and not settings.keys.made:
        return Finding(what, Health.FINE, "a key is made with the first film or still that is signed")
    try:
        credential = settings.keys.credential()
    except KeyUnusable as failure:
        return Finding(what, Health.LACKING, "films and stills are not signed", str(failure))
    until = f"{credential.certificate.not_valid_after_utc:%Y-%m-%d}"
    if credential.certificate.not_valid_after_utc < datetime.now(UTC):
        return Finding(
            what, Health.LACKING, f"the certificate ended on {until}", "TELEQUILT_SIGNING_CERTIFICATE: a newer one"
        )
    whose = "this installation's" if credential.ours else "the operator's own"
    return Finding(what, Health.FINE, f"{whose} key, certified until {until}")


def _browser() -> Finding:
    found = next((path for name in ("chromium", "google-chrome", "firefox") if (path := shutil.which(name))), None)
    if found:
        return Finding("Browser", Health.FINE, found)
    return Finding(
        "Browser", Health.SLOWER, "none here; any other machine's will do", "for the tests: apt-get install chromium"
    )
