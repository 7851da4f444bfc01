"""Suitability: whether a picture can become an avatar, and what to do if not. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from engines.contract import PortraitRejected

MIDDLE_GREY = 96.0
"Luma, 0..255: where a face has too little contrast, it lies in the dark below this."


@dataclass(frozen=True)
class Limits:
    """What a portrait has to meet."""

    smallest_face: float = 36.0
    "Pixels from forehead to chin: below, eyes are under 5 pixels wide and an avatar is a smear."
    least_contrast: float = 20.0
    """Levels between the darkest and the brightest parts of the face, of 255: fewer make a flat mask of bands. Faces in photos have
    90 to 145, at a fifth of their light 25; how dark skin is says nothing about it."""
    most_turned: float = 42.0
    "Degrees that a head may be turned or nodded: beyond, one half of the face is not in the picture."
    rival: float = 0.5
    "A second face counts if it is this large compared with the first; smaller ones are bystanders."


@dataclass(frozen=True)
class Seen:
    """What was found in a picture."""

    sizes: tuple[float, ...]
    "Heights of the faces in pixels, forehead to chin, largest first."
    luma: float = 128.0
    "Mean luma of the largest face, 0..255."
    contrast: float = 100.0
    "Between its darkest and its brightest twentieth, 0..255."
    yaw: float = 0.0
    "Degrees that the largest face is turned to a side."
    pitch: float = 0.0
    "Degrees that it is nodded up or down."


def require(seen: Seen, limits: Limits | None = None) -> None:
    """Raises PortraitRejected, with what to do, where `seen` cannot become an avatar."""
    limits = limits or Limits()
    if not seen.sizes:
        raise PortraitRejected(
            "no_face", "No face was found. Use a sharp, well lit photo that shows one whole face from the front."
        )
    if seen.sizes[0] < limits.smallest_face:
        raise PortraitRejected(
            "too_small",
            f"The face is only {seen.sizes[0]:.0f} pixels high and must be at least {limits.smallest_face:.0f}. "
            "Move closer to the camera or use a larger photo.",
        )
    if len(seen.sizes) > 1 and seen.sizes[1] >= limits.rival * seen.sizes[0]:
        raise PortraitRejected(
            "several_faces", "There is more than one face. Cut the photo so that only one person is in it."
        )
    if seen.contrast < limits.least_contrast and seen.luma < MIDDLE_GREY:
        raise PortraitRejected("too_dark", "The face is too dark. Turn a light towards it, or use a brighter photo.")
    if seen.contrast < limits.least_contrast:
        raise PortraitRejected(
            "too_flat", "The face has hardly any contrast. Use a photo without fog, glare or light from behind."
        )
    if max(abs(seen.yaw), abs(seen.pitch)) > limits.most_turned:
        raise PortraitRejected("too_turned", "The face is turned too far away. Look towards the camera.")
