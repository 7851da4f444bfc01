"""Action table: what a face does, from its points alone: fits the table that stands in where MediaPipe's network was not imported.

    python -m server weights import face_landmarker.task
    python -m benchmarks.action_table --clips a.mp4 b.mp4 ...        another person in each

Pairs are made by that network: of faces in clips, as this program observes them, and of made-up heads (engines/morphable) that do a few
actions at random. Each clip is then left out once, and read by a table that was fitted to the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.lib import harness
from engines.actions import ACTIONS, INDEX
from engines.morphable.model import load
from engines.options import EngineOptions
from pipeline.preprocess import framing
from pipeline.preprocess.action_table import FILE, ActionTable
from pipeline.preprocess.actions import MEASURED, OTHER_SIDE, from_rest
from pipeline.preprocess.blendshapes import POINTS, BlendshapeNetwork, opened
from pipeline.preprocess.observer import Observer
from server.media import clips

MADE_UP, AT_ONCE, LARGEST, TREMBLING = 3000, 0.1, 1.3, 0.02
"Made-up faces; the share of actions that one does, how much of them at most, and centimetres by which its points tremble."
PEOPLE = 0.7
"Standard deviations by which made-up heads differ."
RIDGE = 0.03
"Square centimetres. Of 0.001, 0.01, 0.03 and 0.1, that which people who were left out are read best with."
STRONGER = 2.0
"Rows are multiplied with this: a straight line through scores that saturate says too little of small ones."
ACTIVE = 0.05
"Standard deviation from which on an action of a clip can be compared."


@dataclass(frozen=True)
class Pairs:
    """Faces and what the network reads in them."""

    differences: np.ndarray
    "[n, 478, 3] canonical centimetres: shape - neutral."
    read: np.ndarray
    "[n, 51] 0..1, the rest's taken off."

    def mirrored(self, points: np.ndarray) -> Pairs:
        return Pairs(self.differences[:, points] * np.array([-1, 1, 1], np.float32), self.read[:, OTHER_SIDE])


def of_clip(clip: Path, network: BlendshapeNetwork) -> Pairs:
    differences, read = [], []
    with Observer() as observer:
        for frame in clips.frames(clip):
            seen = observer.observe(frame)
            if seen.confidence == 0:
                continue
            resting = framing.in_crop(seen.neutral, framing.UPRIGHT @ seen.pose[:3, :3].T)
            differences.append(seen.shape - seen.neutral)
            read.append(from_rest(network(seen.landmarks), network(resting)))
    return Pairs(np.stack(differences), np.stack(read))


def made_up(network: BlendshapeNetwork) -> Pairs:
    chance, head = np.random.default_rng(0), load()
    mean, modes, actions = head.points
    actions = actions[[head.action_names.index(name) for name in ACTIONS]]
    differences, read = [], []
    for _ in range(MADE_UP):
        rest = mean + np.tensordot(chance.normal(0, PEOPLE, len(modes)), modes, 1)
        does = np.where(chance.random(len(ACTIONS)) < AT_ONCE, LARGEST * chance.random(len(ACTIONS)), 0)
        moved = np.tensordot(does, actions, 1)
        before, after = (network(framing.in_crop(shape, np.eye(3))) for shape in (rest, rest + moved))
        differences.append(moved + chance.normal(0, TREMBLING, moved.shape))
        read.append(from_rest(after, before))
    return Pairs(np.stack(differences).astype(np.float32), np.stack(read))


def fitted(sets: list[Pairs]) -> ActionTable:
    """Each of `sets` weighs as much as any other, however many faces it has."""
    mirrored = load().mirrored
    square, product = RIDGE * np.eye(3 * len(POINTS)), np.zeros((3 * len(POINTS), len(ACTIONS)))
    for one in [half for pairs in sets for half in (pairs, pairs.mirrored(mirrored))]:
        inputs = one.differences[:, POINTS].reshape(len(one.differences), -1).astype(np.float64)
        square += inputs.T @ inputs / len(inputs)
        product += inputs.T @ one.read / len(inputs)
    weights = STRONGER * np.linalg.solve(square, product)
    weights[:, MEASURED] = 0
    return ActionTable(weights.astype(np.float16).astype(np.float32))


def left_out(by_clip: dict[str, Pairs], invented: Pairs) -> dict[str, dict[str, Any]]:
    """Clip -> action -> {correlation, slope} of a table that has not seen the clip against the network."""
    found: dict[str, dict[str, Any]] = {}
    for name, pairs in by_clip.items():
        table = fitted([other for one, other in by_clip.items() if one != name] + [invented])
        said = np.clip([table.moved(difference) for difference in pairs.differences], 0, 1)
        active = np.flatnonzero(~MEASURED & (pairs.read.std(axis=0) > ACTIVE))
        found[name] = {
            ACTIONS[k]: {
                "correlation": round(float(np.corrcoef(pairs.read[:, k], said[:, k])[0, 1]), 3),
                "slope": round(float(np.polyfit(pairs.read[:, k], said[:, k], 1)[0]), 3),
            }
            for k in active
        }
    return found


def main() -> None:
    parser = harness.parser(__doc__)
    parser.add_argument("--clips", type=Path, nargs="+", required=True, help="Another person in each.")
    wanted = parser.parse_args()
    network = opened(EngineOptions().weights)
    if network is None:
        parser.error("the network is not here: python -m server weights import face_landmarker.task")
    by_clip = {clip.stem: of_clip(clip, network) for clip in wanted.clips}
    invented = made_up(network)
    told = left_out(by_clip, invented)
    rows = [one for clip in told.values() for one in clip.values()]
    table = fitted([*by_clip.values(), invented])
    np.savez_compressed(Path("pipeline/preprocess") / FILE, weights=table.weights.astype(np.float16))
    middle = {name: round(float(np.median([row[name] for row in rows])), 3) for name in ("correlation", "slope")}
    smile = INDEX["mouthSmileLeft"]
    print(f"{len(rows)} actions of clips left out: {middle}; smiles weigh {np.abs(table.weights[:, smile]).sum():.2f}")
    harness.write("action_table", {"left_out": told, "median": middle})


if __name__ == "__main__":
    main()
