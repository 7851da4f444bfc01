"""Redundancy: sound that brings along what was sent before it (RED, RFC 2198), so that a packet which gets lost is there with the
next one, whoever coded it and however it was coded. In-band correction (RFC 6716, section 2.1.7) is the caller's to make, is
made of speech alone, and only once the caller has heard of losses. Text and bytes in, text and bytes out.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass

from server.webrtc.voice_line import DTX_BYTES

LONGEST_BLOCK, FARTHEST = (1 << 10) - 1, (1 << 14) - 1
"Bytes, and units of the RTP clock, that a block's header can say (RFC 2198, section 3)."
MOST_BYTES = 1100
"Of a packet: more would be cut on the way."
FEW, MANY, MUCH = 1, 2, 0.02
"Earlier packets that each brings along, and how many where more than the share MUCH gets lost: losses come in rows there."
_SECTION = re.compile(r"(?m)^m=audio [^\r\n]*\r?\n(?:(?!m=)[^\n]*\n)*")
_NAMED = re.compile(r"(?mi)^a=rtpmap:(\d+) red/48000/2[ \t]*\r?$")


@dataclass(frozen=True)
class Redundancy:
    """What an offer calls it."""

    number: int
    "RED's own payload type."
    of: int
    "That of the Opus within."


def offered(offer: str) -> Redundancy | None:
    """How whoever wrote `offer` takes RED of Opus, if so."""
    section = "".join(_SECTION.findall(offer)[:1])
    for number in _NAMED.findall(section):
        within = re.search(rf"(?m)^a=fmtp:{number} (\d+)(?:/\d+)*[ \t]*\r?$", section)
        if within and re.search(rf"(?mi)^a=rtpmap:{within[1]} opus/48000/2", section):
            return Redundancy(int(number), int(within[1]))
    return None


def answered(answer: str, offer: str) -> str:
    """`answer` with RED, where we send sound and the offer takes it so: aiortc knows no such codec."""
    section, red = _SECTION.search(answer), offered(offer)
    if section is None or red is None or not re.search(r"(?m)^a=send(only|recv)", section[0]):
        return answer
    line, end, rest = re.split(r"(\r?\n)", section[0], maxsplit=1)
    more = f"a=rtpmap:{red.number} red/48000/2{end}a=fmtp:{red.number} {red.of}/{red.of}{end}"
    return f"{answer[: section.start()]}{line} {red.number}{end}{rest}{more}{answer[section.end() :]}"


def pack(kind: int, payload: bytes, position: int, earlier: list[tuple[bytes, int]]) -> bytes:
    """A RED payload of one packet at `position` and of `earlier` ones, the oldest first; left out is whatever does not fit.
    `kind`: the payload type of all of them."""
    room, kept = MOST_BYTES - len(payload), []
    for before, at in reversed(earlier):
        far = position - at
        if not 0 < far <= FARTHEST or len(before) > min(LONGEST_BLOCK, room):
            break
        room -= len(before)
        kept.append((before, far))
    kept.reverse()
    headers = b"".join((1 << 31 | kind << 24 | far << 10 | len(one)).to_bytes(4, "big") for one, far in kept)
    return headers + bytes([kind]) + b"".join(one for one, _ in kept) + payload


class Repeating:
    """One listener's packets, each with what went before it."""

    def __init__(self, kind: int) -> None:
        self._kind = kind
        self._sent: deque[tuple[bytes, int]] = deque(maxlen=MANY)

    def pack(self, payload: bytes, position: int, lost: float) -> bytes:
        """What is to be sent of a packet; `lost`: the share that has got lost lately."""
        earlier = list(self._sent)[-(MANY if lost > MUCH else FEW) :]
        if len(payload) > DTX_BYTES:  # that nothing is said need not be said twice
            self._sent.append((payload, position))
        return pack(self._kind, payload, position, earlier)
