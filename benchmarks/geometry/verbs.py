"""Verbs: what the engine's enrol, drive and render take of a processor, beside relief's in turns, and how near landmarks lie."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from display.optics import Cameras, intrinsics, orbit
from engines import catalogue
from pipeline.preprocess.observer import observe_portrait
from pipeline.puppet import gesture, puppet_portrait, scripted

Row = dict[str, float]
ENGINES = ("parametric", "relief")
VIEWS, PIXELS, CONE = 24, 256, 35.0
ROUNDS, RATE = 15, 25


def measured() -> dict[str, Row]:
    """A12 of the sample portrait: milliseconds of one core, medians of rounds in which the engines take turns."""
    face = observe_portrait(puppet_portrait())
    seen = [scripted(face, **vars(gesture(number / RATE))) for number in range(ROUNDS)]
    rows: dict[str, Row] = {}
    running: dict[str, tuple[Any, Any]] = {}
    for name in ENGINES:
        engine: Any = catalogue.load(name)
        engine.warm_up()
        avatar, taken = _timed(lambda engine=engine: engine.enrol(face))
        engine.render(engine.drive(avatar, seen[0]), cameras())
        running[name] = engine, avatar
        rows[name] = {"enrol_cpu_s": taken / 1000}
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in ENGINES}
    for one in seen:
        for name in ENGINES:
            spent[name].append(_frame(*running[name], one))
    for name in ENGINES:
        drive, views = np.median(spent[name], axis=0)
        rows[name] |= {"drive_cpu_ms": float(drive), "views_cpu_ms": float(views)}
    rows["parametric"]["landmarks_px"] = running["parametric"][1].off
    return rows


def cameras() -> Cameras:
    """24 of 256 x 256, across the glass's cone."""
    poses = np.stack([orbit(yaw) for yaw in np.linspace(-CONE / 2, CONE / 2, VIEWS)])
    return Cameras(poses, np.repeat(intrinsics()[None], VIEWS, axis=0), PIXELS, PIXELS)


def _frame(engine: Any, avatar: Any, seen: Any) -> tuple[float, float]:
    """Milliseconds of drive and of all views."""
    state, drive = _timed(lambda: engine.drive(avatar, seen))
    return drive, _timed(lambda: engine.render(state, cameras()))[1]


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What it gives, and the milliseconds of a processor, all threads together, that it took."""
    begun = time.process_time()
    done = work()
    return done, (time.process_time() - begun) * 1000
