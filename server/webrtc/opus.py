"""Opus: what an answer says of how we want to be sent sound (RFC 7587, section 7). Text in, text out.

aiortc says nothing, and browsers then send no forward error correction and go on sending silence.
"""

from __future__ import annotations

import re

WANTED = "minptime=10;useinbandfec=1;usedtx=1"
"A lost packet can be made from the next one; silence costs one packet in 400 ms."
STEREO = ";stereo=1;sprop-stereo=1"
_NAMED = re.compile(r"(?mi)^a=rtpmap:(\d+) opus/48000/2[^\r\n]*(\r?\n)")
_ASKED = re.compile(r"(?m)^a=fmtp:\d+ (?:[^\r\n]*[; ])?(?:sprop-)?stereo=1\b")


def as_wanted(answer: str, offer: str) -> str:
    """`answer` with Opus as we want it: in stereo only where the offer speaks of that, since speech needs half of it."""
    wanted = WANTED + (STEREO if _ASKED.search(offer) else "")
    for number, _ in set(_NAMED.findall(answer)):
        answer = re.sub(rf"(?m)^a=fmtp:{number} [^\r\n]*\r?\n", "", answer)
    return _NAMED.sub(lambda found: f"{found[0]}a=fmtp:{found[1]} {wanted}{found[2]}", answer)
