"""The ROME engine: the published networks behind the three verbs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch

from display.optics import Cameras
from display.views import ViewSet
from engines import noise
from engines.contract import Abilities, FaceObservation, Footprint
from engines.geometry.asset import Asset
from engines.geometry.motion import Motion
from engines.loading import EachDevice, check_there
from engines.mesh import SIDE, Mesh, Progress
from engines.options import EngineOptions
from engines.rome import checkpoint, exported, geometry, synthetic, visible
from engines.rome.architecture import Architecture
from engines.rome.drive import RomeState, drive
from engines.rome.edit import edited
from engines.rome.enrol import RomeAvatar, enrol
from engines.rome.network import Rome
from engines.rome.render import render
from engines.runtime import Component, Precision, check, check_precision, choose, chosen_precision
from engines.weights import Published


class RomeEngine:
    """ROME: a mesh avatar with learned hair and a neural texture; needs the public checkpoints and a GPU for real time."""

    name: ClassVar[str] = "rome"
    wants: ClassVar[frozenset[str]] = frozenset({"crop"})
    abilities: ClassVar[Abilities] = Abilities(
        parallel=True,
        batches=True,
        networks=True,
        mesh=True,
        geometry=True,
        preview=True,
        footprint=Footprint(
            weights_bytes=400 * 10**6,  # 96 million float32, counted, and the head
            drive_bytes=600 * 2**20,  # estimated, as is the next
            render_bytes=1200 * 2**20,  # six views
            drive_work=0.105,  # TMAC, counted (tests hold it)
            view_work=0.0984,
        ),
    )
    linear: ClassVar[bool] = False
    "Whether hair and shoulders are the linear model's."
    published: ClassVar[tuple[Published, ...]] = (checkpoint.PUBLISHED,)

    def __init__(
        self,
        options: EngineOptions = EngineOptions(),
        *,
        small: bool = False,
        views_at_once: int | None = None,
    ) -> None:
        """With the imported weights, or with synthetic ones where `options` say so; `small` ones are a fraction of the size.

        `views_at_once` is how many views are shaded together. Raises WeightsMissing, UnknownRuntime.
        """
        self.noise = options.synthetic_weights
        self._runtime, self._precision = check(options.runtime), check_precision(options.precision)
        self._options, self._views_at_once, self._small = options, views_at_once, small
        self._networks = EachDevice(self._ready)
        if not self.noise:
            check_there(self.name, self.published, options.weights)

    @classmethod
    def on_trial(cls, small: bool = False) -> RomeEngine:
        """With invented weights, to try runtimes with; `small`: the same code at a fraction of its size."""
        return cls(EngineOptions(synthetic_weights=True), small=small)

    def warm_up(self) -> None:
        """Reads the weights and prepares what every frame needs: minutes, the first time that a GPU's kernels are compiled."""
        visible.compile_all()
        self._networks.here().prepare()

    def enrol(self, portrait: FaceObservation) -> RomeAvatar:
        """The portrait's avatar: 0.13 TMAC. Raises PortraitRejected."""
        return enrol(self._networks.here(), portrait)

    def drive(self, avatar: RomeAvatar, seen: FaceObservation) -> RomeState:
        """The avatar as `seen` moves it: 0.1 TMAC."""
        return drive(self._networks.here(), avatar, seen)

    def render(self, state: RomeState, cameras: Cameras) -> ViewSet:
        """The state from each camera: 0.1 TMAC a view."""
        return self.render_many([(state, cameras)])[0]

    @property
    def views_at_once(self) -> int:
        """Views of a full batch on the device that this thread works on."""
        return self._networks.here().views_at_once

    def render_many(self, requests: Sequence[tuple[RomeState, Cameras]]) -> list[ViewSet]:
        """What `render` gives for each (state, cameras); views of all of them fill the same batches."""
        shown = render(self._networks.here(), requests)
        if self.noise:
            for views in shown:
                noise.stamp(views.images)
        return shown

    def restyled(self, avatar: RomeAvatar, direction: int, millimetres: float) -> RomeAvatar:
        """The avatar with its hair (directions 0 to 49) or neck and shoulders (50 to 59) moved along one direction of the linear
        model, by so much as the root mean square of their vertices (supplement, figure 8)."""
        return edited(self._networks.here(), avatar, direction, millimetres)

    def mesh(self, state: RomeState, side: int = SIDE, progress: Progress = lambda *_: None) -> Mesh:
        """The state's head as it is, with the colours that its views show of it."""
        return exported.mesh(self._networks.here(), state)

    def asset(self, avatar: RomeAvatar) -> Asset:
        """A preview for whoever draws it elsewhere: FLAME's topology, hair as it is at rest, colours that its views show of it."""
        return geometry.asset(self._networks.here(), avatar)

    def motion(self, state: RomeState) -> Motion:
        """The state likewise: expression, jaw and turn."""
        return geometry.motion(self._networks.here(), state)

    def components(self, device: torch.device, precision: Precision) -> list[Component]:
        """A network of its own on `device`, component by component."""
        return self._made(device, precision).components()

    def _ready(self, device: torch.device) -> Rome:
        made = self._made(device, chosen_precision(self._precision, device))
        return made.run_by(choose(self._runtime, device, self._options.built), self._views_at_once)

    def _made(self, device: torch.device, precision: Precision) -> Rome:
        if self.noise:
            arch = synthetic.SMALL if self._small else Architecture()
            return synthetic.network(arch, device, precision.dtype, linear=self.linear)
        return Rome.from_tensors(
            checkpoint.imported(self._options.weights, self.linear), device=device, dtype=precision.dtype
        )


ENGINE = RomeEngine
