"""The native window on real X servers, drawn by Mesa: where it opens, what it shows, and what it does with too many quilts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch

from benchmarks import window_rate
from display.calibration import Calibration
from display.desktop import Desktop, DisplayMissing
from display.lenticular import CellTable, Tiling, interlace, places
from display.monitors import MonitorRefused, for_hologram, for_preview
from display.screen import PRODUCT, screen
from display.texture import QuiltTexture
from display.window import Hologram, Window
from tests import desktops

STRIPES = Calibration(pitch=8, slope=-5, center=0.1, dpi=100, width=192, height=108, serial="TEST-S")
CELLS = replace(
    STRIPES,
    serial="TEST-C",
    cell_mode=2,
    cells=(((-0.31, 0.25), (0.28, 0.25), (0.0, -0.25)), ((-0.31, -0.25), (0.28, -0.25), (0.0, 0.25))),
)
TILING = Tiling.of(screen(PRODUCT))
BOUNDARY = 0.01
"Views. So near to the edge of a lens single precision may take the neighbour."


def quilt(number: int = 0, tiling: Tiling = TILING, components: int = 3) -> np.ndarray:
    """[H, W, components] uint8: every view its own colours, with soft shapes in it; another `number`, another brightness."""
    y, x = np.mgrid[: tiling.height, : tiling.width]
    view = y // tiling.tile_height * tiling.columns + x // tiling.tile_width
    channels = [
        60 * np.sin(x / 19 + channel + view) * np.cos(y / 23 + number) + 90 + (37 * view * (channel + 1) + number) % 100
        for channel in range(components)
    ]
    return np.stack(channels, axis=-1).astype(np.uint8)


def flat(number: int) -> np.ndarray:
    """A quilt that is `number` everywhere: what is shown says which one it was."""
    return np.full((TILING.height, TILING.width, 3), number, np.uint8)


def far_from_boundaries(panel: Calibration) -> np.ndarray:
    """[height, width, 3] whether a subpixel's place across its lens is not right at the seam from the last view to the first."""
    x, y = np.arange(panel.width)[None, :], np.arange(panel.height)[::-1][:, None]
    at = np.stack([places(x, y, panel, channel, CellTable.BRIDGE) for channel in range(3)], axis=-1) * TILING.views
    return (at > BOUNDARY) & (at < TILING.views - BOUNDARY)


def assert_same(shown: np.ndarray, wanted: np.ndarray, where: np.ndarray | bool = True) -> None:
    assert shown.shape == wanted.shape
    apart = np.abs(shown.astype(int) - wanted) * where
    assert apart.max() <= 2, f"{(apart > 2).mean():.2%} of the subpixels differ, by up to {apart.max()}"


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """A desktop with one monitor of the test panels' size, or of the size that the test gives as parameter."""
    with desktops.one_monitor(*getattr(request, "param", (STRIPES.width, STRIPES.height))) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield environment


@pytest.fixture
def window(desk) -> Iterator[Window]:
    with Desktop() as desktop, desktop.hologram(for_hologram(desktop.monitors(), STRIPES), Hologram(STRIPES)) as window:
        yield window


@pytest.mark.parametrize("panel", [STRIPES, CELLS], ids=["stripes", "cells"])
@pytest.mark.parametrize("components", [3, 4])
def test_the_monitor_shows_what_the_plain_twin_says(desk, panel, components):
    given = quilt(components=components)
    with Desktop() as desktop, desktop.hologram(for_hologram(desktop.monitors(), panel), Hologram(panel)) as window:
        window.show(given, TILING)
        assert window.step()
        assert_same(window.read_back(), interlace(given, TILING, panel), far_from_boundaries(panel))
        assert np.array_equal(desktops.picture(desk), window.read_back())


def test_what_the_user_sets_reaches_the_glass(desk):
    optics = Hologram(CELLS, cells=CellTable.FORK, focus=0.03, depth=0.5)
    given = quilt()
    wanted = interlace(given, TILING, CELLS, cells=CellTable.FORK, focus=0.03, depth=0.5)
    assert (wanted != interlace(given, TILING, CELLS)).mean() > 0.2
    with Desktop() as desktop, desktop.hologram(desktop.monitors()[0], optics) as window:
        window.show(given, TILING)
        window.step()
        assert_same(window.read_back(), wanted)


