"""Headers of coded pictures: what real encoders write is read, and what nobody writes on purpose does no harm."""

from __future__ import annotations

import random
from base64 import b64encode
from fractions import Fraction

import av
import numpy as np
import pytest

from server.webrtc.bitstream import START, header, parameter_sets


def coded(codec: str, width: int, height: int, count: int = 3, **options: str) -> list[bytes]:
    context = av.CodecContext.create(codec, "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.time_base = width, height, Fraction(1, 30)
    context.pix_fmt = options.pop("pix_fmt", "yuv420p")
    context.options = options
    pictures = []
    for number in range(count):
        shape = (height, width, 3)
        frame = av.VideoFrame.from_ndarray(np.full(shape, 40 + number, np.uint8), "rgb24").reformat(
            format=context.pix_fmt
        )
        frame.pts = number
        pictures += [bytes(packet) for packet in context.encode(frame)]
    return pictures + [bytes(packet) for packet in context.encode(None)]


@pytest.mark.parametrize(("width", "height"), [(320, 240), (2, 2), (1918, 1078), (4096, 16)])
def test_a_vp8_keyframe_tells_its_size(width, height):
    first, second, *_ = coded("libvpx", width, height)
    assert header("VP8", first).keyframe
    assert header("VP8", first).sizes == ((width, height),)
    assert not header("VP8", second).keyframe


@pytest.mark.parametrize(
    "options",
    [
        {"profile": "baseline"},
        {"profile": "high", "x264-params": "cqm=jvt"},
        {"pix_fmt": "yuv444p", "profile": "high444"},
        {"x264-params": "interlaced=1"},
        {"tune": "zerolatency", "x264-params": "slices=4"},
    ],
)
@pytest.mark.parametrize(("width", "height"), [(320, 240), (1920, 1080), (50, 1200)])
def test_an_h264_keyframe_tells_its_size_in_macroblocks(width, height, options):
    first, *rest = coded("libx264", width, height, 2, bf="0", **options)
    told = header("H264", first)
    up = 32 if "interlaced=1" in options.values() else 16
    assert told.keyframe
    assert told.sizes == ((-(-width // 16) * 16, -(-height // up) * up),)
    assert not header("H264", rest[0]).keyframe


def test_a_stream_that_refreshes_bit_by_bit_can_be_entered():
    pictures = coded("libx264", 320, 240, 30, bf="0", g="10", **{"x264-params": "intra-refresh=1:keyint=10"})
    assert sum(header("H264", picture).keyframe for picture in pictures) > 1


def test_parameter_sets_of_an_sdp_become_a_byte_stream():
    units = [b"\x67\x42\x00\x1f", b"\x68\xce\x3c\x80"]
    sprop = ",".join(b64encode(unit).decode().rstrip("=") for unit in units)
    assert parameter_sets(sprop) == b"".join(START + unit for unit in units)
    assert parameter_sets("") == parameter_sets(",,") == parameter_sets("?!*") == b""


@pytest.mark.parametrize("codec", ["VP8", "H264"])
def test_no_bytes_whatever_raise(codec):
    luck = random.Random(3)
    real = coded("libvpx" if codec == "VP8" else "libx264", 64, 64)[0]
    for _ in range(2000):
        data = bytearray(real[: luck.randint(0, 80)])
        for _ in range(luck.randint(0, 9)):
            if data:
                data[luck.randrange(len(data))] = luck.randrange(256)
        header(codec, bytes(data))
