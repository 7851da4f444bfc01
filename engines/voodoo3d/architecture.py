"""Architecture: the few numbers that set the size of the VOODOO 3D networks."""

from __future__ import annotations

from dataclasses import dataclass

PLANE_CHANNELS = 32
COLOURS = 32
"Colour channels of the decoder; the first three are the picture."


@dataclass(frozen=True)
class Architecture:
    """The official network is `Architecture()`; tests run the same code smaller."""

    image: int = 512
    "Side in pixels of what goes in and what comes out. Planes are half of it, a ray-marched picture a quarter."
    thin: int = 1
    "Every network's width is divided by this."

    @property
    def planes(self) -> int:
        """Side of the tri-plane's planes."""
        return self.image // 2

    @property
    def marched(self) -> int:
        """Side in pixels of a ray-marched picture."""
        return self.image // 4

    @property
    def tokens(self) -> int:
        """Side of the token grid of the deep blocks."""
        return self.image // 16

    @property
    def width(self) -> int:
        """Of a token."""
        return self.thinned(1024)

    def thinned(self, channels: int) -> int:
        """How many of the official network's `channels` this one has; a multiple of `thin`."""
        assert channels % self.thin == 0, (channels, self.thin)
        return channels // self.thin
