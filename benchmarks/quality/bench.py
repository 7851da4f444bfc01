"""Bench: an engine whose avatars are looked at, and the instruments that look. Used from one thread at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from benchmarks.quality.driving import Driver, Moment, reference_of, turned_back
from benchmarks.quality.instruments.face import Looker, angles_of
from benchmarks.quality.seen import SIDE, Picture
from display.optics import Cameras, intrinsics, orbit
from engines.contract import CROP, AnyEngine, FaceObservation

FRONT = Cameras(orbit(0)[None], intrinsics()[None], CROP, CROP)
ENDS = 17.5
"Degrees to both sides of the product's fan."
SLIGHTLY = 2.0
"Degrees below which a portrait's own turn is not told from none."


@dataclass(frozen=True)
class Subject:
    """Who is shown."""

    name: str
    portrait: FaceObservation
    source: Picture


class Bench:
    """One engine, one looker."""

    def __init__(self, engine: AnyEngine, looker: Looker) -> None:
        self.engine, self.looker = engine, looker

    def subject(self, name: str, portrait: FaceObservation) -> Subject | None:
        """Whoever a portrait shows; None where the looker sees no face in it."""
        source = self.picture(reference_of(replace(portrait, roll=0.0)).pixels)
        return None if source.look is None else Subject(name, portrait, source)

    def picture(self, pixels: np.ndarray) -> Picture:
        """`pixels` [512, 512, 3] uint8, looked at."""
        return Picture(pixels, self.looker.look(pixels))

    def front(self, avatar: object, seen: FaceObservation) -> np.ndarray:
        """[512, 512, 3] uint8: the middle view."""
        return self.views(avatar, seen, FRONT)[0]

    def views(self, avatar: object, seen: FaceObservation, cameras: Cameras) -> np.ndarray:
        """[V, H, W, 3] uint8."""
        with torch.inference_mode():
            made = self.engine.render(self.engine.drive(avatar, seen), cameras).images
        return np.ascontiguousarray(made[..., :3].cpu().numpy())

    def left_in(self, avatar: object, subject: Subject) -> tuple[float, float]:
        """Yaw and pitch, in degrees, of the portrait that the engine adds to its driver's: seen, not asked. An avatar whose driver
        looks straight ahead either keeps its portrait's turn or loses it."""
        own = angles_of(subject.portrait.head_rotation)[:2]
        size = float(np.linalg.norm(own))
        straight = turned_back(subject.portrait, *own)
        seen = self.looker.look(self.front(avatar, replace(straight, neutral=straight.shape)))
        before = subject.source.look
        if size < SLIGHTLY or seen is None or before is None:
            return 0.0, 0.0
        lost = float((before.angles[:2] - seen.angles[:2]) @ own) / size**2
        return (0.0, 0.0) if lost > 0.5 else (float(own[0]), float(own[1]))

    def played(self, avatar: object, driver: Driver, change: Callable[[Moment], FaceObservation]) -> list[Picture]:
        """The middle view of every moment; of those without a reference its pixels are the small ones."""
        made = []
        for moment in driver.moments:
            picture = self.picture(self.front(avatar, change(moment)))
            made.append(picture if moment.reference else Picture(picture.small, picture.look))
        return made

    def beside(self, avatar: object, seen: FaceObservation) -> np.ndarray:
        """[2, SIDE, SIDE, 3] uint8: the views from both ends of the fan."""
        at = np.stack([orbit(-ENDS), orbit(ENDS)])
        return self.views(avatar, seen, Cameras(at, np.repeat(intrinsics()[None], 2, 0), SIDE, SIDE))
