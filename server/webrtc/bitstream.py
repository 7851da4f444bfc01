"""Bitstream: what the headers of coded pictures tell before anything is decoded. Bytes in, facts out; strangers wrote them.

VP8: RFC 6386, section 9.1. H.264: ITU-T H.264, sections 7.3 and 7.4 (RFC 6184 for its parameter sets in SDP).
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass

START = b"\x00\x00\x00\x01"
SLICES, IDR, SEI, SPS, PPS = range(1, 6), 5, 6, 7, 8
"Types of NAL units."
RECOVERY_POINT = 6
"The SEI message from which a stream without IDR pictures can be entered."
LONGEST_SET = 4096
"Bytes that are read of a NAL unit; parameter sets that make sense are shorter."
_WITH_CHROMA_FORMAT = {100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135}
"Values of profile_idc whose SPS says more (7.3.2.1.1)."


@dataclass(frozen=True)
class Header:
    keyframe: bool
    "Decoding can begin here."
    sizes: tuple[tuple[int, int], ...] = ()
    "(width, height) of what it announces, where it does: a VP8 keyframe, each sequence parameter set of H.264."
    picture: bool = True
    "False where there are parameter sets, or messages, and nothing else: some senders give them a packet and a time of their own."
    sps: bytes = b""
    pps: bytes = b""
    "H.264's parameter sets that are in it, as byte streams."


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
    units = [(unit[0] & 0x1F, unit) for unit in _units(data)]
    kinds = {kind for kind, _ in units}
    recovery = any(kind == SEI and unit[1:2] == bytes([RECOVERY_POINT]) for kind, unit in units)
    sizes = [_sps_size(unit) for kind, unit in units if kind == SPS]
    return Header(
        keyframe=bool(kinds & {IDR, SPS}) or recovery,
        sizes=tuple(size for size in sizes if size is not None),
        picture=not kinds.isdisjoint(SLICES),
        sps=b"".join(START + unit for kind, unit in units if kind == SPS),
        pps=b"".join(START + unit for kind, unit in units if kind == PPS),
    )


def _units(data: bytes) -> Iterator[bytes]:
    """The NAL units, or their beginnings where they are long."""
    at = data.find(b"\x00\x00\x01")
    while at != -1:
        begins = at + 3
        at = data.find(b"\x00\x00\x01", begins)
        ends = len(data) if at == -1 else at
        if unit := data[begins : min(ends, begins + LONGEST_SET)]:
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
