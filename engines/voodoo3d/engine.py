"""The VOODOO 3D engine: the published network behind the three verbs."""

from __future__ import annotations

import os
import threading
from typing import ClassVar

import torch

from display.optics import Cameras
from display.views import ViewSet
from engines.contract import FaceObservation, Needs, WeightsMissing
from engines.shared_volume import Sampling
from engines.triplane import TriplaneField
from engines.voodoo3d import checkpoint, synthetic
from engines.voodoo3d.drive import Voodoo3dState, drive
from engines.voodoo3d.enrol import Samples, Voodoo3dAvatar, enrol
from engines.voodoo3d.network import Voodoo3D
from engines.voodoo3d.render import render
from engines.weights import SYNTHETIC


class Voodoo3d:
    """VOODOO 3D: a volumetric head from one photo, driven by another face; needs the public checkpoint and a GPU for real time."""

    name: ClassVar[str] = "voodoo3d"
    wants: ClassVar[frozenset[str]] = frozenset({"crop", "matte"})

    def __init__(
        self,
        network: Voodoo3D | None = None,
        *,
        noise: bool | None = None,
        samples: Samples = Samples(),
        sampling: Sampling = Sampling.SHARED_VOLUME,
    ) -> None:
        """With the imported weights, or with `network`; `noise` says that its weights are synthetic. Raises WeightsMissing."""
        self.noise = os.environ.get(SYNTHETIC) == "1" if noise is None else noise
        self.samples, self.sampling = samples, sampling
        self._loading = threading.Lock()
        self._on: dict[torch.device, Voodoo3D] = {} if network is None else {network.device: network}
        if network is None and not self.noise and not checkpoint.PUBLISHED.place.is_file():
            wanted = checkpoint.PUBLISHED
            needs = Needs(f"{wanted.file} ({wanted.where})", str(wanted.place), wanted.command)
            raise WeightsMissing(self.name, needs)

    def warm_up(self) -> None:
        """Reads the weights."""
        self._network()

    def enrol(self, portrait: FaceObservation) -> Voodoo3dAvatar:
        """The portrait's avatar: 0.8 TMAC, some 10 s on two CPU cores. Raises PortraitRejected."""
        return enrol(self._network(), portrait, self.samples)

    def drive(self, avatar: Voodoo3dAvatar, seen: FaceObservation) -> Voodoo3dState:
        """The avatar as `seen` moves it: 0.6 TMAC."""
        return drive(self._network(), avatar, seen, self.samples)

    def render(self, state: Voodoo3dState, cameras: Cameras) -> ViewSet:
        """The state from each camera: 0.2 TMAC a view."""
        views = render(self._network(), state, cameras, self.samples, self.sampling)
        if self.noise:
            synthetic.stamp(views.images)
        return views

    def field(self, state: Voodoo3dState) -> TriplaneField:
        """The state's density and colour in space, for a mesh (engines/mesh.py)."""
        network = self._network()
        return network.field(state.planes.to(network.device))

    def _network(self) -> Voodoo3D:
        """The network on the device that this thread works on; read when first wanted, once per device."""
        with self._loading:
            here = _device(self._on)
            if here not in self._on:
                self._on[here] = (
                    synthetic.network(device=here)
                    if self.noise
                    else Voodoo3D.from_checkpoint(checkpoint.PUBLISHED.place, device=here)
                )
            return self._on[here]


def _device(loaded: dict[torch.device, Voodoo3D]) -> torch.device:
    """This thread's GPU, or the CPU; where the network is only on a CPU (it was given so) that is where it works."""
    if torch.cuda.is_available() and not (loaded and all(device.type == "cpu" for device in loaded)):
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


ENGINE = Voodoo3d
