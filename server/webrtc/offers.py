"""Offers: what an SDP offer or a trickled fragment must look like to be taken up. Text in, findings or a problem out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from aiortc import RTCIceCandidate
from aiortc.sdp import MediaDescription, SessionDescription, candidate_from_sdp

from server.problems import Problem
from server.webrtc import bitstream, h264

VIDEO_IN = ("VP8", "H264")
"Codecs that aiortc decodes."


@dataclass(frozen=True)
class Offer:
    """An offer that has what it needs."""

    sdp: str
    "As aiortc understands it."
    original: str
    "As the client wrote it, whose own words the answer has to use."
    ufrag: str
    mids: tuple[str, ...]
    "The first one carries everything: bundling is required (RFC 9725, section 4.4.1)."
    audio: bool


@dataclass(frozen=True)
class Fragment:
    """A trickled SDP fragment (RFC 8840)."""

    ufrag: str | None
    candidates: tuple[RTCIceCandidate, ...]
    complete: bool
    "No more candidates will follow."


def _unusable(kind: str, detail: str, **members: Any) -> Problem:
    # RFC 9725, section 4.4.2: refuse the whole offer rather than half of it.
    return Problem(422, kind, detail, **members)


MOST_SECTIONS = 16
"More are refused before they are looked at: browsers offer two."
_TRANSPORT = ("ice-ufrag", "ice-pwd", "fingerprint", "setup", "rtcp-mux")
"Attributes that a bundled section may leave to the first one of its bundle (RFC 9143, section 7.1.3)."
_MID = re.compile(r"[!#$%&'*+\-.^_`{|}~0-9A-Za-z]+")
"A token (RFC 8866, section 9), which is what RFC 5888 takes for a mid."


def _parse(sdp: str) -> SessionDescription:
    try:
        if not sdp.lstrip().startswith("v=0"):
            raise ValueError("it does not begin with v=0")
        if not 0 < len(re.findall(r"(?m)^m=", sdp)) <= MOST_SECTIONS:
            raise ValueError("it has no m= line, or too many")
        parsed = SessionDescription.parse(sdp)
        for media in parsed.media:
            if not (media.ice and media.ice.usernameFragment and media.ice.password):
                raise ValueError("ICE credentials are missing")
            if not (media.dtls and media.dtls.fingerprints):
                raise ValueError("the DTLS fingerprint is missing")
        _check_bundle(parsed)
        return parsed
    # aiortc's parser meets garbage with whatever its own code happens to raise
    except Exception as error:
        raise Problem(
            400, "malformed-sdp", f"the body is not a usable SDP offer: {str(error)[:200] or type(error).__name__}"
        ) from None


def _check_bundle(parsed: SessionDescription) -> None:
    """Raises ValueError unless each section has its own mid and each bundle names only such, once."""
    mids = [media.rtp.muxId for media in parsed.media]
    if len(set(mids)) < len(mids):
        raise ValueError("each section of the offer needs its own a=mid")
    bundled = [mid for group in parsed.group if group.semantic == "BUNDLE" for mid in group.items]
    if not all(_MID.fullmatch(mid) for mid in mids) and (bundled or mids != [""]):
        raise ValueError("an a=mid is not a token (RFC 8866)")
    if not set(bundled) <= set(mids) or len(set(bundled)) < len(bundled):
        raise ValueError("a=group:BUNDLE names what is no a=mid of a section, or names one twice")


def _with_transports(sdp: str) -> str:
    """`sdp` with every bundled section's transport attributes spelt out: a bundle has one transport, and says it once."""
    head, *sections = re.split(r"(?m)^(?=m=)", sdp)
    bundle = re.search(r"(?m)^a=group:BUNDLE (\S+)([^\r\n]*)", head)
    first = next((one for one in sections if bundle and _mid(one) == bundle[1]), None)
    if bundle is None or first is None:
        return sdp
    others = bundle[2].split()
    return head + "".join(_like(first, one) if _mid(one) in others else one for one in sections)


def _mid(section: str) -> str:
    found = re.search(r"(?m)^a=mid:([^\r\n]*)", section)
    return found[1] if found else ""


def _like(first: str, section: str) -> str:
    lacking = [name for name in _TRANSPORT if not re.search(rf"(?m)^a={name}\b", section)]
    lent = [line for name in lacking for line in re.findall(rf"(?m)^a={name}\b[^\r\n]*", first)]
    return section.rstrip("\r\n") + "".join(f"\r\n{line}" for line in lent) + "\r\n"


def _without_attributes(sdp: str) -> str:
    """`sdp` without what a header extension says of itself, `vad=on` for one (RFC 6464, section 4): aiortc 1.16 refuses the
    whole description for it."""
    return re.sub(r"(?m)^(a=extmap:\S+ \S+)[^\r\n]*", r"\1", sdp)


def _only(parsed: SessionDescription, kind: str) -> MediaDescription | None:
    of_kind = [media for media in parsed.media if media.kind == kind]
    if len(of_kind) > 1:
        raise _unusable("too-many-tracks", f"the offer has {len(of_kind)} {kind} sections; 1 is the limit", limit=1)
    return of_kind[0] if of_kind else None


