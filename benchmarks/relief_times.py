"""Relief times: what enrolling and a frame cost relief in processor time, now and at an earlier commit, side by side.

    python -m benchmarks.relief_times --against f572f3d~1      the commit before portraits had a head
    python -m benchmarks.relief_times                          this tree alone

The earlier commit is checked out beside this one (git worktree) and taken away afterwards; both take turns, in processes of their own,
with this tree's packages. Processor time, of all threads: what else the machine does counts little.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.lib.harness import parser, show, write

ROOT = Path(__file__).parents[1]
WORKER = """
import json, sys, time
import numpy as np, skimage
from PIL import Image
from pathlib import Path
from display.optics import fan
from display.screen import screen
from engines import catalogue
from pipeline.frame import Frame
from pipeline.preprocess.observer import observe_portrait
from pipeline.puppet import puppet_portrait, scripted

frames, engine, cameras = int(sys.argv[1]), catalogue.load("relief"), fan(screen("telequilt"))
engine.warm_up()
astronaut = np.asarray(Image.open(Path(skimage.__file__).parent / "data" / "astronaut.png").convert("RGB"))
def timed(work):
    begin = time.process_time()
    return work(), 1000 * (time.process_time() - begin)
out = {}
for name, frame in (("astronaut", Frame(astronaut, 0.0)), ("hopper", puppet_portrait())):
    portrait = observe_portrait(frame)
    engine.enrol(portrait)
    avatar, enrol = timed(lambda: engine.enrol(portrait))
    seen = [scripted(portrait, yaw=8.0 * side, mouth=0.4) for side in (-1, 1)]
    engine.render(engine.drive(avatar, seen[0]), cameras)
    took = [timed(lambda k=k: engine.render(engine.drive(avatar, seen[k % 2]), cameras))[1] for k in range(frames)]
    out[name] = {"enrol": enrol, "frames": took, "triangles": len(avatar.mesh.triangles)}
print(json.dumps(out))
"""
"Says with names of both commits what is measured: it is run in either tree."


def main() -> None:
    """Measure, print a table, write JSON."""
    options = parser(__doc__)
    options.add_argument("--against", help="an earlier commit; left out: none")
    options.add_argument("--frames", type=int, default=30, help="a round and portrait (default: %(default)s)")
    options.add_argument("--rounds", type=int, default=4, help="in turns (default: %(default)s)")
    wanted = options.parse_args()
    with _trees(wanted.against) as trees:
        measured: dict[str, list[dict[str, dict]]] = {name: [] for name in trees}
        for round_ in range(wanted.rounds):
            for name, tree in trees.items():
                print(f"round {round_ + 1} of {wanted.rounds}: {name}", flush=True)
                measured[name].append(_measured(tree, wanted.frames))
    rows = [row for name, rounds in measured.items() for row in _rows(name, rounds)]
    headings = ("", "enrol, ms", "frame, ms", "quartiles", "triangles")
    show("relief, processor milliseconds, 24 views of 256x256", headings, rows)
    print(write("relief_times", {"frames": wanted.frames, "rounds": measured}))


@contextmanager
def _trees(against: str | None) -> Iterator[dict[str, Path]]:
    """Where each commit lies, by name."""
    if against is None:
        yield {"now": ROOT}
        return
    with tempfile.TemporaryDirectory() as folder:
        earlier = Path(folder) / "earlier"
        subprocess.run(
            ["git", "worktree", "add", "--detach", str(earlier), against], cwd=ROOT, check=True, capture_output=True
        )
        try:
            yield {against: earlier, "now": ROOT}
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(earlier)], cwd=ROOT, check=True)


def _measured(tree: Path, frames: int) -> dict[str, dict]:
    told = subprocess.run(
        [sys.executable, "-c", WORKER, str(frames)],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": str(tree)},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(told.stdout.splitlines()[-1])


def _rows(name: str, rounds: list[dict[str, dict]]) -> Iterator[tuple[object, ...]]:
    for portrait in rounds[0]:
        frames = np.concatenate([one[portrait]["frames"] for one in rounds])
        low, middle, high = np.percentile(frames, [25, 50, 75])
        enrol = float(np.median([one[portrait]["enrol"] for one in rounds]))
        yield (
            f"{portrait}, {name}",
            f"{enrol:.0f}",
            f"{middle:.1f}",
            f"{low:.1f} to {high:.1f}",
            rounds[0][portrait]["triangles"],
        )


if __name__ == "__main__":
    main()
