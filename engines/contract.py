"""Contract: what every engine is. Three verbs and the types between them; nothing else is an engine.

Knows nothing of frames, callers or time: an engine sees one observation and answers with views.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import numpy as np

from display.optics import Cameras
from display.views import ViewSet

CROP = 512
"Side in pixels of the aligned crop that engines see."
AROUND = 96
"Pixels on each side of the crop that a portrait's surroundings show besides: hair, hats, shoulders."
EXPRESSION_KEPT = 0.0
"Of a portrait's own expression, if nothing else is asked for: neutral follows a driver best."


@dataclass(frozen=True)
class FaceObservation:
    """One face, seen once, in the official framing of VOODOO 3D. A portrait and a live frame come out the same."""

    landmarks: np.ndarray
    "[478, 3] float32, crop pixels: x right, y down, z into the scene, in the same pixel unit (MediaPipe's refined mesh)."
    shape: np.ndarray
    "[478, 3] float32: the same points freed of pose and size, in the axes and centimetres of MediaPipe's canonical face."
    neutral: np.ndarray
    "[478, 3] float32, as `shape`: what this face looks like at rest, as far as it is known by now. Expression = shape - neutral."
    pose: np.ndarray
    "[4, 4] float32 cam2world of the camera that took this picture, in the head's own world (display/optics.py)."
    confidence: float
    "0..1: how sure the tracker is that these points are a face."
    presence: float = 1.0
    "0..1: 1 while the face is followed; falls to 0 after it is lost. An engine shows its avatar this far from rest."
    roll: float = 0.0
    "Radians, counter-clockwise as seen, that the crop was turned back to stand upright; `landmarks` and `pose` are the crop's."
    mouth_seen: bool = True
    "False where the portrait's mouth is covered, for instance by a mask: an engine opens none there."
    expression_kept: float = EXPRESSION_KEPT
    "0..1: the share of a portrait's own expression that its avatar has at rest: 0 makes it neutral, 1 leaves it as in the photo."
    crop: np.ndarray | None = None
    "[512, 512, 3] uint8 RGB aligned crop, where the engine wants it."
    matte: np.ndarray | None = None
    "[512, 512] float32 0..1, 1 on the person, where the engine wants it."
    around: np.ndarray | None = None
    """[704, 704, 4] uint8, of a portrait: the crop with AROUND more on each side, RGB, and its matte in the fourth channel: 1 nobody ..
    255 the person; 0 where the photo has ended. None where nothing is known but the crop."""
    place: np.ndarray | None = None
    "[3] float32 millimetres: where the head is before its camera, right and up as that person sees them, and away; None if unknown."
    size: float | None = None
    "Pixels from forehead to chin in the picture that the tracker looked at; None if unknown."
    actions: np.ndarray | None = None
    "[51] float32 0..1: what the face does, by the names of engines/actions.py, its own rest taken off; where the engine wants it."

    @property
    def posed(self) -> bool:
        """Whether `pose` and `roll` are a camera somewhere: finite, a turn without stretch, and away from the head's middle."""
        if not (np.isfinite(self.pose).all() and math.isfinite(self.roll)):
            return False
        return abs(np.linalg.det(self.pose[:3, :3]) - 1) < 0.01 and bool(np.linalg.norm(self.pose[:3, 3]) > 0)

    @property
    def head_rotation(self) -> np.ndarray:
        """[3, 3] float32: turns the head at rest (world axes: y up, looking along +z) to the head as seen, its roll included.

        A portrait has no roll: its avatar starts upright, however the photo was held.
        """
        upright = np.diag([1.0, -1.0, -1.0]).astype(np.float32)
        cos, sin = math.cos(self.roll), math.sin(self.roll)
        rolled = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]], dtype=np.float32)
        return rolled @ upright @ self.pose[:3, :3].T


@dataclass(frozen=True)
class Needs:
    """What an engine lacks on this machine, in words for the operator."""

    weights: str
    "The file it wants."
    place: str
    "Where to put it."
    command: str
    "The command that imports it."


class PortraitRejected(ValueError):
    """The caller's portrait cannot become an avatar. `reason` is a stable word for programs, the message is for people."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class AvatarRefused(ValueError):
    """The file that somebody brought is no avatar of this engine's. `reason` is a stable word for programs, the message is one line
    for people: what is wrong, who can mend it and how."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class UnknownEngine(ValueError):
    """The caller named an engine that does not exist; the message lists those that do."""


class WeightsMissing(RuntimeError):
    """The operator has to bring a file before this engine can run; the message says which, where and how."""

    def __init__(self, engine: str, needs: Needs) -> None:
        super().__init__(f"engine {engine!r} needs {needs.weights} at {needs.place}: {needs.command}")
        self.engine, self.needs = engine, needs


class Avatar(Protocol):
    """What an engine's enrol() made of a portrait. Opaque: only that engine looks into it."""


class DrivenState(Protocol):
    """What an engine's drive() made of an avatar and an observation. Opaque, except that tensors in it may be copied to a device."""