def test_of_two_monitors_it_takes_the_panel_and_leaves_the_other_alone(monkeypatch):
    with desktops.two_monitors((STRIPES.width, STRIPES.height)) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        with Desktop() as desktop:
            main, panel = desktop.monitors()
            assert (panel.name, panel.x, panel.y, panel.width, panel.height) == (desktops.NAMES[1], 640, 0, 192, 108)
            assert for_hologram([main, panel], STRIPES) == for_hologram([main, panel], STRIPES, "dummy1") == panel
            with pytest.raises(MonitorRefused, match="DUMMY0: 640x480 at 0,0 is not at its native 192x108"):
                for_hologram([main, panel], STRIPES, main.name)
            with desktop.hologram(panel, Hologram(STRIPES)) as window:
                window.show(quilt(), TILING)
                window.step()
                whole = desktops.picture(environment)
    assert_same(whole[:108, 640:832], interlace(quilt(), TILING, STRIPES), far_from_boundaries(STRIPES))
    assert not whole[:, :640].any()


def test_the_newest_quilt_wins_and_every_loss_is_counted(window):
    for number in range(1, 51):
        window.show(flat(number), TILING)  # nobody draws meanwhile: it must not wait
    window.step()
    assert window.read_back().max() == 50
    report = window.report()
    assert (report.offered, report.shown, report.lost, report.way) == (50, 1, 49, "host")


def test_each_quilt_is_shown_where_the_next_one_comes_only_then(window):
    came = threading.Semaphore(1)

    def feed() -> None:
        for number in range(1, 51):
            assert came.acquire(timeout=30)
            window.show(flat(number), TILING)

    seen = fed(window, feed, came.release)
    assert seen == list(range(1, 51))
    assert (window.report().shown, window.report().lost) == (50, 0)


def test_fed_as_fast_as_it_goes_it_shows_some_in_their_order_up_to_the_last(window):
    def feed() -> None:
        for number in range(1, 51):
            window.show(flat(number), TILING)

    seen = fed(window, feed)
    assert seen == sorted(set(seen))
    assert seen[-1] == 50
    report = window.report()
    assert (report.offered, report.shown, report.lost) == (50, len(seen), 50 - len(seen))


def fed(window: Window, feed: Callable[[], None], shown: Callable[[], None] = lambda: None) -> list[int]:
    """The numbers that were on the glass while 50 quilts were fed from another thread; `shown` is called after each."""
    feeder = threading.Thread(target=feed)
    feeder.start()
    seen: list[int] = []
    while window.report().shown + window.report().lost < 50:
        before = window.report().shown
        assert window.step(0.05)
        if window.report().shown > before:
            seen.append(int(window.read_back().max()))
            shown()
    feeder.join()
    return seen


def test_quilts_of_other_sizes_and_tilings_may_follow_each_other(window):
    rows, odd = Tiling(4, 2, 7, 403, 205, 1.5), Tiling(8, 6, 48, 336, 336, 0.75)
    for tiling, components in ((TILING, 3), (rows, 4), (odd, 3), (TILING, 4)):
        given = quilt(3, tiling, components)
        window.show(torch.from_numpy(given) if components == 4 else given, tiling)
        window.step()
        assert_same(window.read_back(), interlace(given, tiling, STRIPES))


def test_it_goes_black_when_nobody_is_there_and_comes_back(window):
    window.show(flat(200), TILING)
    window.step()
    assert window.read_back().max() == 200
    window.show(flat(90), TILING)
    window.clear("nobody is live")
    window.step()
    assert not window.read_back().any()
    window.show(flat(100), TILING)
    window.step()
    assert window.read_back().max() == 100
    assert window.report().lost == 1  # the one that was never to be seen


