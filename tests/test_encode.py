"""The encoder by its laws: what players read in the stream, when keyframes come, how large they get."""

from __future__ import annotations

from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext
from av.error import InvalidDataError

from server.media.encode import (
    BUFFER_SECONDS,
    KEYFRAME_APART,
    KEYFRAME_EVERY,
    AccessUnit,
    Encoder,
    _located,
    best_codec,
    bitrate_for,
    form_for,
    level_for,
)

SMALL = form_for(256, 128, 25)


def picture(seed: int = 0, width: int = 256, height: int = 128, noise: float = 40) -> np.ndarray:
    """[3/2 H, W] uint8: smooth colours with some noise on them."""
    rng = np.random.default_rng(seed)
    smooth = cv2.resize(rng.integers(0, 255, (4, 6, 3), np.uint8), (width, height))
    rgb = np.clip(smooth + rng.normal(0, noise, (height, width, 1)), 0, 255).astype(np.uint8)
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420)


def decoded(units: list[AccessUnit]) -> list[av.VideoFrame]:
    context = av.CodecContext.create("h264", "r")
    frames = [frame for unit in units for frame in context.decode(av.Packet(unit.data))]
    return frames + context.decode(None)


def keyframes(encoder: Encoder, times: list[float]) -> list[float]:
    return [at for at in times if encoder.encode(picture(), at).keyframe]


@pytest.mark.parametrize(
    ("width", "height", "fps", "level"),
    [(512, 512, 25, 30), (1280, 720, 30, 31), (1536, 1024, 25, 40), (3072, 2048, 30, 51), (4096, 4096, 25, 60)],
)
def test_the_level_is_the_lowest_that_carries_the_form(width, height, fps, level):
    assert level_for(width, height, fps) == level


def test_a_size_beyond_every_level_is_refused_with_advice():
    with pytest.raises(ValueError, match="smaller screen"):
        level_for(16384, 16384, 25)


def test_bitrate_grows_with_the_picture_and_the_product_quilt_gets_sixteen_megabit():
    assert bitrate_for(1536, 1024, 25) == pytest.approx(16e6, rel=0.02)
    assert bitrate_for(512, 512, 25) < bitrate_for(1536, 1024, 25) < bitrate_for(3072, 2048, 25)
    assert form_for(1536, 1024, 25, bitrate=8_000_000).bitrate == 8_000_000


def test_every_picture_comes_out_at_once_and_stands_alone_after_a_keyframe():
    encoder = Encoder(SMALL)
    units = [encoder.encode(picture(i), i / 25) for i in range(6)]
    assert [unit.keyframe for unit in units] == [True, False, False, False, False, False]
    assert len(decoded(units)) == 6
    with pytest.raises(InvalidDataError):
        decoded(units[1:])  # nothing to stand on


def test_the_codec_that_probing_chooses_gives_a_picture():
    assert len(decoded([Encoder(SMALL, best_codec()).encode(picture(), 0.0)])) == 1


def test_the_stream_says_its_profile_its_level_and_the_colours_that_opencv_made():
    frame = decoded([Encoder(form_for(1536, 1024, 25)).encode(picture(0, 1536, 1024), 0.0)])[0]
    assert (frame.width, frame.height) == (1536, 1024)
    assert (frame.color_range, frame.colorspace, frame.color_primaries, frame.color_trc) == (1, 6, 1, 13)
    sps = Encoder(form_for(1536, 1024, 25)).encode(picture(0, 1536, 1024), 0.0).data
    start = sps.index(b"\x00\x00\x01\x67") + 4
    profile, constraints, level = sps[start : start + 3]
    assert (profile, level) == (66, 40)
    assert constraints & 0x40, "constrained baseline: what 42e0xx in the answer promises"


def test_the_stream_says_that_chroma_lies_in_the_middle_of_its_pixels():
    encoder = Encoder(SMALL)
    first = encoder.encode(picture(), 0.0).data

    def told(where: int) -> bytes:
        told = BitStreamFilterContext(f"h264_metadata=chroma_sample_loc_type={where}", "h264")
        return b"".join(bytes(packet) for packet in told.filter(av.Packet(first)))

    assert sps(told(1)) == sps(first)
    assert sps(told(0)) != sps(first)


def test_an_encoder_that_cannot_say_where_chroma_lies_has_it_written_in():
    plain = av.CodecContext.create("libx264", "w")
    plain.width, plain.height, plain.pix_fmt, plain.time_base = (
        SMALL.width,
        SMALL.height,
        "yuv420p",
        Fraction(1, 90_000),
    )
    plain.options = {"preset": "ultrafast", "tune": "zerolatency", "forced-idr": "1"}
    encoder = Encoder(SMALL)
    encoder._context, encoder._located = plain, _located("h264_nvenc")  # NVENC itself is on few machines
    units = [encoder.encode(picture(number), number / 25) for number in range(3)]
    assert [unit.keyframe for unit in units] == [True, False, False]
    told = BitStreamFilterContext("h264_metadata=chroma_sample_loc_type=1", "h264")
    again = b"".join(bytes(packet) for packet in told.filter(av.Packet(units[0].data)))
    assert sps(again) == sps(units[0].data), "it says so already"
    assert len(decoded(units)) == 3
    assert _located("libx264") is None


def sps(data: bytes) -> bytes:
    start = data.index(b"\x00\x00\x01\x67")
    return data[start : data.index(b"\x00\x00\x01", start + 3)].rstrip(b"\0")


def test_colours_survive_the_way_to_the_viewer():
    rgb = np.zeros((128, 256, 3), np.uint8)
    rgb[:, :86], rgb[:, 86:170], rgb[:, 170:] = (200, 40, 40), (40, 200, 40), (40, 40, 200)
    unit = Encoder(SMALL).encode(cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420), 0.0)
    seen = decoded([unit])[0].to_ndarray(format="rgb24")
    for x in (40, 128, 210):
        assert np.abs(seen[64, x].astype(int) - rgb[64, x]).max() <= 8


def test_keyframes_come_by_themselves_every_few_seconds():
    came = keyframes(Encoder(SMALL), [i / 10 for i in range(100)])
    assert came == pytest.approx([0, KEYFRAME_EVERY, 2 * KEYFRAME_EVERY])


def test_however_many_ask_keyframes_keep_their_distance_and_no_request_is_lost():
    encoder = Encoder(SMALL)
    came = []
    for i in range(40):
        if i in (1, 2, 3, 30):
            encoder.ask_keyframe()
        if encoder.encode(picture(), i * 0.05).keyframe:
            came.append(i * 0.05)
    assert came == pytest.approx([0, KEYFRAME_APART, 1.5])


def test_a_keyframe_is_bounded_by_the_buffer():
    form = form_for(768, 512, 25)
    encoder = Encoder(form)
    units = []
    for i in range(60):
        if i == 40:
            encoder.ask_keyframe()
        units.append(encoder.encode(picture(i % 3, 768, 512, noise=25), i / 25))
    key = units[40]
    assert key.keyframe
    assert len(key.data) * 8 <= 1.3 * form.bitrate * BUFFER_SECONDS  # x264 keeps to it approximately
    rate = sum(len(unit.data) for unit in units[20:]) * 8 * 25 / 40
    assert rate <= 1.2 * form.bitrate


def test_times_follow_the_capture_and_never_stand_still():
    encoder = Encoder(SMALL)
    stamps = [encoder.encode(picture(), at).pts for at in (100.0, 100.04, 100.04, 100.2)]
    assert stamps == [0, 3600, 3601, 18000]
