"""Marks: whether the visible mark can be read in every view of every screen, and whether an invisible one survives our encoder.

    python -m benchmarks.marks                    writes benchmarks/results/marks.json
    python -m benchmarks.marks --invisible        the invisible one: wants invisible-watermark and PyWavelets, both without their
                                                  dependencies (pip install --no-deps invisible-watermark PyWavelets)

Views are white, black and a portrait in turn, and noise too with --noise: the worst that a mark can stand on. Contrast is WCAG's
ratio of letters to plate, and likeness the correlation of what is there with the letters as they are laid.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import av
import cv2
import numpy as np

from benchmarks.lib.harness import parser, show, write
from display import planar
from display.colour import Layout
from display.label import OPACITY, PLATE_OPACITY, Mark, mark
from display.optics import fan
from display.quilt import compose, tile_of
from display.screen import PRODUCT, Screen, screen, screens
from display.views import ViewSet
from engines import catalogue
from pipeline.preprocess.observer import observe_portrait
from pipeline.puppet import blink, mouth, puppet_portrait, scripted
from server.media.encode import Encoder, form_for

RATES = (4_000_000, 8_000_000, 16_000_000)
PICTURES, SETTLED = 16, 8
"Encoded, and the first that is looked at: an encoder's rate has settled by then."
PAYLOAD = b"TQ26"
"32 bits, as the library is mostly used."
METHODS = ("dwtDct", "dwtDctSvd")
KEPT_FROM = 0.95


@dataclass(frozen=True)
class Readable:
    """The mark of one screen."""

    screen: str
    views: int
    tile: tuple[int, int]
    capital: float
    "Pixels of a capital letter's height, as laid."
    bitrate: int | None
    "None: the quilt is larger than H.264 goes, and was not encoded."
    contrast: float
    "WCAG's ratio, the least of all views."
    likeness: float
    "0..1, the least of all views."


def main() -> None:
    wanted = _parsed()
    if wanted.invisible:
        _invisible(wanted.pictures)
        return
    found = [one for name in _screens(wanted.screens) for one in measured(screen(name), wanted.noise)]
    rows = [
        (
            one.screen,
            one.views,
            f"{one.tile[0]}x{one.tile[1]}",
            one.capital,
            _rate(one.bitrate),
            one.contrast,
            one.likeness,
        )
        for one in found
    ]
    show(
        "The mark in the worst view", ("screen", "views", "tile", "capital px", "Mbit/s", "contrast", "likeness"), rows
    )
    print("written to", write("marks", {"marks": [asdict(one) for one in found]}))


def _parsed() -> argparse.Namespace:
    arguments = parser(__doc__)
    arguments.add_argument("--screens", nargs="*", help="by default all")
    arguments.add_argument(
        "--noise", action="store_true", help="every fourth view is noise, which takes an encoder's bits"
    )
    arguments.add_argument("--invisible", action="store_true")
    arguments.add_argument("--pictures", type=int, default=PICTURES)
    return arguments.parse_args()


def _screens(asked: list[str] | None) -> list[str]:
    return asked or list(screens())


def _rate(bitrate: int | None) -> str:
    return "not encoded" if bitrate is None else f"{bitrate / 1e6:.1f}"


def measured(asked: Screen, noisy: bool = False) -> Iterator[Readable]:
    """At a quarter of the rate at which its quilt is sent, at half, which is what a busy machine makes, and at that rate."""
    laid = mark(asked)
    quilt = compose([ViewSet(_worst(asked, noisy))], asked, laid)
    yuv = planar.converted(quilt.pixels, Layout.I420).numpy()
    try:
        own = form_for(asked.quilt_width + asked.quilt_width % 2, asked.quilt_height + asked.quilt_height % 2, 25)
    except ValueError:  # larger than H.264 goes
        yield _readable(asked, laid, quilt.pixels.numpy()[..., :3], None)
        return
    for bitrate in (own.bitrate // 4, own.bitrate // 2, own.bitrate):
        form = form_for(own.width, own.height, 25, bitrate)
        coded = _coded([yuv] * 4, form)[-1][own.height - asked.quilt_height :, : asked.quilt_width]
        yield _readable(asked, laid, coded, bitrate)


def _worst(asked: Screen, noisy: bool) -> Any:
    import torch

    noise = np.random.default_rng(3).integers(0, 255, (asked.tile_height, asked.tile_width, 3), np.uint8)
    face = cv2.resize(_portrait(), (asked.tile_width, asked.tile_height), interpolation=cv2.INTER_AREA)
    kinds = [np.full_like(noise, 255), np.zeros_like(noise), face, *([noise] if noisy else [])]
    views = np.full((asked.views, asked.tile_height, asked.tile_width, 4), 255, np.uint8)
    for view in range(asked.views):
        views[view, ..., :3] = kinds[view % len(kinds)]
    return torch.from_numpy(views)


def _portrait() -> np.ndarray:
    crop = observe_portrait(puppet_portrait()).crop
    assert crop is not None
    return crop


def _readable(asked: Screen, laid: Mark, pixels: np.ndarray, bitrate: int | None) -> Readable:
    views = [tile_of(pixels, asked, view) for view in range(asked.views)]
    capital = laid.keep.shape[0] / (1 + 2 * 0.38 + 0.4)
    tile = (asked.tile_width, asked.tile_height)
    contrasts = [contrast(view, laid) for view in views]
    likenesses = [likeness(view, laid) for view in views]
    return Readable(
        asked.name, asked.views, tile, round(capital, 1), bitrate, round(min(contrasts), 2), round(min(likenesses), 3)
    )


def contrast(view: np.ndarray, laid: Mark) -> float:
    """WCAG 2.2's ratio of the letters' luminance to the plate's, in `view` [h, w, 3] uint8."""
    patch, letters = _patch(view, laid)
    light = _luminance(patch)
    plate = _plate(laid) & (letters < 0.02)
    bright = float((light * letters**4).sum() / max((letters**4).sum(), 1e-6))
    return (bright + 0.05) / (float(light[plate].mean()) + 0.05)


