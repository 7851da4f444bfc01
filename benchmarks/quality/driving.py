"""Driving: a clip as the product's own Observer sees it, and beside every frame what an avatar would have to look like."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np

from benchmarks.quality.instruments.face import Look, Looker, angles_of, rotation_of
from benchmarks.quality.seen import SIDE, Picture
from engines.contract import CROP, FaceObservation, PortraitRejected
from pipeline.frame import Frame
from pipeline.preprocess import framing
from pipeline.preprocess.observer import Observer, observe_portrait

WANTS = frozenset({"crop", "matte"})
MOST_LOOKED_AT = 100
"Frames of a clip that are tried as a portrait."


@dataclass(frozen=True)
class Reference:
    """A frame as an avatar in the crop's framing would show it."""

    pixels: np.ndarray
    "[512, 512, 3] uint8: the person on black, as much rolled as in the frame."
    matte: np.ndarray
    "[512, 512] float32 0..1, rolled alike."


@dataclass(frozen=True)
class Moment:
    """One frame of a driver."""

    number: int
    at: float
    "Seconds."
    seen: FaceObservation
    "By the product's own Observer."
    raw: FaceObservation | None
    "By one that does not smooth; None where nobody asked."
    small: np.ndarray
    "[256, 256, 3] uint8: the reference; black where there is no face."
    look: Look | None
    "At the reference."
    reference: Reference | None
    "Kept of frames that are scored, and of the next after each."


@dataclass(frozen=True)
class Driver:
    """A clip that was observed from its beginning."""

    name: str
    moments: list[Moment]
    scored: list[int]
    "Indices into `moments`."
    held: Frame | None
    "The frame that is held still to measure trembling: the first with a face."


def observe(
    name: str,
    frames: Iterator[Frame],
    first: int,
    count: int | None,
    every: int,
    wants: frozenset[str],
    looker: Looker,
    raw: bool,
) -> Driver:
    """Frames `first` to `first + count` of a clip; those before are observed too, as live. Every `every`-th is scored. `raw`: also
    without smoothing."""
    moments: list[Moment] = []
    held: Frame | None = None
    with Observer(wants | WANTS) as observer, Observer(wants, smoothed=False) as unsmoothed:
        for frame in frames:
            if count is not None and frame.sequence >= first + count:
                break
            seen = observer.observe(frame)
            seen_raw = unsmoothed.observe(frame) if raw else None
            if frame.sequence < first:
                continue
            there = seen.confidence > 0
            reference = reference_of(seen) if there else None
            look = looker.look(reference.pixels) if reference else None
            if held is None and look is not None:
                held = frame
            near = (frame.sequence - first) % every in (0, 1)
            small = Picture(reference.pixels, None).small if reference else np.zeros((SIDE, SIDE, 3), np.uint8)
            kept = reference if near else None
            moments.append(Moment(frame.sequence, frame.captured, _slim(seen, wants), seen_raw, small, look, kept))
    scored = [
        index
        for index, one in enumerate(moments)
        if (one.number - first) % every == 0 and one.look is not None and one.reference is not None
    ]
    return Driver(name, moments, scored, held)


def source_of(frames: Iterator[Frame], chosen: int | None) -> tuple[FaceObservation, int]:
    """The portrait among a clip's frames, or the picture itself: the frame called for, else the first that is accepted; and its
    number. Without its surroundings: avatars are framed as their references are. Raises PortraitRejected."""
    refused = PortraitRejected("no_face", "the clip has no such frame")
    for frame in frames:
        if chosen is not None and frame.sequence < chosen:
            continue
        try:
            return replace(observe_portrait(frame), around=None), frame.sequence
        except PortraitRejected as failure:
            refused = failure
        if chosen is not None or frame.sequence >= MOST_LOOKED_AT:
            break
    raise refused


def reference_of(seen: FaceObservation) -> Reference:
    """Crop and matte, with the roll that was turned back restored."""
    assert seen.crop is not None
    assert seen.matte is not None
    turn = cv2.getRotationMatrix2D((CROP / 2, CROP / 2), float(np.degrees(seen.roll)), 1.0)
    crop = cv2.warpAffine(seen.crop, turn, (CROP, CROP), flags=cv2.INTER_LINEAR)
    matte = cv2.warpAffine(seen.matte, turn, (CROP, CROP), flags=cv2.INTER_LINEAR)
    return Reference((crop * matte[..., None] + 0.5).astype(np.uint8), matte)


def turned_back(seen: FaceObservation, yaw: float, pitch: float) -> FaceObservation:
    """`seen` with so many degrees less of yaw (to the picture's right) and pitch (up); expression and roll stay."""
    rotation = seen.head_rotation
    now = angles_of(rotation)
    turned = rotation_of(now[0] - yaw, now[1] - pitch) @ rotation_of(now[0], now[1]).T @ rotation
    stance = framing.Stance(turned, 1.0, np.zeros(3))
    return replace(
        seen,
        landmarks=framing.in_crop(seen.shape, stance.upright),
        pose=framing.pose_of(stance.upright),
        roll=stance.roll,
    )


def _slim(seen: FaceObservation, wants: frozenset[str]) -> FaceObservation:
    crop = seen.crop if "crop" in wants else None
    return replace(seen, crop=crop, matte=seen.matte if "matte" in wants else None)
