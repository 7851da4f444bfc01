"""Offers: SDP (RFC 8866, with what RFC 8829 and 8839 to 8843 add) by a grammar whose first choices are sane and all others are not."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping

from benchmarks.hostile.chance import changed, weighted

FINGERPRINT = ":".join(f"{number:02X}" for number in range(32))
GRAMMAR: dict[str, tuple[str, ...]] = {
    "offer": (
        "v=0\r\n<origin><name><time><session><media><more>",
        "<media>",
        "v=1\r\n<media>",
        "v=0\r\n<session>",
        "v=0\r\n<media><media><media><media>",
    ),
    "more": ("", "<media>", "<media><more>"),
    "origin": ("o=- 3 2 IN IP4 127.0.0.1\r\n", "", "o=\r\n", "o=- - - IN IP6 ::\r\n", "o=- 3 2 IN IP4 <word>\r\n"),
    "name": ("s=-\r\n", "", "s=\r\ns=\r\n", "s=<word>\r\n"),
    "time": ("t=0 0\r\n", "", "t=<number> <number>\r\n", "t=\r\n"),
    "session": (
        "<bundle>",
        "<bundle>a=ice-lite\r\n",
        "",
        "<bundle><bundle>",
        "<bundle>a=<word>\r\n",
        "a=msid-semantic: WMS *\r\n",
        "<bundle><transport>",
        "a=setup:<setup>\r\n",
    ),
    "bundle": (
        "a=group:BUNDLE 0\r\n",
        "a=group:BUNDLE 0 1\r\n",
        "a=group:BUNDLE <mid> <mid>\r\n",
        "a=group:BUNDLE\r\n",
        "a=group:LS <mid>\r\n",
        "a=group:BUNDLE 0 0\r\n",
        "a=group:\r\n",
    ),
    "mid": ("0", "1", "video", "", " ", "x", "\0", "a" * 300, "é"),
    "media": (
        "<video><transport><flow>",
        "<audio><transport><flow>",
        "<data><transport><sctp>",
        "<odd><transport><flow>",
        "<video><flow>",
        "<video><transport>",
    ),
    "video": (
        "m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\n<connection>a=mid:<mid>\r\n<codecs>",
        "m=video 0 UDP/TLS/RTP/SAVPF 96\r\na=mid:<mid>\r\n<codecs>",
        "m=video 9 RTP/AVP 96\r\n<codecs>",
        "m=video <number> UDP/TLS/RTP/SAVPF <number>\r\na=mid:<mid>\r\n<codecs>",
        "m=video\r\n",
    ),
    "audio": (
        "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n<connection>a=mid:<mid>\r\na=rtpmap:111 opus/48000/2\r\n",
        "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:1\r\n",
        "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:1\r\na=rtpmap:111 opus/<number>/<number>\r\n",
    ),
    "data": (
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n<connection>a=mid:<mid>\r\n",
        "m=application 9 DTLS/SCTP 5000\r\na=mid:<mid>\r\n",
        "m=application 9 UDP/DTLS/SCTP <word>\r\n",
    ),
    "odd": (
        "m=text 9 UDP/TLS/RTP/SAVPF 98\r\na=mid:<mid>\r\n",
        "m=<word> <number> <word> <word>\r\n",
        "m=image 1 TCP t38\r\n",
        "m=\r\n",
    ),
    "connection": ("c=IN IP4 0.0.0.0\r\n", "", "c=IN IP6 ::\r\n", "c=<word>\r\n"),
    "codecs": (
        "a=rtpmap:96 VP8/90000\r\n<feedback>",
        "a=rtpmap:96 H264/90000\r\n<h264><feedback>",
        "a=rtpmap:96 VP8/90000\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n",
        "a=rtpmap:96 AV1/90000\r\n",
        "a=rtpmap:<number> VP8/<number>\r\n",
        "a=rtpmap:96\r\n",
        "a=rtpmap:96 VP8/90000\r\na=fmtp:96 <word>\r\n",
        "",
    ),
    "h264": (
        "a=fmtp:96 packetization-mode=1;profile-level-id=42e01f;level-asymmetry-allowed=1\r\n",
        "a=fmtp:96 profile-level-id=<word>\r\n",
        "",
        "a=fmtp:96 packetization-mode=<number>;profile-level-id=42e01f;sprop-parameter-sets=<word>\r\n",
        "a=fmtp:96 profile-level-id=zzzzzz\r\n",
    ),
    "feedback": (
        "a=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\n",
        "",
        "a=rtcp-fb:* <word>\r\n",
        "a=rtcp-fb:<number>\r\n",
        "a=rtcp-fb:96 goog-remb\r\n",
    ),
    "transport": (
        "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n<print>a=setup:<setup>\r\n<candidate>",
        "a=ice-ufrag:<word>\r\na=ice-pwd:<word>\r\n<print>",
        "",
        "<print><print>a=setup:<setup>\r\n",
        "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=ice-options:<word>\r\n",
    ),
    "print": (
        f"a=fingerprint:sha-256 {FINGERPRINT}\r\n",
        "a=fingerprint:md5 00\r\n",
        "a=fingerprint:sha-256 <word>\r\n",
        "a=fingerprint:\r\n",
        "a=fingerprint:sha-1 00:11\r\n",
    ),
    "setup": ("actpass", "active", "passive", "holdconn", "<word>"),
    "candidate": (
        "",
        "a=candidate:1 1 udp 2130706431 127.0.0.1 9 typ host\r\n",
        "a=candidate:<word>\r\n",
        "a=candidate:1 1 udp <number> <word> <number> typ <word>\r\n",
        "a=candidate:1 1 tcp 1 127.0.0.1 9 typ host tcptype active\r\n",
        "a=candidate:1 1 udp 1 name.local 9 typ host\r\na=end-of-candidates\r\n",
    ),
    "flow": (
        "a=sendonly\r\na=rtcp-mux\r\n<extra>",
        "a=recvonly\r\na=rtcp-mux\r\n<extra>",
        "a=sendrecv\r\na=rtcp-mux\r\n",
        "a=inactive\r\na=rtcp-mux\r\n",
        "a=rtcp-mux\r\n",
        "a=sendonly\r\n",
    ),
    "extra": (
        "",
        "a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid\r\n",
        "a=extmap:<number> <word>\r\n",
        "a=extmap:1/sendonly x vad=on\r\n",
        "a=ssrc:<number> cname:<word>\r\n",
        "a=ssrc-group:FID <number> <number>\r\n",
        "a=rid:h send\r\na=simulcast:send h;l\r\n",
        "a=msid:<word> <word>\r\n",
        "b=AS:<number>\r\n",
        "a=rtcp:<number> IN IP4 0.0.0.0\r\n",
        "a=maxptime:<number>\r\n",
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:<word>\r\n",
        "a=ptime:<word>\r\n",
    ),
    "sctp": (
        "a=sctp-port:5000\r\na=max-message-size:262144\r\n",
        "a=sctp-port:<number>\r\n",
        "",
        "a=max-message-size:<number>\r\n",
        "a=sctpmap:5000 webrtc-datachannel <number>\r\n",
    ),
    "number": ("1", "0", "-1", "65536", "99999999999999999999", "1e9", "x", "", "٣"),
    "word": ("word", "", " ", "\0", "é", "a" * 3000, "x=y;z", "%s", "😀", "\t", ":", "/", "-"),
}
_SYMBOL = re.compile(r"<(\w+)>")
DEEPEST = 200


DRAWN = {"media": ("<data><transport><sctp>", *GRAMMAR["media"])}
"Of who draws the avatar itself."
WATCHED = {
    "flow": ("a=recvonly\r\na=rtcp-mux\r\n<extra>", *GRAMMAR["flow"]),
    "codecs": (GRAMMAR["codecs"][1], *GRAMMAR["codecs"]),
}
PUBLISHED: dict[str, tuple[str, ...]] = {}


def offers(luck: random.Random, instead: Mapping[str, tuple[str, ...]] = PUBLISHED) -> Iterator[bytes]:
    """Without end, by the grammar with some rules in the place of others. Some are changed afterwards, byte by byte."""
    grammar = GRAMMAR | dict(instead)
    while True:
        text = grown(luck, weighted(luck, (0.98, 0.9, 0.6), 0.5), grammar)
        if luck.random() < 0.1:
            text = text.replace("\r\n", luck.choice(("\n", "\r", "\r\n\r\n")))
        made = text.encode()
        yield changed(luck, made) if luck.random() < 0.1 else made


def grown(luck: random.Random, sane: float, grammar: Mapping[str, tuple[str, ...]]) -> str:
    """One sentence of `grammar`; `sane`: how often a first choice is taken."""
    text = "<offer>"
    for _ in range(DEEPEST):
        grew = _SYMBOL.sub(lambda found: weighted(luck, grammar[found[1]], sane), text)
        if grew == text:
            return text
        text = grew[:100_000]
    return _SYMBOL.sub("", text)


def fragments(luck: random.Random) -> Iterator[bytes]:
    """Trickled ones (RFC 8840), without end."""
    while True:
        lines = [
            weighted(luck, ("a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n", "", "a=ice-ufrag:\r\n"), 0.5)
        ]
        for _ in range(luck.choice((1, 1, 2, 100))):
            mid, candidate = weighted(luck, GRAMMAR["mid"], 0.6), weighted(luck, GRAMMAR["candidate"], 0.3)
            lines.append(f"m=video 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:{mid}\r\n{candidate}")
        text = _SYMBOL.sub(lambda found: weighted(luck, GRAMMAR[found[1]], 0.3), "".join(lines))
        yield changed(luck, text.encode()) if luck.random() < 0.2 else text.encode()
