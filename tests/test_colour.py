"""Colours and tiles on a device: every way through them gives the same picture, to the last bit."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace

import av
import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from display import planar
from display.colour import Layout, plain, planes, tensor
from display.detail import Detail
from display.label import Mark, mark
from display.optics import fan
from display.planar import converted
from display.quilt import compose, on_device
from display.screen import PRODUCT, Screen, fan_yaws, screen
from display.views import ViewSet
from server.media.encode import Encoder, form_for

LAYOUTS = list(Layout)


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    """[H, W, 4] uint8, every value as likely as any other."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 4), np.uint8)


def views_of(target: Screen, parts: int) -> list[ViewSet]:
    images = torch.from_numpy(noise(target.views * target.tile_height, target.tile_width))
    images = images.view(target.views, target.tile_height, target.tile_width, 4)
    return [ViewSet(images[c.first : c.first + len(c)], c.first) for c in fan(target).split(parts)]


def as_tensors(some: Mark) -> Mark:
    return replace(some, keep=torch.from_numpy(some.keep), add=torch.from_numpy(some.add))


@pytest.mark.parametrize("layout", LAYOUTS)
@settings(deadline=None)  # the first one compiles
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 99))
def test_numpy_loops_and_tensors_agree_to_the_last_bit(layout: Layout, height: int, width: int, seed: int):
    rgba = noise(height, width, seed)
    defined = plain(rgba, layout)
    assert defined.shape == ((height + height % 2) * 3 // 2, width + width % 2)
    assert (converted(torch.from_numpy(rgba), layout).numpy() == defined).all()
    assert (tensor(torch.from_numpy(rgba), layout).numpy() == defined).all()


def test_chroma_is_that_of_all_four_pixels_and_lies_between_them():
    red, blue = (255, 0, 0, 255), (0, 0, 255, 255)
    checked = np.array([[red, blue], [blue, red]], np.uint8)
    for layout in LAYOUTS:
        both = [planes(plain(picture, layout), layout)[1:] for picture in (checked, checked[:, ::-1], checked[::-1])]
        assert len({(int(u.item()), int(v.item())) for u, v in both}) == 1, "no pixel of the four is another's better"
    ramp = np.zeros((2, 64, 4), np.uint8)
    ramp[..., 2] = np.arange(64) * 4
    u = planes(plain(ramp, Layout.I420), Layout.I420)[1][0].astype(float)
    middle = (ramp[0, ::2, 2].astype(float) + ramp[0, 1::2, 2]) / 2
    np.testing.assert_allclose(u, 128 + middle * 0.439, atol=1.0)


def test_the_arithmetic_is_opencvs_at_every_extreme():
    corners = np.array(np.meshgrid(*[[0, 1, 127, 128, 254, 255]] * 3), np.uint8).reshape(3, -1).T
    rgba = np.dstack([np.repeat(np.repeat(corners[None], 2, 0), 2, 1), np.zeros((2, 432), np.uint8)])
    assert (plain(rgba, Layout.I420) == cv2.cvtColor(rgba, cv2.COLOR_RGBA2YUV_I420)).all()


def test_without_a_compiler_the_picture_is_the_same(monkeypatch: pytest.MonkeyPatch):
    rgba, target = torch.from_numpy(noise(32, 48)), screen(PRODUCT)
    views = views_of(target, 4)
    before = converted(rgba, Layout.NV12), planar.composed(views, target, mark(target), Layout.I420)
    monkeypatch.setitem(sys.modules, "display.rows", None)
    assert (converted(rgba, Layout.NV12) == before[0]).all()
    assert (planar.composed(views, target, mark(target), Layout.I420) == before[1]).all()


def test_black_and_white_reach_the_limits_of_the_limited_range():
    y, u, v = planes(plain(np.array([[[0] * 4, [255] * 4]] * 2, np.uint8), Layout.I420), Layout.I420)
    assert y[0].tolist() == [16, 235]
    assert (u.item(), v.item()) == (128, 128)


def test_an_odd_quilt_repeats_its_upper_row_and_its_right_column():
    odd = torch.from_numpy(noise(3, 5))
    y, u, v = planes(tensor(odd, Layout.NV12), Layout.NV12)
    assert torch.equal(y[0], y[1])
    assert torch.equal(y[:, 4], y[:, 5])
    even = odd[[0, 0, 1, 2]][:, [0, 1, 2, 3, 4, 4]]
    for one, other in zip((y, u, v), planes(tensor(even, Layout.NV12), Layout.NV12), strict=True):
        assert torch.equal(one, other)


SCREENS = [
    screen(PRODUCT),
    screen(PRODUCT).only(3),
    screen("portrait"),
    Screen("padded", 3, 2, 3 * 120 + 2, 2 * 100 + 1, 1.2, fan_yaws(5)),
    Screen("one tile empty in each row but the last", 5, 3, 5 * 96, 3 * 97, 1.0, fan_yaws(11)),
]


@pytest.mark.parametrize("target", SCREENS, ids=lambda s: s.name)
@pytest.mark.parametrize("parts", [1, 4])
@pytest.mark.parametrize("marked", [False, True], ids=["plain", "marked"])
def test_a_quilt_made_on_a_device_is_the_one_made_tile_by_tile(target: Screen, parts: int, marked: bool):
    views = views_of(target, parts)
    defined = compose(views, target, mark(target) if marked else None).pixels
    assert (on_device(views, target, as_tensors(mark(target)) if marked else None) == defined).all()


@pytest.mark.parametrize("target", SCREENS, ids=lambda s: s.name)
@pytest.mark.parametrize("parts", [1, 4])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("marked", [False, True], ids=["plain", "marked"])
def test_views_converted_at_once_are_the_quilt_converted(target: Screen, parts: int, layout: Layout, marked: bool):
    views = views_of(target, parts)
    its_mark = mark(target) if marked else None
    defined = plain(compose(views, target, its_mark).pixels.numpy(), layout)
    assert (planar.composed(views[::-1], target, its_mark, layout).numpy() == defined).all()


@given(
    st.integers(1, 9), st.integers(0, 6), st.integers(0, 6), st.integers(1, 6), st.integers(1, 6), st.integers(0, 99)
)
def test_a_mark_of_any_size_lies_where_it_should(sides: int, left: int, top: int, width: int, height: int, seed: int):
    """Also where it begins or ends in the middle of four pixels."""
    target = Screen("small", 2, 2, 8 * sides, 8 * sides, 1.0, fan_yaws(3))
    height, width = min(height, 4 * sides - top), min(width, 4 * sides - left)
    if height <= 0 or width <= 0:
        return
    chance = np.random.default_rng(seed)
    keep = chance.integers(0, 257, (height, 1, width, 1), np.int32)
    some = Mark(left, top, keep, (chance.random(keep.shape) * (256 - keep) * 255 // 256).astype(np.int32))
    views = views_of(target, 1)
    defined = plain(compose(views, target, some).pixels.numpy(), Layout.I420)
    assert (planar.composed(views, target, some, Layout.I420).numpy() == defined).all()


@pytest.mark.parametrize("detail", [Detail(0.5, 1), Detail(0.3, 3)], ids=str)
def test_less_detail_is_converted_likewise(detail: Detail):
    target = screen(PRODUCT)
    tiled, rendered = detail.tiled(target), detail.rendered(target)
    views = detail.spread(views_of(rendered, 1), target)
    defined = plain(compose(views, tiled, mark(tiled)).pixels.numpy(), Layout.I420)
    assert (planar.composed(views, tiled, mark(tiled), Layout.I420).numpy() == defined).all()


class Counted(TorchDispatchMode):
    """Counts tensor operations; those that wait for a device or visit the host are named."""

    def __init__(self) -> None:
        super().__init__()
        self.ran: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.ran[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))


def operations(target: Screen) -> Counter[str]:
    views, its_mark = views_of(target, 4), as_tensors(mark(target))
    with Counted() as counted:
        tensor(on_device(views, target, its_mark), Layout.NV12)
    return counted.ran


def test_the_way_on_a_device_has_no_loop_over_views_and_waits_for_nothing():
    few = operations(Screen("few", 6, 2, 6 * 96, 2 * 96, 1.0, fan_yaws(12)))
    many = operations(Screen("many", 6, 8, 6 * 96, 8 * 96, 1.0, fan_yaws(48)))
    assert few == many
    assert not {"_local_scalar_dense", "nonzero", "item"} & set(many)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_encoder_takes_either_layout_and_viewers_see_the_same(layout: Layout):
    smooth = cv2.resize(noise(4, 6), (256, 128), interpolation=cv2.INTER_CUBIC)
    encoder = Encoder(form_for(256, 128, 25), layout=layout)
    unit = encoder.encode(plain(smooth, layout), 0.0)
    seen = av.CodecContext.create("h264", "r")
    frames = [*seen.decode(av.Packet(unit.data)), *seen.decode(None)]
    shown = frames[0].to_ndarray(format="yuv420p")
    difference = np.abs(shown.astype(int) - plain(smooth, Layout.I420))
    assert np.median(difference) <= 1
    assert np.percentile(difference, 99) <= 6
