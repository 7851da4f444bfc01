"""Protocols: which pairs are measured, by name. Those of the papers follow what these write, and no more than that."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import product
from pathlib import Path

from benchmarks.quality.media import Media, MediaUnusable, Pair

CANTOR = "WRA_EricCantor_000"
"The one driver of LPR's split of HDTF."
FIRST_FRAMES = 200
"Of every other video, in VOODOO 3D's cross-reenactment."


def all_pairs(media: Media) -> list[Pair]:
    """Every clip by itself, then every portrait and clip by every clip of somebody else."""
    selves = [Pair(clip, None, clip) for clip in media.clips]
    sources = [*media.portraits, *media.clips]
    return selves + [
        Pair(source, None, driver)
        for source, driver in product(sources, media.clips)
        if media.person(source) != media.person(driver)
    ]


def voodoo3d_hdtf(media: Media) -> list[Pair]:
    """VOODOO 3D: the first frame of each video by the rest of it, and by the first 200 frames of every other."""
    selves = [Pair(clip, 0, clip, 1) for clip in media.clips]
    return selves + [
        Pair(source, 0, driver, 0, FIRST_FRAMES)
        for source, driver in product(media.clips, media.clips)
        if media.person(source) != media.person(driver)
    ]


def voodoo3d_celeba(media: Media) -> list[Pair]:
    """VOODOO 3D: pictures of the first half by those of the second, one to one."""
    names = list(media.portraits)
    half = len(names) // 2
    return [Pair(source, None, driver) for source, driver in zip(names[:half], names[half:], strict=False)]


def lpr_hdtf(media: Media) -> list[Pair]:
    """VOODOO 3D's supplement: the first frame of each video by one video. Raises MediaUnusable where that is absent."""
    if CANTOR not in media.clips:
        raise MediaUnusable(f"lpr-hdtf is driven by {CANTOR}.mp4, which {media.root} has not")
    return [Pair(clip, 0, CANTOR) for clip in media.clips if media.person(clip) != media.person(CANTOR)]


def lpr_celeba(media: Media) -> list[Pair]:
    """VOODOO 3D's supplement: pictures of even index by those of odd index, one to one."""
    names = list(media.portraits)
    return [Pair(source, None, driver) for source, driver in zip(names[::2], names[1::2], strict=False)]


NAMED = {"hdtf": re.compile(r"(RD|WDA|WRA)_.+"), "celeba": re.compile(r"\d{1,5}")}
"How the papers' data name their clips (HDTF) and their pictures (CelebA-HQ)."


def of_their_data(protocol: str, media: Media) -> bool:
    """Whether `media` is called as the data of a paper's protocol are, every file of it; of other protocols it never is."""
    data = protocol.rpartition("-")[2]
    names = list(media.clips if data == "hdtf" else media.portraits)
    return data in NAMED and bool(names) and all(NAMED[data].fullmatch(Path(name).name) for name in names)


PROTOCOLS: dict[str, Callable[[Media], list[Pair]]] = {
    "all-pairs": all_pairs,
    "voodoo3d-hdtf": voodoo3d_hdtf,
    "voodoo3d-celeba": voodoo3d_celeba,
    "lpr-hdtf": lpr_hdtf,
    "lpr-celeba": lpr_celeba,
}
