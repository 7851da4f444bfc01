"""Canonical: the average adult face that every face is compared with. Knows nothing of pictures.

Axes: x right in a picture of the face (so the person's left), y up, z out of the face; centimetres. These are the world axes
of display/optics.py in another unit.
"""

from __future__ import annotations

from importlib.resources import files

import numpy as np

_IRIS_RADIUS = 0.62
"Centimetres. People's irises measure 0.585; FaceMesh draws them 0.52..0.69 (measured on ten faces)."

RIGHT_IRIS, LEFT_IRIS = 468, 473
"The centre of each iris; the four landmarks after it lie on its edge: right, top, left, bottom in the picture."
RIGHT_EYE = (33, 133, 159, 145)
"Outer corner, inner corner, middle of the upper lid, middle of the lower lid of the person's right eye (left in the picture)."
LEFT_EYE = (263, 362, 386, 374)
MOUTH_CORNERS = (61, 291)
INNER_LIPS = (13, 14)
"Middle of the upper and of the lower lip's inner edge."
FOREHEAD, CHIN = 10, 152

RIGID = np.array(
    [
        *(4, 5, 1, 6, 168, 195, 197, 8, 9, 151, 10),  # the nose's ridge and tip and the forehead's middle
        *(33, 133, 129, 98, 54, 67, 109, 21, 117, 121, 127, 143, 193, 122),  # eye corner, nostril, temple, cheekbone
        *(263, 362, 358, 327, 284, 297, 338, 251, 346, 350, 356, 372, 417, 351),  # the same on the other side
    ]
)
"""Landmarks that speech, blinks and smiles leave alone. Left out on purpose: jaw and cheeks, which MediaPipe's own Procrustes
weights include and which follow the mouth (fit residual on the clips 0.28..0.45 cm with these, 0.34..0.56 with its own)."""


def _load() -> np.ndarray:
    text = files("pipeline.preprocess").joinpath("canonical_face.csv").read_text()
    mesh = np.array([line.split(",") for line in text.splitlines() if line[0] != "#"], dtype=np.float32)
    irises = []
    for outer, inner, upper, lower in (RIGHT_EYE, LEFT_EYE):
        centre = mesh[[outer, inner, upper, lower]].mean(axis=0)
        edge = np.array([[1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0]], dtype=np.float32) * _IRIS_RADIUS
        irises += [centre[None], centre + edge]
    return np.concatenate([mesh, *irises])


CANONICAL = _load()
"[478, 3] float32. The wheel's model has 468 landmarks; the irises are placed between the lids."
CANONICAL.setflags(write=False)
