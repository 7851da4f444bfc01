"""Hot spots: what a frame's time goes into, kernel by kernel on the device and call by call on the host, by torch's profiler."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks.lib.harness import show

FRAMES = 3
KEPT, SHOWN, LETTERS = 40, 12, 70


@dataclass(frozen=True)
class HotSpot:
    """One kernel or call, in a frame."""

    name: str
    ms: float
    "Its own, without what it calls. A part of a frame (drive, render ...) has Python's and numpy's time within it."
    calls: float


def hot_spots(frame: Callable[[int], None], device: torch.device) -> dict[str, list[HotSpot]]:
    """The longest on the "device" and on the "host" of `frame`, which is run a few times. A processor is its own device."""
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
    with profile(activities=activities) as seen:
        for number in range(FRAMES):
            frame(number)
    events = seen.key_averages()
    on_host = [each for each in events if each.device_type == DeviceType.CPU]
    on_device = [each for each in events if each.device_type == DeviceType.CUDA and not each.is_user_annotation]
    return {
        "device": _longest((each.key, each.self_device_time_total, each.count) for each in on_device),
        "host": _longest((each.key, each.self_cpu_time_total, each.count) for each in on_host),
    }


def _longest(seen: Iterable[tuple[str, float, int]]) -> list[HotSpot]:
    """`seen`: names, microseconds and calls of all frames."""
    spots = [HotSpot(name, round(us / 1e3 / FRAMES, 4), round(calls / FRAMES, 2)) for name, us, calls in seen]
    return sorted(spots, key=lambda spot: -spot.ms)[:KEPT]


def show_hot_spots(way: str, found: dict[str, list[HotSpot]]) -> None:
    for where, spots in found.items():
        if spots:
            rows = [(spot.name[:LETTERS], f"{spot.ms:.3f}", f"{spot.calls:g}") for spot in spots[:SHOWN]]
            show(f"on the {where}, of a frame: {way}", ("what", "ms", "calls"), rows)
