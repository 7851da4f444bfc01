"""The quilt on a CUDA device: the pixels and colours of the CPU's, to the last bit, without waiting for the device."""

from __future__ import annotations

import pytest
import torch

from display.colour import Layout
from display.label import mark
from display.optics import fan
from display.planar import converted
from display.quilt import compose
from display.screen import PRODUCT, Screen, fan_yaws, screen
from display.views import ViewSet

pytestmark = pytest.mark.gpu

SCREENS = [screen(PRODUCT), screen(PRODUCT).only(3), Screen("padded", 3, 2, 3 * 120 + 3, 2 * 100 + 1, 1.2, fan_yaws(5))]


def parts_of(target: Screen, device: str) -> list[ViewSet]:
    size = (target.views, target.tile_height, target.tile_width, 4)
    images = torch.randint(0, 256, size, dtype=torch.uint8, generator=torch.Generator().manual_seed(5)).to(device)
    return [ViewSet(images[c.first : c.first + len(c)], c.first) for c in fan(target).split(4)]


@pytest.mark.parametrize("target", SCREENS, ids=lambda s: s.name)
@pytest.mark.parametrize("layout", list(Layout))
def test_a_gpu_makes_the_picture_that_the_cpu_makes(target: Screen, layout: Layout):
    wanted = converted(compose(parts_of(target, "cpu"), target, mark(target)).pixels, layout)
    made = converted(compose(parts_of(target, "cuda"), target, mark(target, "cuda")).pixels, layout)
    assert made.is_cuda
    assert (made.cpu() == wanted).all()


def test_nothing_waits_for_the_gpu(request: pytest.FixtureRequest):
    target = screen(PRODUCT)
    parts, its_mark = parts_of(target, "cuda"), mark(target, "cuda")
    request.getfixturevalue("unwaiting")
    converted(compose(parts, target, its_mark).pixels, Layout.NV12)
