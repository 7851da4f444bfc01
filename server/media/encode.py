"""Encode: one H.264 encoder per stream. Pictures in, access units out; who watches is not known here.

aiortc's own encoder runs x264 without a preset, at level 3.1 and at most 3 Mbit/s, once per viewer: not usable for quilts.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache

import av
import numpy as np
import structlog
from av.bitstream import BitStreamFilterContext
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType

from display.colour import Layout
from server.media.rates import CLOCK_RATE

log = structlog.get_logger(__name__)

KEYFRAME_APART = 0.5
"Seconds: however many ask, keyframes are at least this far apart."
KEYFRAME_EVERY = 4.0
"Seconds: a keyframe comes this often unasked, so that a loss nobody reported heals."
BUFFER_SECONDS = 0.1
"The decoder buffer x264 plans for. It bounds a keyframe to a tenth of a second of the bitrate (200 kB at 16 Mbit/s)."
BITS_PER_PIXEL = 0.41
"16 Mbit/s at 1536x1024 and 25 fps, where quilts of real faces measured 42 dB (8 Mbit/s: 37 dB)."
BITRATE_RANGE = (1_500_000, 40_000_000)

LEVELS = {
    10: (99, 1_485),
    11: (396, 3_000),
    12: (396, 6_000),
    13: (396, 11_880),
    20: (396, 11_880),
    21: (792, 19_800),
    22: (1_620, 20_250),
    30: (1_620, 40_500),
    31: (3_600, 108_000),
    32: (5_120, 216_000),
    40: (8_192, 245_760),
    42: (8_704, 522_240),
    50: (22_080, 589_824),
    51: (36_864, 983_040),
    52: (36_864, 2_073_600),
    60: (139_264, 4_177_920),
    61: (139_264, 8_355_840),
    62: (139_264, 16_711_680),
}
"ITU-T H.264 table A-1: level times ten -> most macroblocks a frame, most macroblocks a second."

CHROMA_IN_THE_MIDDLE = 1
"H.264's chroma_sample_loc_type of what display/colour.py makes. Players who are not told assume 0, on the left."
PIXEL_FORMATS = {Layout.I420: "yuv420p", Layout.NV12: "nv12"}
"FFmpeg's names."


@dataclass(frozen=True)
class Form:
    """What a stream looks like. Raises ValueError where H.264 has no level for it."""

    width: int
    height: int
    frames_per_second: int
    bitrate: int
    "Bits per second."

    def __post_init__(self) -> None:
        assert self.width % 2 == 0 == self.height % 2, (self.width, self.height)
        level_for(self.width, self.height, self.frames_per_second)

    def resized(self, width: int, height: int, density: float = 1.0) -> Form:
        """The same pictures with other sides, and `density` of the bits for each pixel, while there are enough of them."""
        bitrate = round(self.bitrate * density * width * height / (self.width * self.height))
        least = min(self.bitrate, BITRATE_RANGE[0])
        return replace(self, width=width, height=height, bitrate=max(bitrate, least))

    @property
    def level(self) -> int:
        """The lowest H.264 level, times ten, that carries this form."""
        return level_for(self.width, self.height, self.frames_per_second)


@dataclass(frozen=True)
class AccessUnit:
    """One encoded picture, Annex B."""

    data: bytes
    keyframe: bool
    pts: int
    "In CLOCK_RATE units, from the capture time; never twice the same."
    captured: float


def level_for(width: int, height: int, frames_per_second: int) -> int:
    """The lowest level of table A-1, times ten, for this size and rate."""
    blocks = -(-width // 16) * -(-height // 16)
    for level, (per_frame, per_second) in LEVELS.items():
        if blocks <= per_frame and blocks * frames_per_second <= per_second:
            return level
    raise ValueError(f"H.264 has no level for {width}x{height} at {frames_per_second} fps; choose a smaller screen")


def bitrate_for(width: int, height: int, frames_per_second: int) -> int:
    """Bits per second that keep faces sharp at this size."""
    least, most = BITRATE_RANGE
    return max(least, min(most, round(BITS_PER_PIXEL * width * height * frames_per_second)))


def form_for(width: int, height: int, frames_per_second: int, bitrate: int | None = None) -> Form:
    """The form of a stream of this size; `bitrate` overrides the one by size."""
    return Form(width, height, frames_per_second, bitrate or bitrate_for(width, height, frames_per_second))


def _threads() -> int:
    """Slices encoded at once. On two cores one thread costs the least (1536x1024 idle: 7.1 ms wall and 8.0 ms CPU with one,
    5.3 and 8.3 with two), and the renderer wants the other core. Frame threads hold a picture back: never."""
    return max(1, min(4, len(os.sched_getaffinity(0)) // 2))


def layout_for(codec: str) -> Layout:
    """What `codec` reads without sorting the chroma anew."""
    return Layout.I420 if codec == "libx264" else Layout.NV12


def _open(codec: str, form: Form, layout: Layout) -> VideoCodecContext:
    context = av.CodecContext.create(codec, "w")
    assert isinstance(context, VideoCodecContext)
    context.width, context.height, context.pix_fmt = form.width, form.height, PIXEL_FORMATS[layout]
    context.bit_rate = form.bitrate
    context.framerate = Fraction(form.frames_per_second)
    context.time_base = Fraction(1, CLOCK_RATE)
    context.gop_size = 1_000_000  # we say when
    context.max_b_frames = 0
    # display/colour.py makes BT.601 in limited range from sRGB; without saying so, players assume BT.709 above 576 lines.
    context.color_range, context.colorspace, context.color_primaries, context.color_trc = 1, 6, 1, 13
    rate, buffer = form.bitrate // 1000, round(form.bitrate * BUFFER_SECONDS) // 1000
    if codec == "libx264":
        context.profile = "Baseline"  # all that ultrafast uses, and what every browser decodes
        context.thread_count = _threads()
        context.options = {
            "preset": "ultrafast",
            "tune": "zerolatency",
            "level": str(form.level),
            "forced-idr": "1",
            "x264-params": f"vbv-maxrate={rate}:vbv-bufsize={buffer}:scenecut=0:chromaloc={CHROMA_IN_THE_MIDDLE}",
        }
    else:
        context.options = {
            "profile": "baseline",
            "preset": "p2",
            "tune": "ull",
            "rc": "cbr",
            "zerolatency": "1",
            "delay": "0",
            "forced-idr": "1",
            "level": f"{form.level / 10:.1f}",
            "bufsize": str(buffer * 1000),
            "maxrate": str(form.bitrate),
        }
    context.open()
    return context


def _located(codec: str) -> BitStreamFilterContext | None:
    """What writes into parameter sets where chroma lies, for encoders that have no option for it, as FFmpeg's wrapper of NVENC."""
    if codec == "libx264":
        return None
    return BitStreamFilterContext(f"h264_metadata=chroma_sample_loc_type={CHROMA_IN_THE_MIDDLE}", "h264")


