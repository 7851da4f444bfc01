"""Three people at one table: an independent FaceMesh finds three faces in its middle view, and each moves with its owner."""

from __future__ import annotations

import threading

import cv2
import numpy as np
import pytest

from display.colour import Layout
from display.seating import SEAT_HEIGHT, SEAT_WIDTH, largest, seated
from engines.relief.engine import Relief
from pipeline.devices.placement import preset
from pipeline.executors.inline import Inline
from pipeline.frame import Frame
from pipeline.preprocess.framing import stance_of
from pipeline.preprocess.observer import observe_portrait
from pipeline.preprocess.tracker import open_tracker
from pipeline.puppet import scripted
from pipeline.session import Session
from pipeline.stages import Picture
from pipeline.table import Table
from tests.people import astronaut, hopper

SEATS = (1, 2, 3)
PICTURES = 16
LARGER = 3
"A seat is 144 pixels wide; FaceMesh wants more."


def yaw(seat: int, number: int) -> float:
    """Degrees. Each at its own pace."""
    return 16.0 * np.sin(2 * np.pi * seat * number / PICTURES)


class Acting:
    """Sees one member's script."""

    def __init__(self, seat: int, portrait) -> None:
        self._seat, self._portrait = seat, portrait

    def observe(self, frame: Frame):
        return scripted(self._portrait, yaw=yaw(self._seat, frame.sequence), mouth=0.1)

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def shown() -> list[Picture]:
    """The table's middle view, picture by picture, of three members who turn their heads."""
    engine, pictures, came = Relief(), [], threading.Semaphore(0)

    def take(picture: Picture) -> None:
        pictures.append(picture)
        came.release()

    table = Table(largest(3), take, Layout.I420, rate=1000.0)
    seating = table.seat(SEATS)
    portraits = [observe_portrait(Frame(photo, 0.0)) for photo in (hopper(), astronaut(), hopper()[:, ::-1].copy())]
    sessions = []
    for place, portrait in zip(seating.places, portraits, strict=True):
        session = Session(
            engine, engine.enrol(portrait), Acting(place.seat, portrait), preset("cpu"), Inline(),
            lambda picture, seat=place.seat: table.offer(seat, picture), now=lambda: 0.0,
        )  # fmt: skip
        session.watch(seating.seat(place))
        sessions.append(session)
    for number in range(PICTURES):
        for session in sessions:
            session.offer(Frame(np.zeros((4, 4, 3), np.uint8), captured=0.001 * number, sequence=number))
        table.watch(largest(3).thinned(1))  # who comes gets a picture of what is there
        assert came.acquire(timeout=30)
        table.unwatch(largest(3).thinned(1))
    table.close()
    for session in sessions:
        session.close()
    return pictures


def test_three_faces_are_found_and_each_moves_with_its_owner(shown: list[Picture]):
    seating, tracker = seated(SEATS), open_tracker(None)
    turns = np.full((PICTURES, len(SEATS)), np.nan)
    try:
        for number, picture in enumerate(shown[-PICTURES:]):
            view = cv2.cvtColor(picture.yuv, cv2.COLOR_YUV2RGB_I420)
            assert view.shape[:2] == (SEAT_HEIGHT, 3 * SEAT_WIDTH)
            for at, place in enumerate(seating.places):
                seat = view[place.top : place.top + SEAT_HEIGHT, place.left : place.left + SEAT_WIDTH]
                seat = cv2.resize(seat, None, fx=LARGER, fy=LARGER, interpolation=cv2.INTER_CUBIC)
                faces = tracker.search(seat)
                if faces:
                    upright = stance_of(faces[0].points).upright
                    turns[number, at] = np.degrees(np.arctan2(upright[0, 2], upright[2, 2]))
    finally:
        tracker.close()
    found = np.isfinite(turns)
    assert found.all(axis=1).mean() >= 0.9, "three faces in nearly every picture"
    for at, seat in enumerate(SEATS):
        truth = np.array([yaw(seat, number) for number in range(PICTURES)])
        theirs = [
            np.corrcoef(turns[found[:, at], at], np.array([yaw(other, n) for n in range(PICTURES)])[found[:, at]])[0, 1]
            for other in SEATS
        ]
        assert theirs[at] >= 0.9, (seat, theirs)
        assert max(abs(one) for other, one in enumerate(theirs) if other != at) < 0.5, "and with nobody else"
        assert np.ptp(truth) > 20
    assert np.nanmedian(turns[:, 0]) > np.nanmedian(turns[:, 2]), "they are turned towards each other"