def likeness(view: np.ndarray, laid: Mark) -> float:
    """Correlation of the mark's place in `view` with the letters, -1..1."""
    patch, letters = _patch(view, laid)
    inside = _plate(laid)
    return float(np.corrcoef(patch.mean(2)[inside], letters[inside])[0, 1])


def _plate(laid: Mark) -> np.ndarray:
    """[h, w] bool: where it is as dark as it gets, its rounded ends left out."""
    return laid.keep[:, 0, :, 0] <= 256 * (1 - PLATE_OPACITY) + 4


def _patch(view: np.ndarray, laid: Mark) -> tuple[np.ndarray, np.ndarray]:
    letters = laid.add[:, 0, :, 0] / (255 * OPACITY)
    height, width = letters.shape
    return view[laid.top : laid.top + height, laid.left : laid.left + width].astype(np.float32), letters


def _luminance(rgb: np.ndarray) -> np.ndarray:
    linear = np.where(rgb <= 10.31, rgb / 255 / 12.92, ((rgb / 255 + 0.055) / 1.055) ** 2.4)
    return linear @ np.array([0.2126, 0.7152, 0.0722])


def _coded(pictures: list[np.ndarray], form: Any) -> list[np.ndarray]:
    """RGB as a viewer decodes it."""
    encoder, decoder, shown = Encoder(form), av.CodecContext.create("h264", "r"), []
    for number, yuv in enumerate(pictures):
        packet = av.Packet(encoder.encode(yuv, number / form.frames_per_second).data)
        shown += [frame.to_ndarray(format="rgb24") for frame in decoder.decode(packet)]
    shown += [frame.to_ndarray(format="rgb24") for frame in decoder.decode(None)]
    return shown


# The invisible one --------------------------------------------------------------------------------------------------------------


