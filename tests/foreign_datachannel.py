"""Foreign libdatachannel, the library of OBS: it offers a video by WHIP through its C interface and connects, until standard input
ends. Tells when it is connected. The wheel that brings it was built without SRTP, so that no media flows.

    python -m tests.foreign_datachannel URL ecdsa|rsa
"""

from __future__ import annotations

import ctypes
import sys
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx

GATHERED, CONNECTED = 2, 2
CERTIFICATES = {"ecdsa": 1, "rsa": 2}
MEDIA = """video 9 UDP/TLS/RTP/SAVPF 96\r
a=mid:video\r
a=sendonly\r
a=rtpmap:96 H264/90000\r
a=fmtp:96 packetization-mode=1;profile-level-id=42e01f;level-asymmetry-allowed=1\r
a=ssrc:4242 cname:caller\r
"""
Changed = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_int, ctypes.c_void_p)


class Configuration(ctypes.Structure):
    """rtcConfiguration of its rtc.h, 0.22."""

    _fields_ = (
        ("ice_servers", ctypes.c_void_p),
        ("ice_servers_count", ctypes.c_int),
        ("proxy_server", ctypes.c_char_p),
        ("bind_address", ctypes.c_char_p),
        ("certificate_type", ctypes.c_int),
        ("ice_transport_policy", ctypes.c_int),
        ("enable_ice_tcp", ctypes.c_bool),
        ("enable_ice_udp_mux", ctypes.c_bool),
        ("disable_auto_negotiation", ctypes.c_bool),
        ("force_media_transport", ctypes.c_bool),
        ("port_range_begin", ctypes.c_uint16),
        ("port_range_end", ctypes.c_uint16),
        ("mtu", ctypes.c_int),
        ("max_message_size", ctypes.c_int),
    )


def library() -> Any:
    """It comes inside a wheel of PyPI's pylibdatachannel, whose own bindings know data channels alone."""
    found = find_spec("pylibdatachannel")
    assert found is not None
    assert found.origin is not None
    folder = Path(found.origin).parents[1] / "pylibdatachannel.libs"
    for name in (
        "libcrypto",
        "libssl",
        "libdatachannel",
    ):  # each needs those before it, and does not know where they are
        (path,) = folder.glob(f"{name}-*")
        loaded = ctypes.CDLL(str(path), ctypes.RTLD_GLOBAL)
    return loaded


def main(url: str, certificate: str) -> None:
    rtc, gathered, connected = library(), threading.Event(), threading.Event()
    peer = rtc.rtcCreatePeerConnection(ctypes.byref(Configuration(certificate_type=CERTIFICATES[certificate])))
    on_gathering = Changed(lambda _, state, __: gathered.set() if state == GATHERED else None)
    on_state = Changed(lambda _, state, __: connected.set() if state == CONNECTED else None)
    rtc.rtcSetGatheringStateChangeCallback(peer, on_gathering)
    rtc.rtcSetStateChangeCallback(peer, on_state)
    assert rtc.rtcAddTrack(peer, MEDIA.encode()) > 0
    rtc.rtcSetLocalDescription(peer, b"offer")
    assert gathered.wait(20)
    offer = ctypes.create_string_buffer(65536)
    rtc.rtcGetLocalDescription(peer, offer, len(offer))
    with httpx.Client(timeout=30, trust_env=False) as http:
        # without media support it marks its own track as removed
        sdp = offer.value.decode().replace("m=video 0 ", "m=video 9 ").replace("a=inactive", "a=sendonly")
        answer = http.post(url, content=sdp, headers={"Content-Type": "application/sdp"})
        answer.raise_for_status()
        assert rtc.rtcSetRemoteDescription(peer, answer.content, b"answer") == 0
        assert connected.wait(20), "no connection"
        print("connected", flush=True)
        sys.stdin.read()
        http.delete(answer.url.join(answer.headers["Location"])).raise_for_status()
    rtc.rtcDeletePeerConnection(peer)


if __name__ == "__main__":
    main(*sys.argv[1:])
