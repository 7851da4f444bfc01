"""Tracks: what the driver did and what the avatar did, as curves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.lib.harness import pyplot
from benchmarks.quality.running import Done
from benchmarks.quality.tracking import SIGNALS

SHOWN = ("mouth", "right eye", "gaze x", "yaw", "pitch")
UNITS = {"yaw": "degrees", "pitch": "degrees"}
COLOURS = {"driver": "#222222", "as run": "#d55e00", "matched": "#0072b2"}
MOST = 8
"Films that fit a page."


def write(path: Path, done: Sequence[Done], title: str) -> None:
    """Those driven by themselves first. Nothing where matplotlib or films are missing."""
    films = sorted((one for one in done if one.tracks), key=lambda one: one.task.kind != "self")[:MOST]
    surface = pyplot()
    if surface is None or not films:
        return
    figure, axes = surface.subplots(
        len(films), len(SHOWN), figsize=(3.1 * len(SHOWN), 1.7 * len(films)), squeeze=False, constrained_layout=True
    )
    for row, one in zip(axes, films, strict=True):
        for axis, signal in zip(row, SHOWN, strict=True):
            for name, colour in COLOURS.items():
                values = one.tracks[name][:, SIGNALS.index(signal)]
                axis.plot(
                    one.tracks["times"], values, color=colour, linewidth=1.4 if name == "driver" else 0.9, label=name
                )
            axis.spines[["top", "right"]].set_visible(False)
            axis.tick_params(labelsize=7)
        row[0].set_ylabel(one.task.name.replace(" by ", "\nby "), fontsize=7)
    for axis, signal in zip(axes[0], SHOWN, strict=True):
        axis.set_title(f"{signal}, {UNITS.get(signal, 'share')}", fontsize=9)
    axes[0][0].legend(fontsize=7, frameon=False)
    for axis in axes[-1]:
        axis.set_xlabel("seconds", fontsize=8)
    figure.suptitle(title, fontsize=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)
    surface.close(figure)
