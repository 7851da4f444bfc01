"""Services: the service container: what every channel is made with: engines, kept avatars, observers of faces, one executor for all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.resources import files
from typing import Any

import numpy as np
import structlog

from display import planar
from display.colour import Layout
from display.optics import Cameras, intrinsics, orbit
from display.quilt import Quilt
from display.screen import Screen, screen
from engines import catalogue
from engines.contract import CROP, EXPRESSION_KEPT, AnyEngine, FaceObservation, Footprint, PortraitRejected
from engines.geometry.motion import Motion
from pipeline.avatar_files import AvatarRecord, Consent
from pipeline.avatars import SAMPLE, AvatarDamaged, Avatars, UnknownAvatar
from pipeline.devices import gpus, planner
from pipeline.devices.planner import Planned
from pipeline.devices.transfer import working_on
from pipeline.executors.deployments import Deployments
from pipeline.frame import Frame
from pipeline.likeness.comparing import Comparing, comparing
from pipeline.preprocess.observer import Observer, observe_portrait
from pipeline.session import Observer as Observing
from pipeline.session import Session
from pipeline.stages import Picture
from server.media import portraits
from server.settings import Settings

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Services:
    """Everything here may be called from any thread, and most of it takes its time: never from the event loop."""

    avatars: Avatars
    deployments: Deployments
    engine: Callable[[str], AnyEngine] = catalogue.load
    observer: Callable[[frozenset[str]], Observing] = Observer
    "Makes a caller's observer, given what the engine wants."
    observe_portrait: Callable[[Frame], FaceObservation] = observe_portrait
    likeness: Comparing | None = None
    "Whether a caller looks like the portrait, where the operator has brought a network for that."

    def warm_up(self, engine: str) -> None:
        """Do once what would make the first caller wait: compile kernels, enrol the sample."""
        loaded = self.engine(engine)
        self.deployments.warm_up(loaded)
        planar.warm_up()
        self.enrolled(SAMPLE, loaded)

    def session(
        self,
        engine: str,
        avatar: str,
        present: Callable[[Picture], None],
        marked: bool,
        layout: Layout = Layout.I420,
        composed: Callable[[Screen, Quilt], None] | None = None,
        gone: Callable[[str], None] = lambda reason: None,
        looked: Callable[[FaceObservation, float], None] | None = None,
        moved: Callable[[Motion, Frame], None] | None = None,
    ) -> Session:
        """A running session, which tells `gone` why no frame can be finished any more, `looked` of each observation, and `moved` of
        motion.

        Raises UnknownEngine, WeightsMissing, UnknownAvatar, PlacementImpossible.
        """
        loaded = self.engine(engine)
        place = self.deployments.of(loaded)
        enrolled = self.enrolled(avatar, loaded)
        observer = self.observer(loaded.wants)
        return Session(
            loaded,
            enrolled,
            observer,
            place.placement,
            place.executor,
            present,
            marked=marked,
            layout=layout,
            composed=composed,
            looked=looked,
            moved=moved,
            gone=gone,
        )

    def enrol(
        self,
        photos: Sequence[np.ndarray],
        consent: Consent,
        sha256: str,
        name: str,
        engine: str,
        expression: float = EXPRESSION_KEPT,
    ) -> AvatarRecord:
        """Keep the face in `photos`, each [H, W, 3] uint8 RGB, as an avatar that `engine` can use, with this share of its `expression`.

        Raises PortraitRejected, NoRoomForAvatars.
        """
        self.avatars.check_room()
        loaded = self.engine(engine)
        portrait = replace(observed(photos, loaded, self.observe_portrait), expression_kept=expression)
        record = self.avatars.keep(portrait, consent, sha256, name)
        try:
            self.enrolled(record.id, loaded)
        except BaseException:
            self.avatars.forget(record.id)  # a refused portrait leaves nothing behind
            raise
        return record

    def bring(self, file: bytes, consent: Consent, sha256: str, name: str) -> AvatarRecord:
        """Keep an avatar that was made elsewhere, for the engine that takes such files. Raises AvatarRefused, NoRoomForAvatars."""
        loaded = self.engine(catalogue.TAKING)
        with working_on(self.deployments.of(loaded).placement.drive):
            return kept(self.avatars, loaded, file, consent, sha256, name)

    def engine_of(self, avatar: str, usual: str) -> str:
        """What shows `avatar` where no engine is named: its own, of one that was brought, else the `usual` one."""
        try:
            return self.avatars.get(avatar).engine or usual
        except (UnknownAvatar, AvatarDamaged):  # whoever makes something of it is told
            return usual

    def check(self, avatar: str, engine: str) -> None:
        """Raises UnknownEngine, WeightsMissing, UnknownAvatar, AvatarDamaged or WrongEngine where no session can be made with these."""
        self.avatars.check(avatar, self.engine(engine))

    def close(self) -> None:
        self.deployments.close()

    def enrolled(self, avatar: str, engine: AnyEngine) -> Any:
        """The avatar, enrolled on the GPU that drives it, where there is one: another may have no memory for that."""
        with working_on(self.deployments.of(engine).placement.drive):
            return self.avatars.ready(avatar, engine)


def observed(
    photos: Sequence[np.ndarray], engine: AnyEngine, observe: Callable[[Frame], FaceObservation] = observe_portrait
) -> FaceObservation:
    """The one portrait of a person that `photos`, each [H, W, 3] uint8 RGB, show. Raises PortraitRejected, which names the photo."""
    if len(photos) > 1 and not engine.abilities.several:
        raise PortraitRejected(
            "one_photo",
            f"The engine {engine.name} takes one photo of a person: leave the others out, or choose relief.",
        )
    seen = []
    for number, pixels in enumerate(photos, 1):
        try:
            seen.append(observe(Frame(pixels, captured=0.0)))
        except PortraitRejected as refused:
            which = f"Photo {number} of {len(photos)}: " if len(photos) > 1 else ""
            raise PortraitRejected(refused.reason, f"{which}{refused}") from None
    merging: Any = engine
    return seen[0] if len(seen) == 1 else merging.together(seen)


def kept(avatars: Avatars, engine: AnyEngine, file: bytes, consent: Consent, sha256: str, name: str) -> AvatarRecord:
    """What `engine`, which takes avatars, reads of an exported `file`, kept with a picture. Raises AvatarRefused, NoRoomForAvatars."""
    taking: Any = engine
    avatars.check_room()
    brought = taking.bring(file)
    picture = at_rest(engine, taking.made(brought.arrays))
    return avatars.keep_brought(brought, engine.name, picture, consent, sha256, name)


def at_rest(engine: AnyEngine, avatar: Any) -> np.ndarray:
    """[512, 512, 3] uint8 RGB: what an engine shows of an avatar from the front while nobody moves it."""
    nobody, ahead = np.zeros((478, 3), np.float32), orbit(0.0)
    seen = FaceObservation(nobody, nobody, nobody, ahead, confidence=0.0, presence=0.0)
    camera = Cameras(ahead[None], intrinsics()[None], CROP, CROP)
    return engine.render(engine.drive(avatar, seen), camera).images[0, :, :, :3].cpu().numpy()


def sample_portrait() -> FaceObservation:
    """The built-in avatar's: a public-domain photograph that comes with matplotlib (Grace Hopper, United States Navy)."""
    photo = files("matplotlib") / "mpl-data" / "sample_data" / "grace_hopper.jpg"
    return observe_portrait(Frame(portraits.decode(photo.read_bytes(), most_pixels=1_000_000), captured=0.0))


