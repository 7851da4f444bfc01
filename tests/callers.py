"""Callers: real sessions whose pictures somebody watches, on screens of a few pixels."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from display.screen import Screen, screen
from pipeline.devices.placement import Placement, preset
from pipeline.executors.inline import Inline
from pipeline.frame import Frame
from pipeline.session import Session
from pipeline.stages import Picture
from tests.painted import StillObserver
from tests.renderer_bench import until

QUILT = screen("telequilt")
SMALL = replace(
    QUILT, name="small", columns=3, rows=2, quilt_width=96, quilt_height=64, yaws_degrees=QUILT.yaws_degrees[:6]
)
EIGHT = replace(SMALL, name="eight", columns=4, quilt_width=128, yaws_degrees=QUILT.yaws_degrees[:8])
PAPER = preset("paper").on_cpu()


class Caller:
    """A session that somebody watches."""

    def __init__(self, engine: Any, placement: Placement, executor: Any, *screens: Screen, **more: Any) -> None:
        self.pictures: list[Picture] = []
        self.gone: list[str] = []
        self.observer = more.pop("observer", StillObserver())
        avatar = more.pop("avatar", "avatar")
        more = {"marked": False} | more  # the mark wants larger tiles
        self.session = Session(
            engine, avatar, self.observer, placement, executor, self.pictures.append, gone=self.gone.append, **more
        )
        for one in screens or (SMALL,):
            self.session.watch(one)

    def offer(self, number: int) -> None:
        self.session.offer(Frame(np.zeros((4, 4, 3), np.uint8), captured=time.monotonic(), sequence=number))

    def shows(self, number: int) -> None:
        """Offer a frame and wait for its picture."""
        before = len(self.pictures)
        self.offer(number)
        until(lambda: len(self.pictures) > before)
        assert self.pictures[-1].sequence == number


def alone(engine: Any, number: int, *screens: Screen, **more: Any) -> list[Picture]:
    """What a caller sees with nobody else about and nothing spread."""
    caller = Caller(engine, preset("cpu"), Inline(), *screens, **more)
    caller.offer(number)
    return caller.pictures


def assert_same(pictures: Sequence[Picture], expected: Sequence[Picture], most: int = 0) -> None:
    by_screen = {picture.screen: picture.yuv for picture in expected}
    assert {picture.screen for picture in pictures} == set(by_screen)
    for picture in pictures:
        assert np.abs(picture.yuv.astype(int) - by_screen[picture.screen]).max() <= most
