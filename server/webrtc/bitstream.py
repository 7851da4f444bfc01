"""Bitstream: what the headers of coded pictures tell before anything is decoded. Bytes in, facts out; strangers wrote them.

VP8: RFC 6386, section 9.1. H.264: ITU-T H.264, sections 7.3 and 7.4 (RFC 6184 for its parameter sets in SDP).
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass

START = b"\x00\x00\x00\x01"
IDR, SEI, SPS = 5, 6, 7
"Types of NAL units."
RECOVERY_POINT = 6
"The SEI message from which a stream without IDR pictures can be entered."
_WITH_CHROMA_FORMAT = {100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135}
"Values of profile_idc whose SPS says more (7.3.2.1.1)."


@dataclass(frozen=True)
class Header:
    keyframe: bool
    "Decoding can begin here."
    sizes: tuple[tuple[int, int], ...] = ()
    "(width, height) of what it announces, where it does: a VP8 keyframe, each sequence parameter set of H.264."


def header(codec: str, data: bytes) -> Header:
    """Of a whole coded picture. `codec`: "VP8" or "H264", whose data is an Annex B byte stream."""
    return _vp8(data) if codec.upper() == "VP8" else _h264(data)


def parameter_sets(sprop: str) -> bytes:
    """`sprop-parameter-sets` of an SDP as a byte stream; what is no base64 is left out."""
    units = []
    for word in sprop.split(","):
        try:
            units.append(b64decode(word + "=" * (-len(word) % 4), validate=True))
        except ValueError:
            continue
    return b"".join(START + unit for unit in units if unit)


def _vp8(data: bytes) -> Header:
    if not data or data[0] & 1:
        return Header(False)
    if len(data) < 10 or data[3:6] != b"\x9d\x01\x2a":
        return Header(True)  # a keyframe by its first bit that will not decode
    width, height = (int.from_bytes(data[at : at + 2], "little") & 0x3FFF for at in (6, 8))
    return Header(True, ((width, height),))


def _h264(data: bytes) -> Header:
    keyframe, sizes = False, []
    for unit in _units(data):
        match unit[0] & 0x1F:
            case 5:
                keyframe = True
            case 6 if len(unit) > 1 and unit[1] == RECOVERY_POINT:
                keyframe = True
            case 7:
                keyframe = True
                if (size := _sps_size(unit)) is not None:
                    sizes.append(size)
    return Header(keyframe, tuple(sizes))


def _units(data: bytes) -> Iterator[bytes]:
    """The beginnings of the NAL units: header and at most 512 bytes, longer than any parameter set that makes sense."""
    at = data.find(b"\x00\x00\x01")
    while at != -1:
        begins = at + 3
        at = data.find(b"\x00\x00\x01", begins)
        unit = data[begins : begins + 512 if at == -1 else min(at, begins + 512)]
        if unit:
            yield unit


def _sps_size(unit: bytes) -> tuple[int, int] | None:
    """Coded width and height, cropping not yet taken off: it is what memory is taken for."""
    try:
        return _read_sps(_Bits(unit[1:].replace(b"\x00\x00\x03", b"\x00\x00")))
    except IndexError:
        return None


def _read_sps(bits: _Bits) -> tuple[int, int]:
    profile = bits.read(8)
    bits.read(16)
    bits.golomb()  # its id
    if profile in _WITH_CHROMA_FORMAT:
        _pass_chroma_format(bits)
    bits.golomb()
    order = bits.golomb()
    if order == 0:
        bits.golomb()
    elif order == 1:
        bits.read(1)
        bits.golomb()
        bits.golomb()
        for _ in range(min(bits.golomb(), 255)):
            bits.golomb()
    bits.golomb()
    bits.read(1)
    columns, rows = bits.golomb() + 1, bits.golomb() + 1
    frames_only = bits.read(1)
    return 16 * columns, 16 * rows * (2 - frames_only)


def _pass_chroma_format(bits: _Bits) -> None:
    chroma = bits.golomb()
    if chroma == 3:
        bits.read(1)
    bits.golomb()
    bits.golomb()
    bits.read(1)
    if bits.read(1):  # scaling lists
        for number in range(8 if chroma != 3 else 12):
            if bits.read(1):
                _pass_scaling_list(bits, 16 if number < 6 else 64)


def _pass_scaling_list(bits: _Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            code = bits.golomb()
            following = (last + ((code + 1) // 2 if code % 2 else -(code // 2))) % 256
        last = following or last


class _Bits:
    """Reads bits from the front. Raises IndexError where there are no more."""

    def __init__(self, data: bytes) -> None:
        self._number, self._left = int.from_bytes(data, "big"), 8 * len(data)

    def read(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise IndexError("the parameter set ends too early")
        return self._number >> self._left & ((1 << count) - 1)

    def golomb(self) -> int:
        """Exp-Golomb code ue(v) (9.1)."""
        zeros = 0
        while not self.read(1):
            zeros += 1
        return (1 << zeros) - 1 + self.read(zeros)
