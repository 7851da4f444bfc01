"""Detail of a quilt: smaller tiles and shared ones, in a tiling that stays as it is."""

from dataclasses import replace

import numpy as np
import pytest

from display.detail import FULL, Detail
from display.screen import Screen, screen, screens
from pipeline.devices.placement import Placement, preset
from pipeline.executors.deployments import started
from pipeline.session import Session
from server.channels.ladder import RUNGS
from server.media.encode import form_for
from tests.painted import PaintedEngine, StillObserver
from tests.test_session import Shown, frame

QUILT = screen("telequilt")
DETAILS = list(dict.fromkeys(rung.detail for rung in RUNGS))
PLACEMENTS = [preset("cpu"), preset("paper").on_cpu()]


def test_full_detail_is_the_screen_itself():
    assert FULL.tiled(QUILT) == QUILT
    assert FULL.rendered(QUILT) == QUILT


@pytest.mark.parametrize("detail", DETAILS)
@pytest.mark.parametrize("one", [*screens().values(), QUILT.only(12)], ids=lambda one: one.name)
def test_the_tiling_stays_and_tiles_have_even_sides(one: Screen, detail: Detail):
    tiled, rendered = detail.tiled(one), detail.rendered(one)
    assert (tiled.columns, tiled.rows, tiled.yaws_degrees, tiled.aspect) == (
        one.columns,
        one.rows,
        one.yaws_degrees,
        one.aspect,
    )
    assert (rendered.tile_width, rendered.tile_height) == (tiled.tile_width, tiled.tile_height)
    assert rendered.views == -(-one.views // detail.share)
    if detail.scale < 1:
        assert tiled.tile_width % 2 == 0 == tiled.tile_height % 2
        assert tiled.tile_width == pytest.approx(one.tile_width * detail.scale, abs=1)
        assert tiled.tile_width * one.columns == tiled.quilt_width


def test_each_step_down_is_less_work():
    pixels = [detail.rendered(QUILT).views * detail.tiled(QUILT).tile_width ** 2 for detail in DETAILS]
    assert pixels == sorted(pixels, reverse=True)
    works = [rung.work for rung in RUNGS]
    assert works == sorted(set(works), reverse=True)


def test_a_view_that_several_tiles_show_stands_in_the_middle_of_them():
    assert Detail(share=3).rendered(QUILT).yaws_degrees == QUILT.yaws_degrees[1::3]
    pairs = np.array(QUILT.yaws_degrees).reshape(12, 2).mean(axis=1)
    assert Detail(share=2).rendered(QUILT).yaws_degrees == pytest.approx(pairs)


@pytest.mark.parametrize("placement", PLACEMENTS, ids=lambda p: p.name)
@pytest.mark.parametrize("detail", DETAILS[1:])
def test_every_tile_shows_its_view_on_any_placement(placement: Placement, detail: Detail):
    executor, shown = started(placement), Shown()
    session = Session(
        PaintedEngine(), "avatar", StillObserver(), placement, executor, shown, marked=False, now=lambda: 0.0
    )
    session.make(detail)
    session.watch(QUILT)
    session.offer(frame(60))
    assert shown.arrived.acquire(timeout=10)
    assert session.cost().frames == 0, "what a frame costs is told of whole ones"
    session.close()
    executor.close()
    (picture,), tiled = shown.pictures, detail.tiled(QUILT)
    assert picture.screen == QUILT
    luma = picture.yuv[: tiled.quilt_height]
    assert picture.yuv.shape == (tiled.quilt_height * 3 // 2, tiled.quilt_width)
    tiles = [
        luma[top : top + tiled.tile_height, left : left + tiled.tile_width]
        for left, top in map(tiled.tile_origin, range(24))
    ]
    assert all(tile.std() == 0 for tile in tiles)
    grey = np.array([float(tile[0, 0]) for tile in tiles])
    shares = np.arange(24) // detail.share
    assert (np.diff(grey)[np.diff(shares) == 0] == 0).all()
    assert (np.diff(grey)[np.diff(shares) == 1] > 0).all()


def test_a_smaller_form_has_as_many_bits_for_each_pixel_and_never_more_bits_in_all():
    whole = form_for(1536, 1024, 25)
    half = whole.resized(768, 512)
    assert half.bitrate == pytest.approx(whole.bitrate / 4, rel=0.01)
    assert half.level < whole.level
    assert whole.resized(1536, 1024) == whole
    assert whole.resized(1536, 1024, 0.5).bitrate == whole.bitrate // 2
    assert replace(whole, bitrate=300_000).resized(768, 512).bitrate == 300_000