def open_avatars(settings: Settings) -> Avatars:
    """Those that are kept here."""
    return Avatars(
        settings.data_dir, sample_portrait, most=settings.max_avatars, min_free_bytes=settings.min_free_bytes
    )


def open_services(settings: Settings) -> Services:
    """The real one. Raises ModelMissing where a face model is configured that is not there."""
    model = settings.face_landmarker
    Observer(landmarker=model).close()  # a wrong path shows now, not when the first caller comes
    return Services(
        open_avatars(settings),
        Deployments(partial(_planned, settings)),
        partial(catalogue.load, options=settings.engine_options),
        observer=partial(Observer, landmarker=model, weights=settings.engine_options.weights),
        observe_portrait=partial(observe_portrait, landmarker=model),
        likeness=comparing(settings.identity_model),
    )


def planned(settings: Settings, engine: str, needs: Footprint | None) -> Planned:
    """Where an engine that asks for `needs` will run. Raises UnknownPlacement, PlacementImpossible."""
    return planner.chosen(settings.placement, gpus.present(), engine, needs, screen(settings.screen).views)


def _planned(settings: Settings, engine: AnyEngine) -> Planned:
    found = planned(settings, engine.name, engine.abilities.footprint)
    log.info("placed", engine=engine.name, placement=found.placement.name, why=" ".join(found.explanation))
    return found
