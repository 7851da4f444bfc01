"""Programme: what the parts of on_gpu.sh came to, in one table and one file. The script calls it last.

1 where a part failed, ran out of its time box, or was not run.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.gpu.one_frame import Way
from benchmarks.lib.floor import floor_ms
from benchmarks.lib.harness import RESULTS, parser, show, write

OUT_OF_TIME = (124, 137)
"What `timeout` exits with: told to end, and killed for not ending."


@dataclass(frozen=True)
class Part:
    """One part of the programme as it ended."""

    name: str
    status: int
    seconds: int
    box: int
    "Seconds that it was allowed."

    @property
    def came_to(self) -> str:
        if self.status in OUT_OF_TIME:
            return f"OUT OF TIME ({self.box} s)"
        return "ok" if self.status == 0 else f"FAILED ({self.status})"


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--parts", type=Path, required=True, help="folder with on_gpu.sh's notes and logs")
    options.add_argument("--rehearsal", action="store_true", help="say that it was one")
    options.add_argument("--out", type=Path, default=RESULTS, help="folder with the results")
    wanted = options.parse_args()
    parts = read(wanted.parts)
    found = {part.name: said(part, wanted.out, wanted.parts) for part in parts}
    title = "REHEARSAL on the CPU: no figure here says anything of a GPU" if wanted.rehearsal else "on this GPU"
    _show_speeds(wanted.out)
    rows = [[f"{part.name}: {found[part.name]}", part.came_to, f"{part.seconds} s of {part.box}"] for part in parts]
    show(title, ["what was found", "came to", "took"], rows)
    facts = [vars(part) | {"came_to": part.came_to, "found": found[part.name]} for part in parts]
    print(write("on_gpu", {"rehearsal": wanted.rehearsal, "parts": facts}, wanted.out))
    failed = [part.name for part in parts if part.status]
    print(
        f"{len(parts) - len(failed)} of {len(parts)} parts succeeded" + (f"; not: {', '.join(failed)}" * bool(failed))
    )
    sys.exit(bool(failed) or not parts)


def read(folder: Path) -> list[Part]:
    """The notes that on_gpu.sh took: a line a part, in the order of running."""
    lines = (folder / "parts").read_text().splitlines()
    return [Part(name, int(status), int(seconds), int(box)) for name, status, seconds, box in map(str.split, lines)]


def said(part: Part, results: Path, logs: Path) -> str:
    """What `part` found, in a few words; of one that failed too, if it wrote a result."""
    log = (logs / part.name).read_text(errors="replace").splitlines() if (logs / part.name).is_file() else []
    pattern, words = _FOUND.get(part.name, ("", None))
    if words is None:
        return next((line.strip("= ") for line in reversed(log) if " passed" in line or " skipped" in line), "")
    path = next(iter(sorted(results.glob(pattern))), None)
    if path is None:
        return log[-1][:80] if log else ""
    return words(json.loads(path.read_text()))


def _machine(result: dict[str, Any]) -> str:
    devices = [f"{one['name']}, {one['tflops']:.3g} TFLOP/s in bfloat16" for one in result["devices"]]
    versions = result["versions"]
    return f"{'; '.join(devices)}; torch {versions['torch']}, Python {versions['python']}"


def _runtimes(result: dict[str, Any]) -> str:
    verdicts = result["verdicts"]
    agree = sum(one["passed"] for one in verdicts)
    others = sorted({f"{one['stage']} by {one['by']}" for one in verdicts if not one["by"].startswith(one["runtime"])})
    return f"{agree} of {len(verdicts)} agree" + (f"; gave way: {', '.join(others)}" if others else "")


def _sweep(result: dict[str, Any]) -> str:
    best = min(result["ways"], key=lambda one: one["parts_ms"]["frame"]["p50"])
    several: dict[str, list[str]] = {}
    for one in result.get("calls", []):
        several.setdefault(str(Way(**one["way"])), []).append(f"{one['fps']:.1f} fps of {one['callers']}")
    ways = f"{len(result['ways'])} ways; quickest {_frame(best)}"
    return "; ".join((ways, *(f"callers, {way}: {', '.join(fps)}" for way, fps in several.items())))


def _frame(one: dict[str, Any]) -> str:
    share = "" if one["share_of_floor"] is None else f", {one['share_of_floor']:.0%} of the floor"
    return f"{one['parts_ms']['frame']['p50']:.1f} ms = {one['fps']:.1f} fps{share}"


def _stages(result: dict[str, Any]) -> str:
    return "; ".join(
        f"{name}: {run['fps']:.1f} fps, age p95 {run['age_ms']['p95']:.0f} ms" for name, run in result["median"].items()
    )


def _rome(result: dict[str, Any]) -> str:
    return "; ".join(f"{name}: {one['fps']:.1f} fps of 24 views" for name, one in result["engines"].items())


def _meshing(result: dict[str, Any]) -> str:
    asked = f"{result['share_evaluated']:.1%} of the points, signs agree in {result['sign_agreement']:.4%}"
    return f"256^3 in {result['coarse_to_fine_s']:.2f} s coarse to fine, {result['dense_s']:.2f} s dense; {asked}"


def _splats(result: dict[str, Any]) -> str:
    ways = (
        f"{one['callers']} x {result['views']} x {one['side']} {one['ms_p50']:.2f} ms (p95 {one['ms_p95']:.2f})"
        for one in result["ways"]
    )
    return f"{'; '.join(ways)}; {result['twin_db']:.0f} dB from the twin"


_FOUND: dict[str, tuple[str, Callable[[dict[str, Any]], str] | None]] = {
    "machine": ("machine.json", _machine),
    "runtimes": ("runtimes_*.json", _runtimes),
    "sweep": ("views_per_second_*.json", _sweep),
    "stages": ("stage_times_*.json", _stages),
    "rome": ("rome.json", _rome),
    "meshing": ("meshing.json", _meshing),
    "splats": ("splats_gpu.json", _splats),
}
"Part -> its result, and what to say of it; parts that are tests say it themselves."


def _show_speeds(results: Path) -> None:
    """Every way that was measured, the quickest first, and how callers fared."""
    files = [json.loads(path.read_text()) for path in sorted(results.glob("views_per_second_*.json"))]
    ways = sorted((one for file in files for one in file["ways"]), key=lambda one: one["parts_ms"]["frame"]["p50"])
    rows = []
    for one in ways:
        share = "-" if one["share_of_floor"] is None else f"{one['share_of_floor']:.0%}"
        frame = one["parts_ms"]["frame"]
        times = (f"{frame['p50']:.1f} / {frame['p95']:.1f}", f"{one['fps']:.1f}", share, f"{one['peak_mib']:.0f}")
        rows.append([str(Way(**one["way"])), *times])
    if rows:
        floor = f"the floor: {floor_ms(24):.1f} ms for 24 views on an H200"
        show("a frame at a time", ["way", "ms p50 / p95", "fps", "of floor", "MiB"], rows, floor)
    calls = [[_callers(one), *_fared(one)] for file in files for one in file.get("calls", [])]
    if calls:
        show("callers, as fast as it goes", ["", "fps, all", "each", "age ms p50 / p95"], calls)


def _callers(one: dict[str, Any]) -> str:
    return f"{one['callers']} caller{'s' * (one['callers'] > 1)}, {Way(**one['way'])}"


def _fared(one: dict[str, Any]) -> tuple[str, str, str]:
    each, age = " ".join(f"{fps:.1f}" for fps in one["each_fps"]), one["age_ms"]
    return f"{one['fps']:.1f}", each, f"{age['p50']:.0f} / {age['p95']:.0f}"


if __name__ == "__main__":
    main()