@cache
def best_codec() -> str:
    """NVENC where a picture really comes out of it, x264 where not; tried once, and said either way."""
    try:
        context = _open("h264_nvenc", form_for(640, 480, 25), layout_for("h264_nvenc"))
        black = av.VideoFrame.from_ndarray(np.zeros((720, 640), np.uint8), format="nv12")
        black.pts = 0
        context.encode(black)
        if not list(context.encode(None)):
            raise RuntimeError("it took a picture and gave none back")
    except (av.FFmpegError, ValueError, RuntimeError) as failure:
        cause = failure.strerror if isinstance(failure, av.FFmpegError) else failure
        log.warning("encoding on the CPU with x264: NVENC does not work here", cause=str(cause))
        return "libx264"
    log.info("encoding on the GPU with NVENC")
    return "h264_nvenc"


class Encoder:
    """Encodes one stream. `encode` belongs to one thread; `ask_keyframe` may be called from any."""

    def __init__(
        self, form: Form, codec: str = "libx264", layout: Layout = Layout.I420, before: Encoder | None = None
    ) -> None:
        """`layout` is that of every picture to come. The stream goes on from where `before` left off, in another form."""
        self.form, self._pixel_format = form, PIXEL_FORMATS[layout]
        self._context, self._located = _open(codec, form, layout), _located(codec)
        self._wanted = threading.Event()
        self._last_keyframe = float("-inf")
        self._last_pts = before._last_pts if before else -1
        self._origin = before._origin if before else None

    def ask_keyframe(self) -> None:
        """The next picture is a keyframe, as soon as KEYFRAME_APART allows."""
        self._wanted.set()

    def encode(self, yuv: np.ndarray, captured: float) -> AccessUnit:
        """The picture `yuv` [H*3/2, W] uint8 as an access unit. `captured`: seconds of any steady clock."""
        assert yuv.shape == (self.form.height * 3 // 2, self.form.width), yuv.shape
        frame = av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(yuv), format=self._pixel_format)  # not copied
        frame.pts = self._stamp(captured)
        frame.time_base = Fraction(1, CLOCK_RATE)
        keyframe = self._keyframe_due(captured)
        frame.pict_type = PictureType.I if keyframe else PictureType.NONE
        packets = self._context.encode(frame)
        if keyframe and self._located is not None:  # others have no parameter sets
            packets = [told for packet in packets for told in self._located.filter(packet)]
        data = b"".join(bytes(packet) for packet in packets)
        assert data, "the encoder holds pictures back"
        return AccessUnit(data, keyframe, frame.pts, captured)

    def _stamp(self, captured: float) -> int:
        if self._origin is None:
            self._origin = captured
        self._last_pts = max(round((captured - self._origin) * CLOCK_RATE), self._last_pts + 1)
        return self._last_pts

    def _keyframe_due(self, captured: float) -> bool:
        since = captured - self._last_keyframe
        due = since >= KEYFRAME_EVERY or (self._wanted.is_set() and since >= KEYFRAME_APART)
        if due:
            self._wanted.clear()
            self._last_keyframe = captured
        return due
