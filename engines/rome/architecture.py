"""Architecture: the few numbers that set the size of the ROME networks."""

from __future__ import annotations

from dataclasses import dataclass

TEXTURE = 8
"Channels of the neural texture."
LATENT = 32
"Channels that the geometry U-Net leaves for each vertex to look up."
SHAPE, EXPRESSION, POSE, CAMERA = 100, 50, 6, 3
"Codes of FLAME as they are used here: shape, expression, axis-angles of head and jaw, (scale, x, y) of a parallel projection."
DECA_CODES = {"shape": SHAPE, "tex": 50, "exp": EXPRESSION, "pose": POSE, "cam": CAMERA, "light": 27}
"What DECA's encoder answers with, in its order."
MOBILE_CODES = {"exp": EXPRESSION, "pose": POSE, "cam": CAMERA}
"What the small regressor of the linear model answers with."
HAIR, NECK = 50, 10
"Coefficients of the linear model."


@dataclass(frozen=True)
class Architecture:
    """The official networks are `Architecture()`; tests run the same code smaller."""

    image: int = 256
    "Side in pixels of pictures, of the texture and of what is rendered."
    crop: int = 224
    "Side of what DECA's encoder sees."
    thin: int = 1
    "Every network's width is divided by this."

    def thinned(self, channels: int) -> int:
        """How many of the published network's `channels` this one has; a multiple of `thin`."""
        assert channels % self.thin == 0, (channels, self.thin)
        return channels // self.thin
