"""Clips from the disk: upright, timed, and refused in one line when they are none."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from server.media.clips import ClipUnreadable, facts, frames


def write_clip(path: Path, count: int = 10, size: tuple[int, int] = (96, 64), rate: int = 25) -> Path:
    """A clip whose left half is dark and whose right half brightens with the frame's number."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(rate))
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for number in range(count):
            pixels = np.zeros((size[1], size[0], 3), np.uint8)
            pixels[:, size[0] // 2 :] = 60 + 15 * number
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def test_frames_come_in_order_with_their_own_times(tmp_path: Path):
    path = write_clip(tmp_path / "clip.mp4")
    told = facts(path)
    assert (told.width, told.height, told.rate, told.frames, told.has_sound) == (96, 64, 25, 10, False)
    seen = list(frames(path))
    assert [frame.sequence for frame in seen] == list(range(10))
    assert [frame.captured for frame in seen] == pytest.approx([n / 25 for n in range(10)], abs=1e-3)
    brightness = [float(frame.pixels[:, 60:].mean()) for frame in seen]
    assert brightness == sorted(brightness)
    assert all(frame.pixels[:, :40].mean() < 8 for frame in seen)


def test_a_phone_held_upright_gives_upright_pictures(tmp_path: Path):
    """A phone writes the sensor's picture and says how it is to be turned (here: a quarter counter-clockwise)."""
    plain, turned = write_clip(tmp_path / "plain.mp4"), tmp_path / "turned.mov"
    data = bytearray(plain.read_bytes())
    unity = b"".join(value.to_bytes(4, "big") for value in (0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000))
    quarter = b"".join(
        (value & 0xFFFFFFFF).to_bytes(4, "big") for value in (0, -0x10000, 0, 0x10000, 0, 0, 0, 0, 0x40000000)
    )
    at = data.index(unity, data.index(b"tkhd"))
    data[at : at + len(unity)] = quarter
    turned.write_bytes(data)
    upright, sideways = list(frames(turned))[-1].pixels, list(frames(plain))[-1].pixels
    assert upright.shape == (96, 64, 3)
    assert np.abs(upright.astype(int) - np.rot90(sideways).astype(int)).max() <= 3


@pytest.mark.parametrize("content", [b"", b"not a video", b"\x00\x00\x00\x18ftypmp42"])
def test_what_is_no_video_is_refused_in_one_line(tmp_path: Path, content: bytes):
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    with pytest.raises(ClipUnreadable, match=r"clip\.mp4") as refusal:
        facts(path)
    assert "\n" not in str(refusal.value)


def test_a_missing_clip_is_refused(tmp_path: Path):
    with pytest.raises(ClipUnreadable, match="is not a file"):
        list(frames(tmp_path / "nowhere.mp4"))


def test_a_clip_without_pictures_is_refused(tmp_path: Path):
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        sound.rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    with pytest.raises(ClipUnreadable, match="no video stream"):
        facts(path)