@pytest.mark.parametrize("key", ["Escape", "q"])
def test_a_key_closes_it_and_nothing_is_left(desk, key):
    threads = threading.active_count()
    with Desktop() as desktop:
        with desktop.hologram(desktop.monitors()[0], Hologram(STRIPES)) as window:
            window.show(flat(200), TILING)
            window.step()
            desktops.press(desk, "x")
            assert window.step(0.2)
            desktops.press(desk, key)
            deadline = time.monotonic() + 10
            window.run(lambda: time.monotonic() < deadline)
            assert not window.step()
        window.show(flat(1), TILING)  # whoever still feeds it is not punished
        window.clear("too late")
        window.close()
        assert window.report().offered == 1
        assert not desktops.picture(desk).any()
    assert threading.active_count() == threads


def held() -> tuple[int, int]:
    """(sockets, threads of any library) of this process."""
    sockets = 0
    for number in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the listing's own
            sockets += os.readlink(f"/proc/self/fd/{number}").startswith("socket:")
    return sockets, len(os.listdir("/proc/self/task"))


def test_windows_that_were_closed_leave_no_connection_thread_or_context(desk):
    import glfw

    before, after = held(), []
    for _ in range(4):
        with Desktop() as desktop:
            with desktop.hologram(desktop.monitors()[0], Hologram(STRIPES)) as window:
                window.show(quilt(), TILING)
                window.step()
                assert held()[0] > before[0]  # to the X server
            assert not glfw.get_current_context()
        after.append(held())
    assert [sockets for sockets, _ in after] == [before[0]] * 4
    assert after[1:] == [after[0]] * 3  # a driver may keep threads of its own for good, but not more for each window


def test_it_stops_when_it_is_told_to(window):
    answers = iter([True, True, False])
    window.run(lambda: next(answers))
    assert next(answers, None) is None


@pytest.mark.parametrize("desk", [(640, 480)], indirect=True)
def test_a_window_that_is_not_the_panels_size_does_not_pretend(desk):
    with Desktop() as desktop:
        with pytest.raises(MonitorRefused, match="no monitor has the 192x108 pixels"):
            for_hologram(desktop.monitors(), STRIPES)
        with desktop.hologram(desktop.monitors()[0], Hologram(STRIPES)) as window:  # as after the mode was changed
            window.show(quilt(), TILING)
            with pytest.raises(MonitorRefused, match="640x480 pixels of the panel's 192x108"):
                window.step()


