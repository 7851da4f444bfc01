"""Suitability: whether a picture can become an avatar, and what to do if not. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from engines.contract import PortraitRejected


@dataclass(frozen=True)
class Limits:
    """What a portrait has to meet."""

    smallest_face: float = 36.0
    "Pixels from forehead to chin: below, eyes are under 5 pixels wide and an avatar is a smear."
    darkest_face: float = 28.0
    "Mean luma of the face, 0..255. Dark skin in ordinary light lies above 45."
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
    if seen.luma < limits.darkest_face:
        raise PortraitRejected("too_dark", "The face is too dark. Turn a light towards it, or use a brighter photo.")
    if max(abs(seen.yaw), abs(seen.pitch)) > limits.most_turned:
        raise PortraitRejected("too_turned", "The face is turned too far away. Look towards the camera.")
