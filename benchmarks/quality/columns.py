"""Columns: what is measured, in which unit, and which way is better. Knows no pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from benchmarks.quality.instruments.face import SIGNALS

Better = Literal["higher", "lower", "one", "none"]


@dataclass(frozen=True)
class Column:
    """One figure of a row."""

    name: str
    label: str
    unit: str
    better: Better
    "Which way is better: up, down, towards one, or neither."
    decimals: int
    group: str
    "The table it stands in."


NETWORKS = {"faceres": "FaceRes", "mobileface": "MobileFace", "arcface": "ArcFace"}
"Those that tell whose face it is; the last where it was brought."

FID = "fid"
"Of all pictures of a condition together: no row has it."


def _tracking() -> list[Column]:
    made = []
    for signal in SIGNALS:
        key = signal.replace(" ", "_")
        made.append(Column(f"{key}_correlation", f"{signal} r", "", "higher", 3, "tracking"))
        made.append(Column(f"{key}_slope", f"{signal} slope", "", "one", 2, "tracking"))
        made.append(Column(f"{key}_lag", f"{signal} lag", "ms", "lower", 0, "tracking"))
    return made


def _identity() -> list[Column]:
    made = []
    for network, label in NETWORKS.items():
        made.append(Column(f"source_{network}", f"C(out, source) {label}", "cosine", "higher", 3, "identity"))
        made.append(Column(f"driver_{network}", f"C(out, driver) {label}", "cosine", "none", 3, "identity"))
        made.append(Column(f"apart_{network}", f"C(source, driver) {label}", "cosine", "none", 3, "identity"))
        made.append(Column(f"leak_{network}", f"leak {label}", "cosine", "lower", 3, "identity"))
        made.append(Column(f"kept_{network}", f"kept share {label}", "", "higher", 2, "identity"))
    return made


COLUMNS = (
    Column("psnr", "PSNR", "dB", "higher", 2, "picture"),
    Column("ssim", "SSIM", "", "higher", 3, "picture"),
    Column("stlpips", "ST-LPIPS", "", "lower", 3, "picture"),
    Column("lpips_alex", "LPIPS AlexNet", "", "lower", 3, "picture"),
    Column("lpips_vgg", "LPIPS VGG", "", "lower", 3, "picture"),
    Column("psnr_person", "PSNR person", "dB", "higher", 2, "picture"),
    Column("psnr_face", "PSNR face", "dB", "higher", 2, "picture"),
    Column("psnr_parts", "PSNR mouth, eyes", "dB", "higher", 2, "picture"),
    Column("points", "points", "eye distances", "lower", 3, "picture"),
    Column("points_mouth", "points mouth", "eye distances", "lower", 3, "picture"),
    Column("points_eyes", "points eyes", "eye distances", "lower", 3, "picture"),
    *_identity(),
    Column("expression", "expression", "mm", "lower", 2, "doing"),
    Column("blendshapes", "blendshapes", "mean |d|", "lower", 3, "doing"),
    Column("yaw", "yaw error", "degrees", "lower", 1, "doing"),
    Column("pitch", "pitch error", "degrees", "lower", 1, "doing"),
    Column("roll", "roll error", "degrees", "lower", 1, "doing"),
    *_tracking(),
    Column("rest_points", "trembling at rest, points", "eye distances / 1000", "lower", 2, "temporal"),
    Column("rest_pixels", "trembling at rest, pixels", "levels", "lower", 2, "temporal"),
    Column("moving", "trembling while moving", "of the driver's", "lower", 2, "temporal"),
    Column("warped", "change that motion does not explain", "of the reference's", "lower", 2, "temporal"),
    Column("rows", "points off their row", "pixels at 256", "lower", 2, "views"),
    Column("vertical", "vertical flow", "pixels at 256", "lower", 3, "views"),
    Column("torn", "flow there and back", "pixels at 256", "lower", 3, "views"),
    Column("composed", "two steps against one", "pixels at 256", "lower", 3, "views"),
    Column("uneven", "unevenness of the fan", "of its step", "lower", 3, "views"),
    Column("yaw_span", "yaw seen of yaw asked", "", "one", 2, "views"),
    Column("yaw_view", "yaw seen off yaw asked", "degrees", "lower", 1, "views"),
    Column("view_holes", "holes, worst view", "% of the figure", "lower", 3, "views"),
    Column("left_faceres", "C(-17.5, source) FaceRes", "cosine", "higher", 3, "views"),
    Column("middle_faceres", "C(0, source) FaceRes", "cosine", "higher", 3, "views"),
    Column("right_faceres", "C(17.5, source) FaceRes", "cosine", "higher", 3, "views"),
    Column("left_mobileface", "C(-17.5, source) MobileFace", "cosine", "higher", 3, "views"),
    Column("middle_mobileface", "C(0, source) MobileFace", "cosine", "higher", 3, "views"),
    Column("right_mobileface", "C(17.5, source) MobileFace", "cosine", "higher", 3, "views"),
    Column("left_arcface", "C(-17.5, source) ArcFace", "cosine", "higher", 3, "views"),
    Column("middle_arcface", "C(0, source) ArcFace", "cosine", "higher", 3, "views"),
    Column("right_arcface", "C(17.5, source) ArcFace", "cosine", "higher", 3, "views"),
    Column("mirror", "mirror test", "levels", "lower", 2, "views"),
    Column("brisque", "BRISQUE", "of the source's", "lower", 2, "unreferenced"),
    Column("sharpness", "sharpness", "of the source's", "one", 2, "unreferenced"),
    Column("holes", "holes", "% of the figure", "lower", 3, "unreferenced"),
    Column(FID, "FID", "", "lower", 2, "unreferenced"),
)
NAMES = tuple(column.name for column in COLUMNS)
BY_NAME = {column.name: column for column in COLUMNS}
GROUPS = {
    "picture": "Beside the driver's own frame (self-reenactment alone)",
    "identity": "Whose face it is",
    "doing": "Whether it does what the driver does",
    "tracking": "How it follows: correlation, slope, and lag of the recorded film",
    "temporal": "How steady it is",
    "views": "The 24 views",
    "unreferenced": "Quality without a reference",
}
YARDSTICKS = ("frozen", "shuffled", "meter", "swap")
CONDITIONS = ("as run", "matched", "raw", *YARDSTICKS)
MEANING = {
    "as run": "the product's own road",
    "matched": "the driver's angles minus the portrait's, where the engine adds them",
    "raw": "as run, from an Observer that does not smooth: what is late or steady here is the engine's own (self alone)",
    "frozen": "the avatar at rest, not moving",
    "shuffled": "what the avatar showed at another moment",
    "meter": "the reference against itself, cut out a little differently: the instrument's floor",
    "swap": "another person's picture: the ceiling",
}
