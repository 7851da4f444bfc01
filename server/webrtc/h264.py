"""H264: how offers name variants of the codec (RFC 6184, section 8.1), and how an answer names them back. Text in, text out.

aiortc pairs an offered variant with its own table by profile, level and packetization mode, and knows few of each. But its
decoder reads every profile, and every decoder reads what our encoder makes, which is constrained baseline. So it is shown
each variant as one that it knows, and the answer calls each by the client's own words again.
"""

from __future__ import annotations

import re
from collections.abc import Callable

KNOWN = {"level-asymmetry-allowed": "1", "packetization-mode": "1", "profile-level-id": "42e01f"}
"What aiortc finds in its table: constrained baseline 3.1, in packets of any kind."
_SECTION = re.compile(r"(?m)^(?=m=)")
_NAMED = re.compile(r"(?mi)^a=rtpmap:(\d+) H264/90000[^\r\n]*")
_CONSTRAINED, _BASELINE = ("42e0", "42c0"), "42"


def parameters(section: str) -> dict[str, dict[str, str]]:
    """Payload type -> fmtp parameters, of each H.264 variant in an m= section or a whole description, in its order."""
    found = {}
    for number in _NAMED.findall(section):
        words = re.search(rf"(?m)^a=fmtp:{number} ([^\r\n]*)", section)
        pairs = (word.strip().partition("=") for word in words[1].split(";")) if words else ()
        found[number] = {name.strip().lower(): value.strip() for name, _, value in pairs if name.strip()}
    return found


def as_known(sdp: str) -> str:
    """`sdp` with every H.264 variant under the parameters that aiortc knows; what else it says stays."""
    return _each_section(sdp, _known)


def best_alone(sdp: str) -> str:
    """`sdp` with the one H.264 variant that fits our encoder best, and its retransmission, as the only video."""
    return _each_section(sdp, lambda section: _keep_best(section) if section.startswith("m=video") else section)


def as_offered(answer: str, offer: str, level: int | None = None) -> str:
    """`answer` with H.264's parameters as `offer` had them: an answer may change neither (RFC 6184, section 8.2.2).

    `level`, times ten, is what will really be sent, where we send. It may be above the offered one, since both sides say
    level-asymmetry-allowed.
    """
    offered = parameters(offer)
    for number in parameters(answer):
        line = re.compile(rf"(?m)^a=fmtp:{number} [^\r\n]*(\r?\n)")
        said = _answered(offered.get(number, {}), level)
        answer = line.sub(
            lambda found, said=said, number=number: f"a=fmtp:{number} {said}{found[1]}" if said else "", answer
        )
    return answer


def _answered(offered: dict[str, str], level: int | None) -> str:
    said = {name: offered[name] for name in KNOWN if name in offered}
    profile = said.get("profile-level-id", "")
    if level is not None and re.fullmatch(r"[0-9a-fA-F]{6}", profile):
        said["profile-level-id"] = f"{profile[:4]}{level:02x}"
    return ";".join(f"{name}={value}" for name, value in said.items())


def _each_section(sdp: str, change: Callable[[str], str]) -> str:
    return "".join(change(section) for section in _SECTION.split(sdp))


def _known(section: str) -> str:
    for number, said in parameters(section).items():
        words = ";".join(f"{name}={value}" for name, value in (said | KNOWN).items())
        section = re.sub(rf"(?m)^a=fmtp:{number} [^\r\n]*\r?\n?", "", section)
        section = re.sub(
            rf"(?mi)^(a=rtpmap:{number} H264/90000[^\r\n]*)(\r?\n|$)", rf"\g<1>\r\na=fmtp:{number} {words}\r\n", section
        )
    return section


def _keep_best(section: str) -> str:
    variants = parameters(section)
    head, _, rest = section.partition("\n")
    first = re.match(r"(m=\S+ \S+ \S+)((?: \d+)*)(\r?)", head)
    if not variants or first is None:
        return section
    best = min(variants, key=lambda number: _distance(variants[number]))
    kept = {best, *re.findall(rf"(?m)^a=fmtp:(\d+) (?:[^\r\n]*;)?\s*apt={best}\b", section)}
    numbers = " ".join(number for number in first[2].split() if number in kept)
    lines = (line for line in rest.splitlines(keepends=True) if not _of_others(line, kept))
    return f"{first[1]} {numbers}{first[3]}\n{''.join(lines)}"


def _of_others(line: str, kept: set[str]) -> bool:
    of = re.match(r"a=(?:rtpmap|fmtp|rtcp-fb):(\d+) ", line)
    return of is not None and of[1] not in kept


def _distance(said: dict[str, str]) -> tuple[bool, int]:
    """Smaller fits better: packets of any kind before single ones, then constrained baseline, baseline, and whatever else."""
    profile = said.get("profile-level-id", "42e01f").lower()
    fit = 0 if profile.startswith(_CONSTRAINED) else 1 if profile.startswith(_BASELINE) else 2
    return said.get("packetization-mode") != "1", fit
