"""Forms: in which forms, with ever fewer bits, a viewer may be sent what it asked for. Decides nothing of when.

A page that knows its tiling from what it is told, or from the picture's proportions, is sent fewer views: those that are left stay
sharp. Whoever counts on a tiling keeps it, and gets smaller tiles. Every form is taken from views that are rendered already.
"""

from __future__ import annotations

from dataclasses import replace

from display.screen import SMALLEST_ORDINARY_VIEW, Screen
from server.media.encode import BITS_PER_PIXEL, Form, form_for

FEW, NARROW = 8, 0.6
"Quilts of at most so many views are for narrow links: they have this share of the bits for a pixel (about 37 dB)."
LEAST_BITS = 400_000


def steps(screen: Screen, views: int | None, sound: bool) -> list[Screen | None]:
    """What may be sent of `screen`, from all of it down; None at the end is nothing but sound.

    `views`: the most that the viewer wants, which says that it finds its way in any number of them.
    """
    if views is None or screen.views == 1:
        half = screen.scaled(0.5)
        forms = [screen, screen.scaled(0.75), half, half.slowed(2), *([half.slowed(4)] if screen.views > 1 else [])]
    else:
        thin = [screen.thinned(some) for some in (12, 8) if some < screen.views]
        least = (thin[-1] if thin else screen).scaled(0.75)
        forms = [screen, *thin, least, least.slowed(2), least.slowed(4)]
        forms = _below(forms, screen, min(views, screen.views))
    return [*forms, None] if sound else list(forms)


def _below(forms: list[Screen], screen: Screen, views: int) -> list[Screen]:
    """Those of at most `views`; that number itself comes first."""
    fewer = [one for one in forms if one.views <= views]
    first = screen.thinned(views)
    return fewer if fewer and fewer[0] == first else [first, *(one for one in fewer if one.views < views)]


def sent_as(screen: Screen, frames_per_second: int, bitrate: int | None = None) -> Form:
    """How `screen` is coded; `bitrate`: in place of the one by size. Raises ValueError where it is larger than H.264 goes."""
    width, height = screen.quilt_width + screen.quilt_width % 2, screen.quilt_height + screen.quilt_height % 2
    form = form_for(width, height, max(1, round(frames_per_second / screen.every)), bitrate)
    if not _narrow(screen):
        return form
    planned = bitrate or round(BITS_PER_PIXEL * width * height * form.frames_per_second)
    return replace(form, bitrate=max(LEAST_BITS, round(planned if screen.views == 1 else NARROW * planned)))


def _narrow(screen: Screen) -> bool:
    """Whether it is sent over narrow links alone."""
    if screen.views == 1:
        return screen.every > 1 or screen.quilt_height < SMALLEST_ORDINARY_VIEW
    return screen.views <= FEW or screen.every > 2
