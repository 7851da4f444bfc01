"""The relief engine: no weights, no GPU. A textured mesh of the portrait, moved by the caller's landmarks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from display.optics import Cameras
from display.views import ViewSet
from engines.contract import Abilities, FaceObservation
from engines.geometry.asset import Asset
from engines.geometry.motion import Motion
from engines.geometry.rigged import Rig
from engines.options import EngineOptions
from engines.raster import textured
from engines.relief import geometry, rig, several, strips
from engines.relief.avatar import ReliefAvatar
from engines.relief.drive import ReliefState, drive
from engines.relief.enrol import enrol
from engines.relief.render import StripRenderer


class Relief:
    """A 3D relief of the portrait, moved by landmarks: needs no weights and no GPU, starts at once."""

    name: ClassVar[str] = "relief"
    wants: ClassVar[frozenset[str]] = frozenset()
    abilities: ClassVar[Abilities] = Abilities(parallel=True, geometry=True, rig=True, several=True)
    noise = False

    def __init__(self, options: EngineOptions = EngineOptions()) -> None:
        """Nothing of `options` concerns it: it has no networks and no weights."""
        self._renderer = StripRenderer()

    def warm_up(self) -> None:
        """Compiles the inner loops, or loads them from numba's cache (seconds the first time on a machine)."""
        strips.compile_all()
        textured.compile_all()

    def enrol(self, portrait: FaceObservation) -> ReliefAvatar:
        """The portrait's avatar, about 0.3 s. Raises PortraitRejected."""
        return enrol(portrait)

    def together(self, portraits: Sequence[FaceObservation]) -> FaceObservation:
        """One portrait of two or three photos of the same person. Raises PortraitRejected."""
        return several.together(portraits)

    def drive(self, avatar: ReliefAvatar, seen: FaceObservation) -> ReliefState:
        """The avatar as `seen` moves it."""
        return drive(avatar, seen)

    def render(self, state: ReliefState, cameras: Cameras) -> ViewSet:
        """The state from each camera; cameras without pitch only."""
        return self._renderer(state, cameras)

    def asset(self, avatar: ReliefAvatar) -> Asset:
        """The avatar for whoever draws it elsewhere."""
        return geometry.asset(avatar)

    def rig(self, avatar: ReliefAvatar) -> Rig:
        """The avatar for whoever animates it elsewhere, by ARKit's 52 names."""
        return rig.rig(avatar)

    def motion(self, state: ReliefState) -> Motion:
        """The state likewise."""
        return geometry.motion(state)


ENGINE = Relief