def _invisible(count: int) -> None:
    try:
        from imwatermark import WatermarkDecoder, WatermarkEncoder  # type: ignore[import-not-found]
    except ImportError:
        raise SystemExit("not measured: pip install --no-deps invisible-watermark PyWavelets") from None
    asked, results = screen(PRODUCT), []
    quilts = _driven(asked, count)
    for method in METHODS:
        into = WatermarkEncoder()
        into.set_by_bytes(PAYLOAD)
        for scope in ("view", "quilt"):
            marked, seconds, loss = _embedded(
                quilts, asked, scope, lambda rgb, into=into, method=method: into.encode(rgb, method)
            )
            read = WatermarkDecoder("bytes", 8 * len(PAYLOAD))
            rates = {
                bitrate: _found(
                    marked, asked, scope, bitrate, lambda rgb, read=read, method=method: read.decode(rgb, method)
                )
                for bitrate in (None, *RATES)
            }
            found = {"not encoded" if bitrate is None else str(bitrate): share for bitrate, share in rates.items()}
            results.append(
                {
                    "method": method,
                    "scope": scope,
                    "ms_a_quilt": round(1e3 * seconds, 1),
                    "psnr_db": round(loss, 1),
                    "found": found,
                }
            )
    rows = [
        (f"{one['method']}, each {one['scope']}", one["ms_a_quilt"], one["psnr_db"], *one["found"].values())
        for one in results
    ]
    heads = ("method", "ms a quilt", "PSNR dB", "not encoded", *(f"{rate // 10**6} Mbit/s" for rate in RATES))
    show(f"An invisible mark found again (share; {KEPT_FROM} at 8 Mbit/s is wanted)", heads, rows)
    facts = {"payload_bits": 8 * len(PAYLOAD), "pictures": count, "settled": SETTLED}
    print("written to", write("marks_invisible", facts | {"invisible": results}))


def _driven(asked: Screen, count: int) -> list[np.ndarray]:
    """[H, W, 3] uint8 RGB quilts of the puppet, marked visibly as they are sent."""
    engine, portrait = catalogue.load(), observe_portrait(puppet_portrait())
    avatar = engine.enrol(portrait)
    quilts = []
    for number in range(count):
        at = number / 25
        state = engine.drive(avatar, scripted(portrait, mouth=mouth(at), blink=blink(at)))
        quilts.append(compose([engine.render(state, fan(asked))], asked, mark(asked)).pixels.numpy()[..., :3].copy())
    return quilts


def _parts(quilt: np.ndarray, asked: Screen, scope: str) -> list[np.ndarray]:
    return [quilt] if scope == "quilt" else [tile_of(quilt, asked, view) for view in range(asked.views)]


def _embedded(
    quilts: list[np.ndarray], asked: Screen, scope: str, embed: Callable[[np.ndarray], np.ndarray]
) -> tuple[list[np.ndarray], float, float]:
    """The marked quilts, seconds for one, PSNR to what they were."""
    marked = [quilt.copy() for quilt in quilts]
    begun = time.perf_counter()
    for quilt in marked:
        for part in _parts(quilt, asked, scope):
            part[...] = embed(np.ascontiguousarray(part[..., ::-1]))[..., ::-1]
    seconds = (time.perf_counter() - begun) / len(quilts)
    error = np.mean([((a.astype(np.float32) - b) ** 2).mean() for a, b in zip(marked, quilts, strict=True)])
    return marked, seconds, float(10 * np.log10(255**2 / error))


def _found(
    marked: list[np.ndarray], asked: Screen, scope: str, bitrate: int | None, read: Callable[[np.ndarray], bytes]
) -> float:
    """The share of views, or of quilts, in which every bit is read; of pictures once the rate has settled."""
    shown = marked
    if bitrate is not None:
        yuv = [cv2.cvtColor(quilt, cv2.COLOR_RGB2YUV_I420) for quilt in marked]
        shown = _coded(yuv, form_for(asked.quilt_width, asked.quilt_height, 25, bitrate))
    counts: defaultdict[bool, int] = defaultdict(int)
    for quilt in shown[SETTLED:]:
        for part in _parts(quilt, asked, scope):
            counts[read(np.ascontiguousarray(part[..., ::-1])) == PAYLOAD] += 1
    return round(counts[True] / max(sum(counts.values()), 1), 4)


if __name__ == "__main__":
    main()
