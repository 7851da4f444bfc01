"""Studio: what every call is made with: engines, kept avatars, observers of faces, one executor for all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.resources import files

import numpy as np

from display.colour import Layout
from display.quilt import Quilt
from engines import catalogue
from engines.contract import AnyEngine, FaceObservation
from pipeline.avatars import SAMPLE, AvatarRecord, Avatars, Consent
from pipeline.executors import Executor
from pipeline.executors.threads import Threads
from pipeline.frame import Frame
from pipeline.placement import Placement, preset
from pipeline.preprocess.observer import Observer, observe_portrait
from pipeline.session import Observer as Observing
from pipeline.session import Session
from pipeline.stages import Picture
from server import portraits
from server.settings import Settings


@dataclass(frozen=True)
class Studio:
    """Everything here may be called from any thread, and most of it takes its time: never from the event loop."""

    avatars: Avatars
    placement: Placement
    executor: Executor
    engine: Callable[[str], AnyEngine] = catalogue.load
    observer: Callable[[frozenset[str]], Observing] = Observer
    "Makes a caller's observer, given what the engine wants."
    observe_portrait: Callable[[Frame], FaceObservation] = observe_portrait

    def warm_up(self, engine: str) -> None:
        """Do once what would make the first caller wait: compile kernels, enrol the sample."""
        loaded = self.engine(engine)
        loaded.warm_up()
        self.avatars.ready(SAMPLE, loaded)

    def session(
        self,
        engine: str,
        avatar: str,
        present: Callable[[Picture], None],
        marked: bool,
        layout: Layout = Layout.I420,
        composed: Callable[[Quilt], None] | None = None,
    ) -> Session:
        """A running session. Raises UnknownEngine, WeightsMissing, UnknownAvatar."""
        loaded = self.engine(engine)
        enrolled = self.avatars.ready(avatar, loaded)
        observer = self.observer(loaded.wants)
        return Session(
            loaded,
            enrolled,
            observer,
            self.placement,
            self.executor,
            present,
            marked=marked,
            layout=layout,
            composed=composed,
        )

    def enrol(self, pixels: np.ndarray, consent: Consent, sha256: str, name: str, engine: str) -> AvatarRecord:
        """Keep the face in `pixels` [H, W, 3] uint8 RGB as an avatar that `engine` can use. Raises PortraitRejected."""
        loaded = self.engine(engine)
        portrait = self.observe_portrait(Frame(pixels, captured=0.0))
        record = self.avatars.keep(portrait, consent, sha256, name)
        try:
            self.avatars.ready(record.id, loaded)
        except BaseException:
            self.avatars.forget(record.id)  # a refused portrait leaves nothing behind
            raise
        return record

    def close(self) -> None:
        self.executor.close()


def sample_portrait() -> FaceObservation:
    """The built-in avatar's: a public-domain photograph that comes with matplotlib (Grace Hopper, United States Navy)."""
    photo = files("matplotlib") / "mpl-data" / "sample_data" / "grace_hopper.jpg"
    return observe_portrait(Frame(portraits.decode(photo.read_bytes(), most_pixels=1_000_000), captured=0.0))


def open_studio(settings: Settings) -> Studio:
    """The real one. Raises ModelMissing where a face model is configured that is not there."""
    placement, model = preset(settings.placement), settings.face_landmarker
    Observer(landmarker=model).close()  # a wrong path shows now, not when the first caller comes
    return Studio(
        Avatars(settings.data_dir, sample_portrait),
        placement,
        Threads(placement),
        observer=partial(Observer, landmarker=model),
        observe_portrait=partial(observe_portrait, landmarker=model),
    )
