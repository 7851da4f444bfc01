"""Heading: where a head is before its camera, in millimetres, from how it stands in the picture. Knows no screens and no sockets.

With a focal length of f picture widths, a face of s picture widths a centimetre is 10 f / s millimetres away, and what lies d
picture widths beside the middle is 10 d / s millimetres beside the camera's axis. The canonical face is an adult's, so all three are
off by the same few per cent (its size: 7 %), which cancels in the angle at which somebody looks.
"""

from __future__ import annotations

import numpy as np

from pipeline.preprocess.framing import Stance

FOCAL = 0.785
"Picture widths: of the usual webcam, 65 degrees across."


def place_of(stance: Stance, height: float, focal: float = FOCAL) -> np.ndarray:
    """[3] float32 millimetres from the camera: right and up as that person sees them, and away from it.

    `height` of the picture in picture widths. A camera's picture is not mirrored: its left is the person's right.
    """
    across, up = stance.shift[0] - 0.5, stance.shift[1] + height / 2
    return (np.array([-across, up, focal]) * (10 / stance.scale)).astype(np.float32)
