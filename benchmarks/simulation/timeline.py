"""Timeline: which stage of which frame ran on which device, and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.lib.harness import COLOURS, pyplot
from benchmarks.simulation.virtual import Span

INK = "#222222"
QUIET = "#8a8a8a"
BAR = 0.74
"Height of a bar, where a row is 1."
LABEL_FROM = 0.022
"Bars shorter than this share of the picture's width carry no number."


@dataclass(frozen=True)
class Panel:
    """One run."""

    title: str
    devices: Sequence[str]
    "From top to bottom."
    spans: Sequence[Span]


def draw(panels: Sequence[Panel], begin: float, length: float, heading: str, path: Path) -> bool:
    """Draw `length` seconds from `begin` of each panel, all to one scale. False where matplotlib is not installed."""
    plot = pyplot()
    if plot is None:
        return False
    rows = sum(len(panel.devices) for panel in panels)
    figure, axes = plot.subplots(
        len(panels),
        1,
        figsize=(12.5, 1.35 + 0.85 * len(panels) + 0.4 * rows),
        layout="constrained",
        squeeze=False,
        height_ratios=[len(panel.devices) + 1.2 for panel in panels],
    )
    for axis, panel in zip(axes[:, 0], panels, strict=True):
        _panel(axis, panel, begin, length)
    axes[-1, 0].set_xlabel("milliseconds", color=QUIET)
    _legend(figure, plot, panels)
    figure.suptitle(heading, x=0.012, ha="left", fontsize=12.5, fontweight="bold", color=INK)
    figure.savefig(path, dpi=120)
    plot.close(figure)
    return True


def _panel(axis: Any, panel: Panel, begin: float, length: float) -> None:
    rows = {device: row for row, device in enumerate(panel.devices)}
    followed = _followed(panel, begin, length)
    for row in range(0, len(rows), 2):
        axis.axhspan(row - 0.5, row + 0.5, color="#f5f5f5", zorder=0)
    for span in panel.spans:
        if span.ended > begin and span.begun < begin + length:
            _bar(axis, span, rows[span.device], begin, length, (span.caller, span.frame) == followed)
    axis.set_yticks(list(rows.values()), list(rows), fontsize=8.5)
    axis.set_ylim(len(rows) - 0.45, -1.25)
    axis.set_xlim(0, 1e3 * length)
    if followed is not None:
        _mark_age(axis, panel, followed, begin)
    axis.set_title(panel.title, loc="left", fontsize=10, color=INK)
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.spines["bottom"].set_color("#cccccc")
    axis.tick_params(length=0, colors="#555555", labelsize=8.5)
    axis.grid(axis="x", color="#e3e3e3", lw=0.6, zorder=1)


def _bar(axis: Any, span: Span, row: int, begin: float, length: float, followed: bool) -> None:
    left, right = 1e3 * (max(span.begun, begin) - begin), 1e3 * (min(span.ended, begin + length) - begin)
    style = {"edgecolor": INK, "linewidth": 1.6, "zorder": 4} if followed else {"edgecolor": "white", "linewidth": 0.6}
    axis.barh(row, right - left, left=left, height=BAR, color=COLOURS[span.stage], **{"zorder": 3, **style})
    if right - left > 1e3 * LABEL_FROM * length:
        name = f"{chr(ord('A') + span.caller)}{span.frame}"
        ink = "white" if span.stage in ("preprocess", "drive") else INK
        axis.text((left + right) / 2, row, name, ha="center", va="center", fontsize=7.5, color=ink, zorder=5)


def _followed(panel: Panel, begin: float, length: float) -> tuple[int, int] | None:
    """A frame of the first caller that lies whole in the picture, near its middle: its way is outlined."""
    shown = [span for span in panel.spans if span.stage == "encode" and span.caller == 0]
    whole = [span for span in shown if span.captured >= begin and span.ended <= begin + 0.97 * length]
    middle = begin + length / 2
    nearest = min(whole, key=lambda span: abs((span.captured + span.ended) / 2 - middle), default=None)
    return None if nearest is None else (nearest.caller, nearest.frame)


def _mark_age(axis: Any, panel: Panel, followed: tuple[int, int], begin: float) -> None:
    """A bracket from the followed frame's capture to its last stage's end."""
    way = [span for span in panel.spans if (span.caller, span.frame) == followed]
    left, right = 1e3 * (way[0].captured - begin), 1e3 * (max(span.ended for span in way) - begin)
    arrow = {"arrowstyle": "|-|,widthA=0.25,widthB=0.25", "color": INK, "lw": 1.1}
    axis.annotate("", (right, -0.72), (left, -0.72), arrowprops=arrow)
    said = f"frame {followed[1]}: {right - left:.0f} ms from camera to encoded picture  "
    axis.text(left, -0.74, said, ha="right", va="center", fontsize=8, color=INK)


def _legend(figure: Any, plot: Any, panels: Sequence[Panel]) -> None:
    present = {span.stage for panel in panels for span in panel.spans}
    stages = [stage for stage in COLOURS if stage in present]
    handles = [plot.Rectangle((0, 0), 1, 1, color=COLOURS[stage]) for stage in stages]
    handles.append(plot.Rectangle((0, 0), 1, 1, facecolor="white", edgecolor=INK, linewidth=1.4))
    figure.legend(
        handles,
        [*stages, "one frame's way; A60 is caller A's frame 60"],
        loc="outside lower center",
        ncols=len(handles),
        frameon=False,
        fontsize=9,
        handlelength=1.1,
        columnspacing=1.4,
    )