def _codecs(media: MediaDescription) -> list[str]:
    return [codec.mimeType.split("/")[-1] for codec in media.rtp.codecs]


def _check(sdp: str, wanted: str, accepted: tuple[str, ...]) -> Offer:
    """`wanted`: the direction that the client's video must have."""
    original, sdp, parsed = _understood(sdp, ("audio", "video"))
    video, audio = _only(parsed, "video"), _only(parsed, "audio")
    if video is None:
        raise _unusable("video-missing", "the offer has no video section; one is needed")
    if video.direction not in (wanted, "sendrecv"):
        raise _unusable("wrong-direction", f"the offered video is {video.direction}; it must be {wanted}")
    offered = _codecs(video)
    if not {codec.upper() for codec in offered} & set(accepted):
        raise _unusable(
            "codec-unsupported",
            f"the offered video is {', '.join(sorted(set(offered))) or 'without codecs'}; offer {' or '.join(accepted)}",
            accepted=list(accepted),
        )
    return _offer(sdp, original, parsed, video, audio)


def _understood(sdp: str, kinds: tuple[str, ...]) -> tuple[str, str, SessionDescription]:
    """The description as it came, as aiortc understands it, and parsed; it has sections of `kinds` alone."""
    original, sdp = sdp, _without_attributes(h264.as_known(_with_transports(sdp)))
    parsed = _parse(sdp)
    for media in parsed.media:
        if media.kind not in kinds:
            taken = " and ".join(kinds)
            raise _unusable("unsupported-media", f"a section of kind {media.kind!r} is offered; only {taken} are taken")
        if media.kind != "application" and not media.rtcp_mux:
            raise _unusable("rtcp-mux-required", "the offer must multiplex RTP and RTCP (a=rtcp-mux)")
    return original, sdp, parsed


def _offer(
    sdp: str, original: str, parsed: SessionDescription, main: MediaDescription, audio: MediaDescription | None
) -> Offer:
    """`main`: the section without which there is no session."""
    if audio is not None and "OPUS" not in (codec.upper() for codec in _codecs(audio)):
        raise _unusable(
            "codec-unsupported", "the offered audio lacks Opus, the one codec it may be in", accepted=["opus"]
        )
    assert main.ice
    assert main.ice.usernameFragment
    mids = tuple(media.rtp.muxId for media in parsed.media)
    heard = audio is not None and audio.direction != "inactive"
    return Offer(sdp, original, main.ice.usernameFragment, mids, heard)


def publishing(sdp: str) -> Offer:
    """A WHIP client's offer. Raises Problem 400 (not SDP) or 422 (SDP that we cannot serve)."""
    return _check(sdp, "sendonly", VIDEO_IN)


def viewing(sdp: str) -> Offer:
    """A WHEP client's offer. Raises Problem 400 (not SDP) or 422 (SDP that we cannot serve)."""
    return _check(h264.best_alone(sdp), "recvonly", ("H264",))


def drawing(sdp: str) -> Offer:
    """The offer of a WHEP client that draws the avatar itself: a data channel, and sound or none. Raises Problem as `viewing` does."""
    original, sdp, parsed = _understood(sdp, ("audio", "application"))
    data, audio = _only(parsed, "application"), _only(parsed, "audio")
    if data is None:
        raise _unusable("data-channel-missing", "the offer has no data channel; geometry comes by one")
    return _offer(sdp, original, parsed, data, audio)


def parameter_sets(sdp: str) -> dict[int, bytes]:
    """Payload type -> H.264 parameter sets that stand in a description (RFC 6184, section 8.1): some streams lack them."""
    return {
        codec.payloadType: found
        for media in SessionDescription.parse(sdp).media
        for codec in media.rtp.codecs
        if codec.payloadType is not None and (found := bitstream.parameter_sets(_sprop(codec.parameters)))
    }


def _sprop(parameters: dict[str, Any]) -> str:
    # aiortc splits at semicolons and keeps the space that some writers put behind them
    return next((str(value) for name, value in parameters.items() if name.strip() == "sprop-parameter-sets"), "")


def fragment(body: str) -> Fragment:
    """A trickled fragment. Raises Problem 400 where it is not one."""
    ufrag, candidates, complete, mid = None, [], False, None
    for line in body.splitlines():
        name, _, value = line.strip().partition(":")
        match name:
            case "a=ice-ufrag":
                ufrag = value
            case "a=mid":
                mid = value
            case "a=candidate":
                candidates.append(_candidate(value, mid))
            case "a=end-of-candidates":
                complete = True
            case _ if name and not re.match(r"[a-z]=", name):
                raise Problem(400, "malformed-fragment", f"{line[:80]!r} is not a line of an SDP fragment")
    if ufrag is None and not candidates and not complete:
        raise Problem(400, "malformed-fragment", "the fragment has neither credentials nor candidates")
    return Fragment(ufrag, tuple(candidates), complete)


def _candidate(value: str, mid: str | None) -> RTCIceCandidate:
    try:
        candidate = candidate_from_sdp(value)
    except Exception:  # as above
        raise Problem(400, "malformed-fragment", f"{value[:80]!r} is not an ICE candidate (RFC 8839)") from None
    candidate.sdpMid = mid
    return candidate
