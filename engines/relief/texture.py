"""Texture: from a crop and a matte to colours that hold beyond the figure's edge. Knows no geometry.

Pictures are float32 0..255 RGB; alphas float32 0..1.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from engines.contract import AROUND, CROP
from engines.relief.surface import Sheet

PAD = AROUND
"Crop pixels by which the figure goes on beyond each side of the crop, or is continued, fading out: turned views look past the border."

SIDE = CROP + 2 * PAD

FAITHFUL_DB = 30.5
"The fade at the lower border may cost the middle view this much likeness to the portrait and no more (28 dB is promised)."

STREAKS_FROM = 3.2
"Depth per pixel across from which a turned view shows streaks."

END = 14.0
"Crop pixels over which a figure ends that goes on beyond all that is known of it."

GUTTER = 4


@dataclass(frozen=True)
class Content:
    """What a portrait shows for certain: the crop, and as much around it as the photo has."""

    picture: np.ndarray
    "[h, w, 3] uint8."
    matte: np.ndarray
    "[h, w] float32 0..1."
    left: int
    "Where it lies in the continued crop."
    top: int

    @property
    def right(self) -> int:
        """The column after its last."""
        return self.left + self.matte.shape[1]

    @property
    def bottom(self) -> int:
        """The row after its last."""
        return self.top + self.matte.shape[0]

    @property
    def margins(self) -> tuple[int, int, int, int]:
        """Above, below, left and right of it, to the continued crop's borders."""
        return self.top, SIDE - self.bottom, self.left, SIDE - self.right

    def of(self, continued: np.ndarray) -> np.ndarray:
        """Its part of something [SIDE, SIDE, ...]."""
        return continued[self.top : self.bottom, self.left : self.right]


def content_of(crop: np.ndarray, matte: np.ndarray, around: np.ndarray | None) -> Content:
    """Of a portrait's `crop` [512, 512, 3], `matte` [512, 512] and what is `around` [SIDE, SIDE, 4], as in FaceObservation."""
    if around is None:
        return Content(crop, matte, PAD, PAD)
    left, top, right, bottom = _reach(around[..., 3] > 0)
    shown = around[top:bottom, left:right]
    return Content(shown[..., :3], np.clip((shown[..., 3].astype(np.float32) - 1) / 254, 0, 1), left, top)


