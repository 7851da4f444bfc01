"""ICT's heads (ICT-FaceKit, MIT): scans of real people as 100 modes, another topology: what a prior learnt elsewhere is tried on.

The file is brought by whoever has it: `vertices` [V, 3] and `identity` [100, V, 3] in centimetres, `quads`, and of each expression
`NAME_i` (vertices) and `NAME_d` (deltas).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engines.parametric.train import family
from engines.parametric.train.family import Family

HEAD, EYEBALLS = slice(0, 11248), (slice(21451, 23021), slice(23021, 24591))
"Vertices of face, head and neck; mouth, teeth and lashes follow; and of the eyeballs."
CENTIMETRE = 10.0
OPEN = 0.14
"Of jawOpen, as Anny's heads have at rest."


def load(path: Path) -> Family:
    """The family. Raises FileNotFoundError."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}; it is packed from github.com/ICT-VGL/ICT-FaceKit")
    with np.load(path) as file:
        points = file["vertices"].astype(np.float32) * CENTIMETRE
        modes = file["identity"].astype(np.float32) * CENTIMETRE
        quads = file["quads"]
        names = sorted(name.removesuffix("_i") for name in file.files if name.endswith("_i"))
        moves = np.zeros((len(names), *points.shape), np.float32)
        for k, name in enumerate(names):
            moves[k, file[f"{name}_i"]] = file[f"{name}_d"].astype(np.float32) * CENTIMETRE
    known = np.zeros(len(points), bool)
    for part in (HEAD, *EYEBALLS):
        known[part] = True
    whole = quads[known[quads].all(1)]
    triangles = np.concatenate([whole[:, :3], whole[:, [0, 2, 3]]]).astype(np.int32)
    points = points + OPEN * moves[names.index("jawOpen")]
    triangles = triangles[family.visible(points, triangles)]
    kept, again = np.unique(triangles, return_inverse=True)
    balls = np.concatenate([np.arange(part.start, part.stop) for part in EYEBALLS])
    return Family(
        rest=points[kept],
        sliders=modes[:, kept],
        actions=moves[:, kept],
        action_names=tuple(name.replace("_L", "Left").replace("_R", "Right") for name in names),
        triangles=again.reshape(-1, 3).astype(np.int32),
        eyes=np.flatnonzero(np.isin(kept, balls)).astype(np.int32),
        numbers=kept.astype(np.int32),
    )


def drawn(people: int, seed: int = 0) -> np.ndarray:
    """[people, 100] identities: the modes' coefficients are unit normal."""
    return np.random.default_rng(seed).standard_normal((people, 100)).astype(np.float32)
