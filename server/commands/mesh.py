"""Sculpt: a portrait, at rest or as another photo's face moves it, as a mesh file. For engines that hold a volume or a mesh."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from engines import catalogue, mesh
from engines.options import EngineOptions
from pipeline.preprocess.observer import observe_portrait
from server.commands.render import OutputRefused
from server.media import portraits


@dataclass(frozen=True)
class Sculpture:
    out: Path
    vertices: int
    faces: int


def sculpt(
    portrait: Path,
    out: Path,
    engine_name: str,
    driver: Path | None = None,
    side: int = mesh.SIDE,
    *,
    options: EngineOptions = EngineOptions(),
    progress: Callable[[str, int, int], None] = lambda stage, done, of: None,
) -> Sculpture:
    """Write the avatar of `portrait` to `out` (.ply or .glb), with the expression of the photo `driver`, in its own world.

    Raises PortraitRejected, PortraitUnreadable, OutputRefused, UnknownEngine or WeightsMissing.
    """
    if out.suffix.lower() not in (".ply", ".glb"):
        raise OutputRefused(f"{out} would not be a mesh file: name it {out.stem or 'head'}.glb or .ply")
    if not out.parent.is_dir():
        raise OutputRefused(f"the folder {out.parent} does not exist: mkdir -p {out.parent}")
    progress("loading the engine", 0, 0)
    able = [name for name in catalogue.names() if catalogue.abilities(name).volume or catalogue.abilities(name).mesh]
    engine: Any = catalogue.load(engine_name, options)
    if engine_name not in able:
        raise OutputRefused(f"engine {engine_name!r} holds no head that a mesh could be taken from: {', '.join(able)}")
    progress("enrolling the portrait", 0, 0)
    seen = observe_portrait(portraits.from_file(portrait))
    avatar = engine.enrol(seen)
    moved = replace(seen, presence=0.0) if driver is None else observe_portrait(portraits.from_file(driver))
    state = engine.drive(avatar, moved)
    found = _surface(engine, state, side, progress)
    noise = " of SYNTHETIC WEIGHTS: noise, not a face" if engine.noise else ""
    part = out.with_name(f".{out.stem}.part{out.suffix}")
    try:
        mesh.write(found, part, f"Telequilt, engine {engine_name}{noise}; an AI avatar, not a scan")
        os.replace(part, out)
    except OSError as failure:
        raise OutputRefused(f"{out} cannot be written: {failure.strerror or failure}") from failure
    finally:
        part.unlink(missing_ok=True)
    return Sculpture(out, len(found.vertices), len(found.faces))


def _surface(engine: Any, state: Any, side: int, progress: Callable[[str, int, int], None]) -> mesh.Mesh:
    """The engine's own mesh, or what is found in its volume. Raises OutputRefused, MeshingMissing."""
    told = partial(progress, "looking for the surface")
    try:
        if engine.abilities.mesh:
            return engine.mesh(state, side, told)
        return mesh.surface(engine.field(state), side, progress=told)
    except mesh.NoSurface as failure:
        raise OutputRefused(f"nothing to write: {failure}") from None