@pytest.mark.parametrize("desk", [(640, 480)], indirect=True)
def test_a_preview_shows_the_view_that_the_pointer_chooses(desk):
    given = quilt(7)
    with Desktop() as desktop, desktop.preview(for_preview(desktop.monitors()), 1.0) as window:
        desktops.point(desk, 320, 479)  # outside: the middle view
        window.show(given, TILING)
        window.step()
        shown = window.read_back()
        height, width = shown.shape[:2]
        assert (width, height) == (336, 336)
        tall = replace(STRIPES, width=width, height=height)
        assert_same(shown, interlace(given, TILING, tall, depth=0.0))

        for x, view in ((155, 0), (320, 12), (486, 23)):
            desktops.point(desk, x, 240)
            settle(window)
            centre = window.read_back()[height // 2, width // 2].astype(int)
            column, row = view % 6, view // 6
            wanted = given[1024 - row * 256 - 128, column * 256 + 128].astype(int)
            assert np.abs(centre - wanted).max() <= 6, view

        desktops.press(desk, "space")
        settle(window)
        whole = window.read_back()
        assert not whole[:55].any()  # 1536x1024 in a square: a border above and below
        assert not whole[281:].any()
        assert np.allclose(tile_means(whole[56:280]), tile_means(given), atol=8)


def tile_means(picture: np.ndarray) -> np.ndarray:
    """[4, 6, 3] mean colour of each tile of a product quilt of any size."""
    height, width = picture.shape[0] // 4, picture.shape[1] // 6
    return picture.reshape(4, height, 6, width, 3).mean(axis=(1, 3))


def settle(window: Window) -> None:
    """Let every event that is on its way arrive."""
    for _ in range(20):
        assert window.step(0.01)


ENDING = """
import os, signal, sys, threading, time
from display.desktop import Desktop
from display.monitors import MonitorRefused, for_preview
from tests.test_window import TILING, quilt
with Desktop() as desktop, desktop.preview(for_preview(desktop.monitors()), 1.0) as window:
    given = quilt()
    window.show(given, TILING)
    window.step()
    os.kill(int(sys.argv[1]), signal.SIGKILL)
    feeding = threading.Thread(target=lambda: [(window.show(given, TILING), time.sleep(0.02)) for _ in range(50)])
    feeding.start()
    try:
        window.run()
    except MonitorRefused as refusal:
        print(refusal)
    feeding.join()
print("and all goes on")
"""


def test_a_desktop_that_ends_takes_nobody_along():
    with desktops.one_monitor(640, 480) as desk:
        words = (sys.executable, "-c", ENDING, desk["XSERVER"])
        done = subprocess.run(
            words, env=desk, cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=120
        )
    assert done.returncode == 0, (done.returncode, done.stderr)
    assert "the desktop of this window has ended" in done.stdout
    assert "and all goes on" in done.stdout


COMPILING_LATER = """
from display.desktop import Desktop
from display.monitors import for_preview
with Desktop() as desktop, desktop.preview(for_preview(desktop.monitors()), 1.0) as window:
    window.step()
    import triton.compiler
print("both live")
"""


def test_a_compiler_that_comes_after_the_window_does_not_end_the_process(desk):
    """As an engine's kernels do whose first call comes once `serve --display` has its window."""
    pytest.importorskip("triton")
    words = (sys.executable, "-c", COMPILING_LATER)
    done = subprocess.run(words, env=desk, cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "both live\n"), done.stderr


def test_its_benchmark_tells_what_came_of_each_quilt(desk, tmp_path, monkeypatch):
    monkeypatch.setattr(window_rate, "WARM_UP", 0.2)
    window_rate.main(None, PRODUCT, 1.0, 1, False, tmp_path)
    (path,) = tmp_path.iterdir()
    facts = json.loads(path.read_text())
    assert (facts["way"], facts["monitor"]["width"]) == ("host", STRIPES.width)
    fast, live = facts["median"]["fast"], facts["median"]["live"]
    assert fast["lost"] == 0 < fast["shown"]
    assert live["shown"] + live["lost"] == 25
    assert 0 < fast["upload_ms"]["p50"] < fast["whole_ms"]["p50"] <= fast["age_ms"]["p50"]


def test_no_desktop_and_no_packages_are_explained(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(DisplayMissing, match=r"no desktop to open a window on .*DISPLAY=:0"), Desktop():
        pass
    monkeypatch.setitem(sys.modules, "glfw", None)
    with pytest.raises(DisplayMissing, match=r'glfw: pip install -c constraints.txt -e "\.\[display\]"'), Desktop():
        pass


def test_where_cuda_cannot_write_quilts_take_the_way_through_the_host_and_one_warning_says_so(
    window, monkeypatch, caplog
):
    monkeypatch.setitem(sys.modules, "pycuda", None)
    given = quilt(components=4)
    texture = QuiltTexture(window._gl)
    for _ in range(3):  # refused before anything is asked of the device, so that it need not be a GPU's tensor
        texture.write(torch.from_numpy(given), cast(torch.cuda.Event, object()))
    assert texture.way == "host"
    assert np.array_equal(np.frombuffer(texture._texture.read(), np.uint8).reshape(given.shape), given)
    texture.close()
    (warning,) = caplog.messages
    assert "slow way through the host" in warning
    assert "CUDA_ENABLE_GL = True" in warning


@pytest.mark.gpu
def test_a_quilt_on_a_gpu_is_shown_as_from_the_host(desk):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    given = quilt(components=4)
    with Desktop() as desktop, desktop.hologram(desktop.monitors()[0], Hologram(STRIPES)) as window:
        window.show(torch.from_numpy(given).cuda(), TILING)
        window.step()
        assert_same(window.read_back(), interlace(given, TILING, STRIPES), far_from_boundaries(STRIPES))