def _reach(there: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the largest upright piece about the crop that the photo shows, as `there` [SIDE, SIDE] bool says:
    each side goes on as long as it does not lose what the crop's own border has."""
    left = top = PAD
    right = bottom = PAD + CROP
    enough = [there[PAD : PAD + CROP, column].mean() - 0.01 for column in (PAD, PAD + CROP - 1)]
    while left > 0 and there[top:bottom, left - 1].mean() >= enough[0]:
        left -= 1
    while right < SIDE and there[top:bottom, right].mean() >= enough[1]:
        right += 1
    enough = [there[row, left:right].mean() - 0.01 for row in (PAD, PAD + CROP - 1)]
    while top > 0 and there[top - 1, left:right].mean() >= enough[0]:
        top -= 1
    while bottom < SIDE and there[bottom, left:right].mean() >= enough[1]:
        bottom += 1
    return left, top, right, bottom


def cut_out(crop: np.ndarray, matte: np.ndarray, face: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(colours [h, w, 3], alpha [h, w]) of the figure alone; `face` [h, w] is 1 where the face certainly is.

    Where the matte is unsure, alpha is how much of the figure's colour nearby, rather than the background's, makes up the pixel;
    what shone through from behind is taken out of the colour. The face is whole: its rim must not thin out when it turns.
    """
    picture = crop.astype(np.float32)
    matte = _without_crumbs(np.maximum(matte, cv2.erode(face, disc(15))).astype(np.float32))
    blur = _blur(picture)
    matte = cv2.erode(matte, disc(1 + 2 * round(2 * blur)))
    figure = cv2.erode((matte > 0.93).astype(np.uint8), disc(9 + 2 * round(3 * blur))).astype(np.float32)
    ground = cv2.erode((matte < 0.04).astype(np.uint8), disc(5)).astype(np.float32)
    ramp = np.clip((matte - 0.35) / 0.45, 0.0, 1.0)
    near = bled(picture, figure)
    if ground.sum() < 200:
        return near * (1.0 - figure[..., None]) + picture * figure[..., None], np.maximum(_settled(ramp), face)
    behind = bled(picture, ground)
    apart = near - behind
    distance2 = (apart**2).sum(axis=2)
    by_colour = np.clip(
        ((cv2.GaussianBlur(picture, (0, 0), 1.0) - behind) * apart).sum(axis=2) / np.maximum(distance2, 1.0), 0.0, 1.0
    )
    trust = np.clip((np.sqrt(distance2) - 40.0) / 80.0, 0.0, 0.9) * np.clip(1.0 - figure, 0.0, 1.0)
    drawn = np.clip((by_colour - 0.25) / 0.6, 0.0, 1.0) * np.clip(matte / 0.3, 0.0, 1.0)
    sure = np.clip((matte - 0.80) / 0.18, 0.0, 1.0) * 0.75
    alpha = _settled(np.maximum(ramp * (1.0 - trust) + drawn * trust, np.minimum(ramp, sure)))
    share = np.maximum(alpha, 0.35)[..., None]
    own = np.clip((picture - (1.0 - share) * behind) / share, 0.0, 255.0)
    lean = np.clip((0.96 - alpha) / 0.3, 0.0, 1.0)[..., None]
    return own * (1.0 - lean) + near * lean, np.maximum(alpha, face)


def _blur(picture: np.ndarray) -> float:
    """0 for a sharp picture [H, W, 3], 1 for one so much enlarged that its outlines smear over ten pixels."""
    middle = picture[100:-100, 100:-100].mean(axis=2)
    fine = float((middle - cv2.GaussianBlur(middle, (0, 0), 2)).std() / max(float(middle.std()), 1e-3))
    return float(np.clip((0.09 - fine) / 0.04, 0.0, 1.0))  # 115 px portrait: 0.054; the others: 0.096..0.36


def disc(size: int) -> np.ndarray:
    """[size, size] uint8, 0 or 1."""
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))


def _without_crumbs(matte: np.ndarray) -> np.ndarray:
    """The largest piece of a matte [H, W] 0..1 alone."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats((matte > 0.3).astype(np.uint8))
    if count <= 1:
        return matte
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    return matte * cv2.GaussianBlur(cv2.dilate((labels == largest).astype(np.float32), disc(5)), (0, 0), 1.0)


def _settled(alpha: np.ndarray) -> np.ndarray:
    """Alpha [H, W] 0..1 with a soft edge, half a pixel inside."""
    return np.clip(cv2.GaussianBlur(alpha.astype(np.float32), (0, 0), 0.9) * 1.15 - 0.15, 0.0, 1.0)


def bled(colours: np.ndarray, known: np.ndarray) -> np.ndarray:
    """`colours` [H, W, 3] kept where `known` [H, W] is 1 and continued smoothly from there to everywhere else."""
    weight = known.astype(np.float32)
    sums, out, settled = colours * weight[..., None], colours * weight[..., None], weight.copy()
    levels: list[tuple[np.ndarray, np.ndarray]] = [(sums, weight)]
    while min(levels[-1][1].shape) > 2:  # push: ever coarser means of what is known
        s, w = levels[-1]
        size = (max(s.shape[1] // 2, 1), max(s.shape[0] // 2, 1))
        levels.append(
            (cv2.resize(s, size, interpolation=cv2.INTER_AREA), cv2.resize(w, size, interpolation=cv2.INTER_AREA))
        )
    s, w = levels[-1]
    coarse = s / np.maximum(w, 1e-6)[..., None]
    for s, w in reversed(levels[:-1]):  # pull: fill each level's holes from the coarser one
        coarse = cv2.resize(coarse, (s.shape[1], s.shape[0]), interpolation=cv2.INTER_LINEAR)
        trust = np.clip(w * 4.0, 0.0, 1.0)[..., None]
        coarse = coarse * (1.0 - trust) + trust * s / np.maximum(w, 1e-6)[..., None]
    rest = (1.0 - settled)[..., None]
    return out + rest * coarse


def fade_height(colours: np.ndarray, alpha: np.ndarray) -> int:
    """Rows over which a picture (`colours` [H, W, 3] 0..255, `alpha` [H, W] 0..1) that ends with the crop may fade into the
    dark at its lower border within FAITHFUL_DB."""
    energy = ((colours**2).mean(axis=2) * (alpha > 0.5)).sum(axis=1)
    budget = 255.0**2 * 10 ** (-FAITHFUL_DB / 10) * float((alpha > 0.5).sum())
    for rows in range(64, 4, -2):
        lost = (1.0 - lower_fade(np.arange(rows) + 0.5, rows, rows)) ** 2
        if float((energy[-rows:] * lost).sum()) <= budget:
            return rows
    return 4


def lower_fade(y: np.ndarray, end: float, rows: float) -> np.ndarray:
    """[N] float32: the share of light left at heights `y` [N]: 1, then 0 at `end`, over `rows`; slow at first, so that it costs
    little likeness."""
    return (1.0 - np.clip((y - end + rows) / rows, 0.0, 1.0) ** 3).astype(np.float32)


def continued(colours: np.ndarray, alpha: np.ndarray, content: Content) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The `content`'s cut-out `colours` [h, w, 3] and `alpha` [h, w], mirrored and ever softer beyond it: (colours [SIDE, SIDE, 3], solid
    alpha [SIDE, SIDE], alpha that fades at the borders [SIDE, SIDE])."""
    wide = cv2.copyMakeBorder(colours, *content.margins, cv2.BORDER_REFLECT)
    along = np.arange(SIDE, dtype=np.float32) + 0.5
    aside = np.maximum(content.left - along, along - content.right)[None, :]
    above, below = (content.top - along)[:, None], (along - content.bottom)[:, None]
    past = np.clip(np.maximum(aside, np.maximum(above, below)) / PAD, 0.0, 1.0)
    for sigma, begin in ((3.0, 0.0), (10.0, 0.1)):
        soft = cv2.GaussianBlur(wide, (0, 0), sigma)
        mix = np.clip((past - begin) / 0.2, 0.0, 1.0)[..., None]
        wide = wide * (1.0 - mix) + soft * mix
    solid = cv2.copyMakeBorder(alpha, *content.margins, cv2.BORDER_REFLECT) * _reaching(alpha, content)
    t = np.clip(np.maximum(np.maximum(aside, below) / (0.6 * PAD), above / PAD), 0.0, 1.0)
    end = np.clip(np.minimum(along, SIDE - along) / END, 0.0, 1.0)
    return wide, solid, solid * (1.0 - t * t * (3.0 - 2.0 * t)) * np.minimum(end[:, None], end[None, :])


def _reaching(alpha: np.ndarray, content: Content) -> np.ndarray:
    """[SIDE, SIDE]: 1 on the content; beyond its sides 1 only beside places where the figure, `alpha` [h, w], reaches them."""
    rim = 8
    out = np.ones((SIDE, SIDE), np.float32)
    left, right = alpha[:, :rim].min(axis=1), alpha[:, -rim:].min(axis=1)
    for columns, reach in ((slice(0, content.left), left), (slice(content.right, SIDE), right)):
        tall = cv2.copyMakeBorder(reach[:, None], *content.margins[:2], 0, 0, cv2.BORDER_REPLICATE)
        out[:, columns] = cv2.GaussianBlur(cv2.erode(tall, np.ones((9, 1), np.uint8)), (1, 25), 0, sigmaY=5.0)
    return out


def without_streaks(picture: np.ndarray, surface: Sheet) -> np.ndarray:
    """`picture` [H, W, C], blurred up and down where the surface recedes so steeply that a turned view draws it out sideways."""
    steepness = np.zeros(picture.shape[:2], np.float32)
    corners, depths = surface.uv[surface.triangles], surface.points[surface.triangles, 2]
    ab, ac = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]
    rise = (depths[:, 1] - depths[:, 0]) * ac[:, 1] - (depths[:, 2] - depths[:, 0]) * ab[:, 1]
    slope = np.abs(rise) / np.maximum(np.abs(area), 1e-3)
    for triangle, steep in zip((corners * 16).round().astype(np.int32), slope.tolist(), strict=True):
        if steep > STREAKS_FROM:
            cv2.fillConvexPoly(steepness, triangle, (min(steep, 3 * STREAKS_FROM),), lineType=cv2.LINE_8, shift=4)
    mix = np.clip((cv2.GaussianBlur(steepness, (0, 0), 2.0) - 0.6 * STREAKS_FROM) / STREAKS_FROM, 0.0, 0.8)[..., None]
    return picture * (1.0 - mix) + cv2.GaussianBlur(picture, (0, 0), sigmaX=0.8, sigmaY=4.0) * mix


@dataclass
class Atlas:
    """One picture that holds all textures: the continued crop at the top left, panels on shelves below it."""

    panels: list[tuple[int, int, np.ndarray]] = field(default_factory=list)
    _shelf: list[int] = field(default_factory=lambda: [0, SIDE, 0])
    "x, y and height of the shelf that is being filled."

    def add(self, rgba: np.ndarray) -> tuple[float, float]:
        """Take in a [h, w, 4] panel (0..255); returns where its top left corner lies."""
        framed = cv2.copyMakeBorder(rgba.astype(np.float32), GUTTER, GUTTER, GUTTER, GUTTER, cv2.BORDER_REPLICATE)
        height, width = framed.shape[:2]
        assert width <= SIDE, width
        x, y, tallest = self._shelf
        if x + width > SIDE:
            x, y, tallest = 0, y + tallest, 0
        self.panels.append((x, y, framed))
        self._shelf[:] = [x + width, y, max(tallest, height)]
        return float(x + GUTTER), float(y + GUTTER)

    def picture(self, whole: np.ndarray) -> np.ndarray:
        """[H, SIDE, 4] uint8: `whole` [SIDE, SIDE, 4], the continued crop, above all the panels."""
        height = max(y + framed.shape[0] for _, y, framed in self.panels)
        sheet = np.zeros((height, SIDE, 4), np.float32)
        sheet[:SIDE] = whole
        for x, y, framed in self.panels:
            sheet[y : y + framed.shape[0], x : x + framed.shape[1]] = framed
        return np.clip(sheet + 0.5, 0, 255).astype(np.uint8)


def rgba(colours: np.ndarray, alpha: np.ndarray | float = 1.0) -> np.ndarray:
    """[h, w, 4] float32 0..255."""
    plane = np.broadcast_to(np.float32(255.0) * np.asarray(alpha, np.float32), colours.shape[:2])
    return np.dstack([colours, plane]).astype(np.float32)


def scaled(picture: np.ndarray, across: float, down: float) -> np.ndarray:
    """[h, w] uint32: the atlas [H, W, 4] uint8 at a tile's scale, so that rendering samples it one to one."""
    height, width = picture.shape[:2]
    size = (max(round(width * across), 2), max(round(height * down), 2))
    if size != (width, height):
        method = cv2.INTER_AREA if across < 1.0 and down < 1.0 else cv2.INTER_CUBIC
        picture = cv2.resize(picture, size, interpolation=method)
    return np.ascontiguousarray(picture).view(np.uint32)[..., 0]
