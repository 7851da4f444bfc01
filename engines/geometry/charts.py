"""Charts: a place of its own in an atlas for every triangle, two in a square: what is known of a mesh by its corners becomes a picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

GUTTER = 3
"Texels of a square's side that no triangle's legs take: bilinear filtering sees no neighbour."


@dataclass(frozen=True)
class Charts:
    """Where T triangles lie in an atlas, and what of them lies on each texel."""

    height: int
    width: int
    corners: np.ndarray
    "[T, 3, 2] float32 texels from the top left, the first texel's middle being 0.5."
    rows: np.ndarray
    "[M] int of the texels that belong to a triangle."
    columns: np.ndarray
    "[M] int."
    triangle: np.ndarray
    "[M] int: whose each is."
    shares: np.ndarray
    "[M, 3] float32 of its corners, which sum to 1; below 0 beyond an edge."

    def mixed(self, values: np.ndarray) -> np.ndarray:
        """[M, ...] of `values` at the corners [T, 3, ...], as they are interpolated across a triangle."""
        return np.einsum("mk,mk...->m...", self.shares, values[self.triangle])


def laid_out(count: int, side: int, width: int) -> Charts:
    """Places for so many triangles, squares of `side` texels, in an atlas of `width`; row by row, neighbours beside each other."""
    assert side > GUTTER, side
    across, pairs = width // side, -(-count // 2)
    legs, last = side - GUTTER, side - 1
    upper = np.array([[0, 0], [legs, 0], [0, legs]], np.float32)
    both = np.stack([upper, last - upper])
    place = np.arange(count)
    row, column = np.divmod(place // 2, across)
    origin = side * np.stack([column, row], 1)
    y, x = (each.ravel() for each in np.mgrid[:side, :side])
    half = (x + y > last).astype(int)  # which of the two a texel belongs to
    triangle = (2 * np.arange(pairs)[:, None] + half).ravel()
    kept = triangle < count
    local = np.where(half[:, None], last - np.stack([x, y], 1), np.stack([x, y], 1)) / legs
    shares = np.stack([1 - local.sum(1), local[:, 0], local[:, 1]], 1)
    texels = origin[np.minimum(2 * np.arange(pairs), count - 1)][:, None] + np.stack([x, y], 1)
    return Charts(
        height=side * (-(-pairs // across)),
        width=width,
        corners=(origin[:, None] + both[place % 2] + 0.5).astype(np.float32),
        rows=texels[..., 1].ravel()[kept],
        columns=texels[..., 0].ravel()[kept],
        triangle=triangle[kept],
        shares=np.tile(shares, (pairs, 1))[kept].astype(np.float32),
    )


def welded(triangles: np.ndarray, corners: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of triangles [T, 3] of a mesh's vertices, whose corners lie at [T, 3, 2] texels: which of its vertices each of the asset's is [N],
    where that lies [N, 2], and the triangles [T, 3] of the asset's: a vertex stands as often as it has places."""
    places = corners.reshape(-1, 2).astype(np.float32)
    keys = np.column_stack([triangles.ravel(), np.rint(64 * places).astype(np.int64)])
    _, first, number = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    return triangles.ravel()[first], places[first], number.reshape(-1, 3).astype(np.int32)