@dataclass(frozen=True)
class Footprint:
    """What an engine asks of GPUs, so that they can be shared out before it is loaded."""

    weights_bytes: int
    "On each GPU that drives or renders."
    drive_bytes: int
    "Besides, while driving."
    render_bytes: int
    "Besides, while rendering a full batch."
    drive_work: float
    "Of a frame, in any unit."
    view_work: float
    "Of a view, in the same unit."


@dataclass(frozen=True)
class Abilities:
    """What an engine is besides the three verbs. Declared by its class, and asked here alone, before or after it is loaded."""

    parallel: bool = False
    """Its views are parallel projections along each camera's axis; all others see in perspective.

    A light-field display has to know: it makes off-axis views of both, in different ways (display/offaxis.py). Such an engine
    takes each camera's own focal length across and principal point, by which it draws off-axis views itself."""
    batches: bool = False
    "Views of several avatars may fill its batches together: it is a SharesBatches."
    networks: bool = False
    "It has networks for a runtime to run: it is a HasComponents (engines/runtime)."
    volume: bool = False
    "It can tell density and colour in space, from which a mesh is taken: it is a HasVolume (engines/mesh.py)."
    mesh: bool = False
    "It can give its driven head as a mesh: it is a HasMesh (engines/mesh.py)."
    geometry: bool = False
    "Its avatars can be drawn where they are seen: it is a HasGeometry (engines/geometry/asset.py)."
    preview: bool = False
    "What is drawn of it so is a preview, and not the picture that it renders."
    rig: bool = False
    "Its avatars can be exported with named facial actions: it is a HasRig (engines/geometry/rigged.py)."
    several: bool = False
    "Several photos of one person make a better avatar than one: it is a TakesSeveral."
    brought: bool = False
    "Its avatars are made elsewhere and brought as files; none is enrolled from a photo: it is a TakesAvatars."
    mark: str = "AI avatar"
    "What every view says it is (display/label.py knows its letters)."
    footprint: Footprint | None = None
    "What it asks of GPUs; None where it works on the processor."


AvatarT = TypeVar("AvatarT")
StateT = TypeVar("StateT")


class Engine(Protocol, Generic[AvatarT, StateT]):
    """Stateless between frames: an avatar may be driven by any caller, a state rendered by any renderer."""

    name: ClassVar[str]
    abilities: ClassVar[Abilities]
    wants: ClassVar[frozenset[str]]
    """What drive() reads of an observation besides landmarks and pose: any of {"crop", "matte", "actions"}. enrol() always gets the
    first two."""

    noise: bool
    "Its weights are invented: what it shows is noise, and says so."

    def warm_up(self) -> None:
        """Compile or load everything heavy, so that the first caller does not wait for it."""
        ...

    def enrol(self, portrait: FaceObservation) -> AvatarT:
        """All work that depends on the portrait alone; once. Raises PortraitRejected."""
        ...

    def drive(self, avatar: AvatarT, seen: FaceObservation) -> StateT:
        """The avatar as `seen` moves it; once per frame. Never rejects: what cannot be followed eases to rest.

        Pose is absolute: the avatar looks where `seen` looks, whichever way its portrait was turned, tilted or nodded; at rest it
        looks straight ahead.
        """
        ...

    def render(self, state: StateT, cameras: Cameras) -> ViewSet:
        """The state from each camera; once per frame and renderer."""
        ...


@dataclass(frozen=True)
class Brought:
    """An avatar that was made elsewhere, as its engine read it."""

    arrays: Mapping[str, np.ndarray]
    "By name: all that the engine needs of it, and all that is kept."
    licence: str
    "What made it and on which terms, in one line for people: shown wherever the avatar is, and kept with it."


class TakesAvatars(Protocol):
    """An engine whose avatars are brought (Abilities.brought). Its enrol() refuses every photo, and says how to come by an avatar."""

    def bring(self, file: bytes) -> Brought:
        """Read a file as its maker exports it. Raises AvatarRefused."""
        ...

    def made(self, arrays: Mapping[str, np.ndarray]) -> Any:
        """The avatar of what is kept of it. Raises ValueError where these are not what `bring` gave."""
        ...

    def mannequin(self) -> Any:
        """An avatar that comes with the program and shows nobody."""
        ...


class TakesSeveral(Protocol):
    """An engine that makes one portrait of several photos."""

    def together(self, portraits: Sequence[FaceObservation]) -> FaceObservation:
        """One portrait, that any engine may enrol, of two or three of the same person, which have crops and mattes. Raises
        PortraitRejected where they do not go together."""
        ...


class SharesBatches(Protocol):
    """An engine whose networks take batches of a fixed size, which views of several avatars may fill together."""

    @property
    def views_at_once(self) -> int:
        """Views of a full batch on the device that this thread works on."""
        ...

    def render_many(self, requests: Sequence[tuple[Any, Cameras]]) -> list[ViewSet]:
        """What `render` gives for each (state, cameras), in their order; at most the last batch is not full."""
        ...


AnyEngine = Engine[Any, Any]
