"""Fan: whether 24 views belong together: points keep their rows, flow between neighbours is level, even and torn nowhere, the head
looks turned by what was asked, and it is the same person at both ends."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.quality.flow import carried, flow
from benchmarks.quality.instruments.face import Look, Looker
from benchmarks.quality.pictures import holes

FACE = 0.5
"Share of each picture's middle in which flow is measured."


def figures(
    views: np.ndarray,  # [V, SIDE, SIDE, 3] uint8
    yaws: np.ndarray,  # [V] degrees
    parallel: bool,
    looker: Looker,
    alike: Callable[[np.ndarray, Look], dict[str, float]],
) -> tuple[dict[str, float], int]:
    """Columns of a fan, and in how many of its views no face was seen. `alike` says how like the source a view is, by network."""
    looks = [looker.look(view) for view in views]
    made = _flows(views, yaws)
    made["view_holes"] = max(holes(view, look) for view, look in zip(views, looks, strict=True))
    known = [index for index, look in enumerate(looks) if look is not None]
    if len(known) >= 4:
        points = np.stack([_face(looks[index]).points for index in known])
        made |= _turned(np.array([_face(looks[index]).angles[0] for index in known]), yaws[known])
        if parallel:
            made["rows"] = float(np.median(points[:, :468, 1].std(0)))
    for name, index in (("left", 0), ("middle", len(views) // 2), ("right", -1)):
        if (look := looks[index]) is not None:
            made |= {f"{name}_{network}": value for network, value in alike(views[index], look).items()}
    return made, sum(look is None for look in looks)


def mirrored(views: np.ndarray, flipped: np.ndarray) -> float:
    """Mean difference, in levels, between the fan of a portrait and the flipped fan of the flipped portrait."""
    return float(np.abs(views.astype(np.float32) - flipped[::-1, :, ::-1]).mean())


def _face(look: Look | None) -> Look:
    assert look is not None
    return look


def _turned(seen: np.ndarray, asked: np.ndarray) -> dict[str, float]:
    """How yaws [N] read off the views go with those asked [N]: a camera to the right sees the face turned to the left."""
    slope, offset = np.polyfit(-asked, seen, 1)
    return {"yaw_span": float(slope), "yaw_view": float(np.abs(seen - (-asked + offset)).mean())}


def _flows(views: np.ndarray, yaws: np.ndarray) -> dict[str, float]:
    side = views.shape[1]
    edge = round(side * (1 - FACE) / 2)
    inside = np.zeros((side, side), bool)
    inside[edge : side - edge, edge : side - edge] = True
    steps, vertical, torn, composed = [], [], [], []
    for a in range(len(views) - 1):
        there, back = flow(views[a], views[a + 1]), flow(views[a + 1], views[a])
        seen = inside & (views[a].max(axis=2) > 12)
        vertical.append(np.abs(there[..., 1])[seen].mean())
        torn.append(np.linalg.norm(there + carried(back, there), axis=2)[seen].mean())
        steps.append(np.median(there[..., 0][seen]) / (yaws[a + 1] - yaws[a]))
        if a % 4 == 0 and a + 2 < len(views):
            two = there + carried(flow(views[a + 1], views[a + 2]), there)
            composed.append(np.linalg.norm(two - flow(views[a], views[a + 2]), axis=2)[seen].mean())
    return {
        "vertical": float(np.mean(vertical)),
        "torn": float(np.mean(torn)),
        "composed": float(np.mean(composed)),
        "uneven": float(np.std(steps) / max(abs(np.mean(steps)), 1e-3)),
    }
