"""Sculpt: a portrait, at rest or as another photo's face moves it, as a mesh file. Relief: with facial actions, to be animated."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from engines import catalogue, mesh
from engines.contract import Abilities, FaceObservation
from engines.geometry import rigged
from engines.options import EngineOptions
from pipeline.preprocess.observer import observe_portrait
from server.commands.quilt_film import OutputRefused
from server.commands.sitter import brought, seen_in
from server.media import portraits

NO_SURFACE = (
    "a head of Gaussians has no surface that a mesh could be taken from: they lie about the one that its file has, skin.glb, which any "
    "glTF viewer opens. `render` makes a film of it; a mesh is made of a photo"
)


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
    expression: float | None = None,
    also: Sequence[Path] = (),
    options: EngineOptions = EngineOptions(),
    progress: Callable[[str, int, int], None] = lambda stage, done, of: None,
) -> Sculpture:
    """Write the avatar of `portrait` to `out` (.ply or .glb), with the expression of the photo `driver`, in its own world;
    `expression` 0..1 is the share of the portrait's own that it keeps; `also` further photos of the same person.

    Raises PortraitRejected, PortraitUnreadable, OutputRefused, UnknownEngine or WeightsMissing.
    """
    if out.suffix.lower() not in (".ply", ".glb"):
        raise OutputRefused(f"{out} would not be a mesh file: name it {out.stem or 'head'}.glb or .ply")
    if not out.parent.is_dir():
        raise OutputRefused(f"the folder {out.parent} does not exist: mkdir -p {out.parent}")
    if brought(portrait) or catalogue.abilities(engine_name).brought:
        raise OutputRefused(NO_SURFACE)
    progress("loading the engine", 0, 0)
    able = [name for name in catalogue.names() if _holds_a_head(catalogue.abilities(name))]
    engine: Any = catalogue.load(engine_name, options)
    if engine_name not in able:
        raise OutputRefused(f"engine {engine_name!r} holds no head that a mesh could be taken from: {', '.join(able)}")
    if engine.abilities.rig:
        _check_rig(engine_name, out, driver)
    progress("enrolling the portrait", 0, 0)
    seen = seen_in([portrait, *also], engine, expression)
    avatar = engine.enrol(seen)
    moved = replace(seen, presence=0.0) if driver is None else observe_portrait(portraits.from_file(driver))
    noise = " of SYNTHETIC WEIGHTS: noise, not a face" if engine.noise else ""
    note = f"Telequilt, engine {engine_name}{noise}; an AI avatar, not a scan"
    part = out.with_name(f".{out.stem}.part{out.suffix}")
    try:
        made = _written(engine, avatar, moved, part, side, note, progress)
        os.replace(part, out)
    except OSError as failure:
        raise OutputRefused(f"{out} cannot be written: {failure.strerror or failure}") from failure
    finally:
        part.unlink(missing_ok=True)
    return Sculpture(out, *made)


def _check_rig(engine_name: str, out: Path, driver: Path | None) -> None:
    """Raises OutputRefused."""
    if out.suffix.lower() != ".glb":
        raise OutputRefused(
            f"{engine_name} writes a head with facial actions, which only glTF has: name it {out.stem}.glb"
        )
    if driver is not None:
        raise OutputRefused(
            f"{engine_name} writes a head at rest with 52 facial actions to animate: leave --driver out"
        )


def _holds_a_head(abilities: Abilities) -> bool:
    return abilities.volume or abilities.mesh or abilities.rig


def _written(
    engine: Any,
    avatar: Any,
    moved: FaceObservation,
    out: Path,
    side: int,
    note: str,
    progress: Callable[[str, int, int], None],
) -> tuple[int, int]:
    """Writes to `out`: points and triangles of what was written. Raises OutputRefused, MeshingMissing."""
    if engine.abilities.rig:
        rig = engine.rig(avatar)
        out.write_bytes(rigged.packed(rig, note))
        return len(rig.points), sum(len(triangles) for triangles in rig.parts.values())
    found = _surface(engine, engine.drive(avatar, moved), side, progress)
    mesh.write(found, out, note)
    return len(found.vertices), len(found.faces)


def _surface(engine: Any, state: Any, side: int, progress: Callable[[str, int, int], None]) -> mesh.Mesh:
    """The engine's own mesh, or what is found in its volume. Raises OutputRefused, MeshingMissing."""
    told = partial(progress, "looking for the surface")
    try:
        if engine.abilities.mesh:
            return engine.mesh(state, side, told)
        return mesh.surface(engine.field(state), side, progress=told)
    except mesh.NoSurface as failure:
        raise OutputRefused(f"nothing to write: {failure}") from None
