"""The parametric engine: a head model learnt from made-up people behind the three verbs. Needs no GPU and no weights of others."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cached_property
from typing import ClassVar

from display.optics import Cameras
from display.views import ViewSet
from engines import mesh
from engines.contract import Abilities, FaceObservation
from engines.geometry.asset import Asset
from engines.geometry.motion import Motion
from engines.options import EngineOptions
from engines.parametric import checkpoint, geometry, shaping
from engines.parametric.drive import ParametricState, drive
from engines.parametric.enrol import ParametricAvatar, Progress, enrol
from engines.parametric.head import HeadModel
from engines.parametric.render import MeshRenderer
from engines.parametric.sculpture import sculpture
from engines.raster import fan, textured
from engines.weights import CheckpointRejected


class Parametric:
    """A whole head of a learnt family, with the portrait's proportions and colours: a carrier, no likeness, no hair; from any side."""

    name: ClassVar[str] = "parametric"
    abilities: ClassVar[Abilities] = Abilities(mesh=True, geometry=True)
    noise = False
    wants: ClassVar[frozenset[str]] = frozenset()

    def __init__(
        self, options: EngineOptions = EngineOptions(), *, model: HeadModel | None = None, side: int = shaping.SIDE
    ) -> None:
        """With the model that comes with the engine, or the operator's, or `model`; `side`: of the grid that surfaces are looked
        for in. Raises weights.CheckpointRejected or FileNotFoundError."""
        self.side = side
        self._given = model
        self._loading = threading.Lock()
        self._renderer = MeshRenderer()
        self._path = options.parametric_model
        if model is None:
            checkpoint.check_there(self._path)

    @cached_property
    def model(self) -> HeadModel:
        """The head model, read at the first use. Raises weights.CheckpointRejected; FileNotFoundError where it has gone since."""
        with self._loading:
            found = self._given or checkpoint.load(self._path)
        if not found.landmark_indices:
            raise CheckpointRejected(
                "this head model has no landmarks, so no photo can be enrolled: train one on Anny's heads"
            )
        return found

    def warm_up(self) -> None:
        """Reads the model and compiles the raster, or loads it from numba's cache (seconds the first time on a machine)."""
        assert self.model
        textured.compile_all()
        fan.compile_all()

    def enrol(self, portrait: FaceObservation, progress: Progress = lambda *_: None) -> ParametricAvatar:
        """The portrait's avatar, some seconds. Raises PortraitRejected."""
        return enrol(self.model, portrait, self.side, progress)

    def drive(self, avatar: ParametricAvatar, seen: FaceObservation) -> ParametricState:
        """The avatar as `seen` moves it."""
        return drive(avatar, seen)

    def render(self, state: ParametricState, cameras: Cameras) -> ViewSet:
        """The state from each camera."""
        return self._renderer(state, cameras)

    def asset(self, avatar: ParametricAvatar) -> Asset:
        """The avatar for whoever draws it elsewhere."""
        return geometry.asset(avatar)

    def motion(self, state: ParametricState) -> Motion:
        """The state likewise."""
        return geometry.motion(state)

    def mesh(
        self, state: ParametricState, side: int = mesh.SIDE, progress: Callable[[int, int], None] = lambda *_: None
    ) -> mesh.Mesh:
        """The state as a mesh of its own, looked for in a grid of side^3 and moved by the network itself."""
        return sculpture(self.model, state, side, progress)


ENGINE = Parametric
