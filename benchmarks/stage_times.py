"""Stage times: frames through the whole pipeline of one caller or several; what each stage takes.

    python -m benchmarks.stage_times                              the puppet drives the sample avatar
    python -m benchmarks.stage_times --clip my.mp4 --portrait me.jpg
    python -m benchmarks.stage_times --engine voodoo3d --synthetic-weights --placement one-gpu

Three runs over the same frames, side by side: *quilt* (as fast as it goes, up to the finished quilt in the encoder's colours),
*encoded* (as fast as it goes, H.264 included) and *live* (frames come at the camera's rate and the newest wins).
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.lib import sessions
from benchmarks.lib.harness import COLOURS, parser, pyplot, show, write
from benchmarks.lib.sessions import Setting, Together
from pipeline.clock import Percentiles


def main() -> None:
    """Measure each stage; print a table, write JSON and, where matplotlib is installed, a picture."""
    options = parser(__doc__)
    sessions.add_options(options)
    wanted = options.parse_args()
    setting = sessions.open_setting(wanted)
    names = ["quilt", "encoded", "live"] if sessions.can_encode() else ["quilt", "live"]
    sessions.run(setting, wanted.callers, setting.frames[: wanted.warm_up], live=False, encoded=sessions.can_encode())
    runs: dict[str, list[Together]] = {name: [] for name in names}
    for round_ in range(wanted.repeats):
        for name in names:
            print(f"round {round_ + 1} of {wanted.repeats}: {name}", flush=True)
            runs[name].append(_run(setting, name, wanted.callers))
    _publish(setting, wanted, runs)


def _run(setting: Setting, name: str, callers: int) -> Together:
    encoded = name != "quilt" and sessions.can_encode()
    return sessions.run(setting, callers, setting.frames, live=name == "live", encoded=encoded)


def _publish(setting: Setting, wanted: argparse.Namespace, runs: dict[str, list[Together]]) -> None:
    summary = {name: median_run(repeated) for name, repeated in runs.items()}
    title = setting.what + (f", {wanted.callers} callers" if wanted.callers > 1 else "")
    _show(title, summary)
    parts = ["stage_times", wanted.engine, setting.target.name, Path(wanted.placement).stem]
    parts += [f"{wanted.callers}_callers"] if wanted.callers > 1 else []
    facts = {"what": title, "callers": wanted.callers, "frames": wanted.frames, "warm_up": wanted.warm_up}
    facts |= {"repeats": wanted.repeats, "source": setting.faces, "views": setting.target.views}
    path = write("_".join(parts), facts | {"median": summary, "runs": runs}, wanted.out)
    print(path)
    if _picture(title, summary, path.with_suffix(".png")):
        print(path.with_suffix(".png"))


def median_run(repeated: list[Together]) -> dict[str, Any]:
    """The run of median speed, with the spread of all."""
    ordered = sorted(repeated, key=lambda run: run.fps)
    middle = ordered[len(ordered) // 2]
    flat = asdict(middle) | {"stages_ms": middle.stages_ms, "age_ms": middle.age_ms}
    return flat | {"fps_spread": [ordered[0].fps, ordered[-1].fps]}


def _show(title: str, summary: dict[str, dict[str, Any]]) -> None:
    stages = dict.fromkeys(stage for run in summary.values() for stage in run["stages_ms"])
    rows = [[stage, *(_cell(run["stages_ms"].get(stage)) for run in summary.values())] for stage in stages]
    rows.append(["age of picture", *(_cell(run["age_ms"]) for run in summary.values())])
    rows.append(["frames a second", *(f"{run['fps']:.1f}" for run in summary.values())])
    rows.append(["CPU ms a frame", *(f"{run['cpu_ms_per_frame']:.1f}" for run in summary.values())])
    rows.append(["dropped", *(str(sum(run["drops"].values())) for run in summary.values())])
    show(title, ["stage", *summary], rows, "milliseconds: p50 / p95 / p99 of the median run")


def _cell(value: Percentiles | None) -> str:
    return f"{value.p50:.1f} / {value.p95:.1f} / {value.p99:.1f}" if value else "-"


def _picture(title: str, summary: dict[str, dict[str, Any]], path: Path) -> bool:
    """A waterfall for each run: bars are medians one after another, whiskers reach to p95."""
    plot = pyplot()
    if plot is None:
        return False
    figure, axes = plot.subplots(len(summary), 1, figsize=(9, 2.1 * len(summary)), sharex=True, layout="constrained")
    for axis, (name, run) in zip(axes, summary.items(), strict=True):
        left = 0.0
        for stage, times in run["stages_ms"].items():
            axis.barh(stage, times.p50, left=left, color=COLOURS.get(stage, "#999999"))
            axis.plot([left + times.p50, left + times.p95], [stage, stage], color="0.35", lw=1.5, marker="|", ms=7)
            axis.annotate(
                f"{times.p50:.1f} ms",
                (left + times.p95, stage),
                (5, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
            )
            left += times.p50
        axis.margins(x=0.14)
        axis.invert_yaxis()
        axis.set_title(f"{name}: {run['fps']:.1f} fps, age p95 {run['age_ms'].p95:.0f} ms", loc="left", fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
    axes[-1].set_xlabel("ms, medians one after another; whiskers to p95")
    figure.suptitle(title)
    figure.savefig(path, dpi=110)
    plot.close(figure)
    return True


if __name__ == "__main__":
    main()
