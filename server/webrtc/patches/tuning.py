"""Tuning: all that is changed in aioice and aiortc for the whole process, at once and once."""

from __future__ import annotations

from functools import cache

import aiortc.codecs.h264
import aiortc.codecs.vpx
import aiortc.rtcrtpreceiver
import aiortc.rtcrtpsender
import aiortc.rtcsctptransport

from server.webrtc.patches import dtls, ice, receivers, touched

HISTORY = 1024
"Packets kept for retransmission. aiortc keeps 128, less than one keyframe of a quilt (200 kB: 160 packets)."
MOST_CONTENT = 1150
"""Bytes of media or data in one packet, in the place of aiortc's 1300 and 1200: with headers, extensions, encryption and what TURN adds a
datagram then fits an MTU of 1280, IPv6's least (RFC 8200, section 5). Where fragments are filtered no picture came through."""


@cache
def tune_libraries() -> None:
    """Set what aioice and aiortc offer no parameter for. Once a process, before the first peer. Raises PatchesDoNotFit."""
    touched.check()
    aiortc.codecs.h264.PACKET_MAX = aiortc.codecs.vpx.PACKET_MAX = MOST_CONTENT
    aiortc.rtcsctptransport.USERDATA_MAX_LENGTH = MOST_CONTENT
    aiortc.rtcrtpsender.RTP_HISTORY_SIZE = HISTORY
    aiortc.rtcrtpreceiver.RTP_HISTORY_SIZE = HISTORY
    ice.tune()
    dtls.tune()
    receivers.tune()
