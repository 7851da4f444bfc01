"""The VOODOO 3D engine: the published network behind the three verbs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch

from display.optics import Cameras
from display.views import ViewSet
from engines import noise
from engines.contract import Abilities, FaceObservation, Footprint
from engines.loading import EachDevice, check_there
from engines.options import EngineOptions
from engines.runtime import Component, Precision, check, check_precision, choose, chosen_precision
from engines.shared_volume import Sampling
from engines.triplane import TriplaneField
from engines.voodoo3d import checkpoint, components, synthetic
from engines.voodoo3d.architecture import Architecture
from engines.voodoo3d.drive import Voodoo3dState, drive
from engines.voodoo3d.enrol import Samples, Voodoo3dAvatar, enrol
from engines.voodoo3d.network import Voodoo3D
from engines.voodoo3d.render import looking, render
from engines.voodoo3d.warp import Resolved, Warp, chosen_views

VIEWS_OF_A_QUILT = 24
"Of our own screen: what marches are held against eager with."
PICTURES_AT_ONCE = {Resolved.SECOND: 7, Resolved.THIRD: 9}
"Super-resolved together on a GPU where not every view is: of a quilt's 24 are 13, which make two batches, or 9, one."


class Voodoo3d:
    """VOODOO 3D: a volumetric head from one photo, driven by another face; needs the public checkpoint and a GPU for real time."""

    name: ClassVar[str] = "voodoo3d"
    wants: ClassVar[frozenset[str]] = frozenset({"crop", "matte"})
    abilities: ClassVar[Abilities] = Abilities(
        batches=True,
        networks=True,
        volume=True,
        footprint=Footprint(
            weights_bytes=717 * 10**6,  # 179 million float32, counted
            drive_bytes=1500 * 2**20,  # estimated, as is the next
            render_bytes=4800 * 2**20,  # eight views at the 0.6 GB that one takes on a CPU
            drive_work=0.615,  # TMAC, counted (tests hold it)
            view_work=0.207,
        ),
    )

    def __init__(
        self,
        options: EngineOptions = EngineOptions(),
        *,
        network: Voodoo3D | None = None,
        samples: Samples = Samples(),
        sampling: Sampling = Sampling.SHARED_VOLUME,
        views_at_once: int | None = None,
    ) -> None:
        """With the imported weights, or with `network`, run as it is; `views_at_once` is how many pictures are super-resolved
        together. Raises WeightsMissing, UnknownRuntime.
        """
        self.noise = options.synthetic_weights
        self.samples, self.sampling = samples, sampling
        self._runtime, self._precision = check(options.runtime), check_precision(options.precision)
        self._kept, self._place = options.built, checkpoint.PUBLISHED.place(options.weights)
        self._views_at_once = views_at_once
        self.resolved = chosen_views(options.superresolved)
        self._given = network
        self._networks = EachDevice(self._ready, None if network is None else {network.device: network})
        if network is None and not self.noise:
            check_there(self.name, [checkpoint.PUBLISHED], options.weights)

    @classmethod
    def on_trial(cls, small: bool = False) -> Voodoo3d:
        """With invented weights, to try runtimes with; `small`: the same code at a fraction of its size."""
        options = EngineOptions(synthetic_weights=True)
        if not small:
            return cls(options)
        return cls(options, network=synthetic.network(Architecture(image=64, thin=16)), samples=Samples(12, 12))

    def warm_up(self) -> None:
        """Reads the weights and prepares what every frame needs: minutes, the first time that a GPU's kernels are compiled."""
        network = self._networks.here()
        network.prepare([looking(network, 1, self.samples, Sampling.EXACT)])

    def enrol(self, portrait: FaceObservation) -> Voodoo3dAvatar:
        """The portrait's avatar: 0.8 TMAC, some 10 s on two CPU cores. Raises PortraitRejected."""
        return enrol(self._networks.here(), portrait, self.samples)

    def drive(self, avatar: Voodoo3dAvatar, seen: FaceObservation) -> Voodoo3dState:
        """The avatar as `seen` moves it: 0.6 TMAC."""
        return drive(self._networks.here(), avatar, seen, self.samples)

    def render(self, state: Voodoo3dState, cameras: Cameras) -> ViewSet:
        """The state from each camera: 0.2 TMAC a view."""
        return self.render_many([(state, cameras)])[0]

    @property
    def views_at_once(self) -> int:
        """Views of a full batch on the device that this thread works on; one where views are warped over from neighbours:
        a batch filled up with part of another frame would cut neighbours apart, which costs more than it gains."""
        return 1 if self.resolved is not Resolved.EVERY else self._networks.here().views_at_once

    def render_many(self, requests: Sequence[tuple[Voodoo3dState, Cameras]]) -> list[ViewSet]:
        """What `render` gives for each (state, cameras); views of all of them fill the same batches."""
        shown = render(self._networks.here(), requests, self.samples, self.sampling, self.resolved)
        if self.noise:
            for views in shown:
                noise.stamp(views.images)
        return shown

    def field(self, state: Voodoo3dState) -> TriplaneField:
        """The state's density and colour in space, for a mesh (engines/mesh.py)."""
        network = self._networks.here()
        return network.field(state.planes.to(network.device))

    def components(self, device: torch.device, precision: Precision) -> list[Component]:
        """A network of its own on `device`, component by component, with the drivers' march and both marches of a quilt."""
        network = self._made(device, precision)
        marches = ((1, Sampling.EXACT), (VIEWS_OF_A_QUILT, Sampling.EXACT), (VIEWS_OF_A_QUILT, Sampling.SHARED_VOLUME))
        looks = [looking(network, views, self.samples, sampling) for views, sampling in marches]
        return [*network.components(looks), components.warp(network, Warp(VIEWS_OF_A_QUILT, Resolved.SECOND))]

    def _ready(self, device: torch.device) -> Voodoo3D:
        made = self._made(device, chosen_precision(self._precision, device))
        at_once = self._views_at_once or pictures_at_once(self.resolved, device)
        return made.run_by(choose(self._runtime, device, self._kept), at_once)

    def _made(self, device: torch.device, precision: Precision) -> Voodoo3D:
        if self._given is not None:
            return Voodoo3D.from_tensors(self._given.state_dict(), self._given.arch, device, precision.dtype)
        if self.noise:
            return synthetic.network(device=device, dtype=precision.dtype)
        return Voodoo3D.from_checkpoint(self._place, device=device, dtype=precision.dtype)


def pictures_at_once(resolved: Resolved, device: torch.device) -> int | None:
    """How many are super-resolved together on `device` unless somebody says otherwise; None: as many as of any views."""
    return PICTURES_AT_ONCE.get(resolved) if device.type == "cuda" else None


ENGINE = Voodoo3d
