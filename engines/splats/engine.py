"""The splats engine: heads of Gaussians that were made elsewhere and are brought, moved by 51 facial actions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import ClassVar, NoReturn

import numpy as np

from display.optics import Cameras
from display.views import ViewSet
from engines.contract import Abilities, Brought, FaceObservation, Footprint, PortraitRejected
from engines.geometry.cloud import Cloud
from engines.geometry.motion import Motion
from engines.options import EngineOptions
from engines.splats import exporting, geometry, importing
from engines.splats.avatar import SplatAvatar
from engines.splats.drive import SplatState, drive, seen_from
from engines.splats.render import Renderer


class Splats:
    """A photoreal head of some 20,000 Gaussians, made elsewhere (LAM) and brought as a zip; its mannequin needs nothing."""

    name: ClassVar[str] = "splats"
    wants: ClassVar[frozenset[str]] = frozenset({"actions"})
    abilities: ClassVar[Abilities] = Abilities(
        brought=True,
        batches=True,
        geometry=True,
        footprint=Footprint(
            weights_bytes=16 << 20, drive_bytes=0, render_bytes=160 << 20, drive_work=0.01, view_work=0.01
        ),
    )
    noise = False

    def __init__(self, options: EngineOptions = EngineOptions()) -> None:
        """Nothing of `options` concerns it: no network runs in it."""
        self._renderer = Renderer()

    def warm_up(self) -> None:
        """Compiles the inner loops, or loads them from numba's cache."""
        self._renderer.warm_up()

    def enrol(self, portrait: FaceObservation) -> NoReturn:
        """Raises PortraitRejected: no avatar of this kind is made of a photo here."""
        raise PortraitRejected(
            "brought-only",
            "the engine splats makes no avatar of a photo, LAM does (github.com/aigc3d/LAM, or its space on ModelScope). Bring the zip "
            "that it exports: python -m server avatars import me.zip, or in place of a photo on the page. Or choose another engine",
        )

    def bring(self, file: bytes) -> Brought:
        """The zip that LAM exports, read and checked; 0.2 s. Raises AvatarRefused."""
        return importing.bring(file)

    def made(self, arrays: Mapping[str, np.ndarray]) -> SplatAvatar:
        """The avatar of what is kept of it. Raises ValueError."""
        return importing.made(arrays)

    def mannequin(self) -> SplatAvatar:
        """A head that is nobody's, made by code; 2 s the first time."""
        return _mannequin()

    def drive(self, avatar: SplatAvatar, seen: FaceObservation) -> SplatState:
        """The avatar as `seen` moves it."""
        return drive(avatar, seen)

    def render(self, state: SplatState, cameras: Cameras) -> ViewSet:
        """The state from each camera."""
        return self.render_many([(state, cameras)])[0]

    @property
    def views_at_once(self) -> int:
        """Views of a full batch on the device that this thread works on."""
        return self._renderer.views_at_once

    def render_many(self, requests: Sequence[tuple[SplatState, Cameras]]) -> list[ViewSet]:
        """Of each (state, cameras) its views, in their order."""
        return self._renderer.many(
            [(state.avatar, state.weights, seen_from(state, cameras)) for state, cameras in requests]
        )

    def asset(self, avatar: SplatAvatar) -> Cloud:
        """The avatar for whoever draws it elsewhere."""
        return geometry.asset(avatar)

    def motion(self, state: SplatState) -> Motion:
        """The state likewise."""
        return geometry.motion(state)


@cache
def _mannequin() -> SplatAvatar:
    return importing.made(importing.bring(exporting.packed()).arrays)


ENGINE = Splats
