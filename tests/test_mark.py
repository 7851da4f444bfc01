"""The mark survives: it can be read in every view of every screen, on white and on noise, and in what a viewer decodes."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.marks import contrast, likeness, measured
from display import planar
from display.colour import Layout
from display.label import SHORTEST_CAPITAL, mark
from display.quilt import tile_of
from display.screen import PRODUCT, screen, screens
from display.views import ViewSet
from pipeline.stages import Picture
from server.channels import filming

NAMES = list(screens())
LEAST_CONTRAST = 4.5
"WCAG 2.2, 1.4.3, of small letters."


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("ground", ["white", "black", "noise"])
def test_the_mark_is_readable_at_every_preset(name: str, ground: str):
    asked = screen(name)
    laid = mark(asked)
    shape = asked.tile_height, 1, asked.tile_width, 4
    noise = np.random.default_rng(1).integers(0, 255, shape, np.uint8)
    tile = {"white": np.full_like(noise, 255), "black": np.zeros_like(noise), "noise": noise}[ground]
    before = likeness(tile[:, 0, :, :3], laid) if ground == "noise" else 0.0
    laid.put(tile)
    assert contrast(tile[:, 0, :, :3], laid) >= LEAST_CONTRAST
    assert likeness(tile[:, 0, :, :3], laid) > max(0.85, before)
    assert laid.keep.shape[0] > 2 * SHORTEST_CAPITAL, "whole, not cut"


def test_the_mark_is_in_every_view_of_a_still():
    asked = screen(PRODUCT)
    laid, white = mark(asked), torch.full((asked.views, asked.tile_height, asked.tile_width, 4), 255, dtype=torch.uint8)
    yuv = planar.composed([ViewSet(white)], asked, laid, Layout.I420).numpy()
    with Image.open(io.BytesIO(filming.png(Picture(asked, yuv, Layout.I420, 0, 0.0), ""))) as still:
        pixels = np.asarray(still)
    views = [tile_of(pixels, asked, view) for view in range(asked.views)]
    assert min(contrast(view, laid) for view in views) >= 4.4
    assert min(likeness(view, laid) for view in views) > 0.9


def test_the_mark_is_readable_in_what_a_viewer_decodes():
    """On white, black and a portrait; at a quarter of the bits too, and where noise takes most of them."""
    for one in measured(screen(PRODUCT)):
        assert one.views == 24
        assert one.contrast >= 3.8, one
        assert one.likeness > 0.85, one
    starved, *_, own = measured(screen(PRODUCT), noisy=True)
    assert starved.contrast >= 2.0, starved
    assert own.likeness > 0.85, own
