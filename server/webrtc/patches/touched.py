"""Touched: the names of aiortc's and aioice's insides that the files beside this one build upon, each looked for at start.

A name that is gone would mostly be missed in silence: smaller buffers, a dead caller who holds his channel, a picture that stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from inspect import unwrap
from typing import Any


class PatchesDoNotFit(RuntimeError):
    """An installed aiortc or aioice is not one that this was written for; the message says which name is gone."""


@dataclass(frozen=True)
class Touched:
    """A name of a library's insides: an attribute of `owner`, or, where `owner` is a function, one that its code uses."""

    library: str
    module: str
    owner: str
    "Dotted path within the module; empty for the module itself."
    name: str

    def is_there(self) -> bool:
        found: Any = import_module(self.module)
        for part in filter(None, self.owner.split(".")):
            found = getattr(found, part, None)
        code = getattr(unwrap(found) if callable(found) else found, "__code__", None)
        return hasattr(found, self.name) if code is None else self.name in code.co_names


def _touched(library: str, module: str, *names: str) -> list[Touched]:
    split = [name.rpartition(".") for name in names]
    return [Touched(library, module, owner, name) for owner, _, name in split]


TOUCHED = [
    *_touched("aioice", "aioice.turn", "UDP_SOCKET_BUFFER_SIZE", "TurnClientMixin.datagram_received"),
    *_touched("aioice", "aioice.mdns", "MDnsProtocol.datagram_received"),
    *_touched(
        "aioice",
        "aioice.ice",
        "get_host_addresses",
        "Connection.get_component_candidates.server_reflexive_candidate",
        "Connection.get_component_candidates.relayed_candidate",
        "Connection.get_component_candidates.create_datagram_endpoint",
        "Connection.gather_candidates.get_host_addresses",
        "Connection.connect.query_consent",
        "Connection.connect._early_checks",
        "Connection.close._closing",
        "Connection.check_complete._nominated",
        "Connection.build_request.remote_username",
        "Connection.connect.remote_password",
        "Connection._find_remote_candidate._remote_candidates",
        "Connection.check_incoming._network_host",
        "Connection.request_received._early_checks",
        "Connection.data_received._queue",
        "StunProtocol.datagram_received",
        "StunProtocol.connection_made",
        "StunProtocol.request",
        "StunProtocol.__init__.receiver",
    ),
    *_touched("aiortc", "aiortc.codecs.h264", "PACKET_MAX", "H264Encoder._packetize_fu_a.PACKET_MAX"),
    *_touched("aiortc", "aiortc.codecs.vpx", "PACKET_MAX"),
    *_touched("aiortc", "aiortc.rtcsctptransport", "USERDATA_MAX_LENGTH", "RTCSctpTransport._send.USERDATA_MAX_LENGTH"),
    *_touched("aiortc", "aiortc.rtcrtpsender", "RTP_HISTORY_SIZE", "RTCRtpSender._handle_rtcp_packet._send_keyframe"),
    *_touched("aiortc", "aiortc.rtcrtpsender", "RTCRtpSender._handle_rtcp_packet._ssrc"),
    *_touched("aiortc", "aiortc.rtcrtpsender", "RTCRtpSender._handle_rtcp_packet._retransmit"),
    *_touched("aiortc", "aiortc.rtcrtpsender", "RTCRtpSender._retransmit._RTCRtpSender__rtp_history"),
    *_touched("aiortc", "aiortc.rtcdtlstransport", "RTCDtlsTransport._handle_rtcp_data._handle_rtcp_packet"),
    *_touched("aiortc", "aiortc.rtcrtpsender", "RTCRtpSender._run_rtp._send_rtp", "RTCRtpSender.setTransport"),
    *_touched(
        "aiortc",
        "aiortc.rtcrtpsender",
        "RTCRtpSender.__init__._RTCRtpSender__ntp_timestamp",
        "RTCRtpSender._run_rtp._RTCRtpSender__ntp_timestamp",
        "RTCRtpSender._run_rtcp._RTCRtpSender__ntp_timestamp",
        "RTCRtpSender._run_rtcp._RTCRtpSender__rtp_timestamp",
    ),
    *_touched(
        "aiortc",
        "aiortc.rtcrtpreceiver",
        "RTP_HISTORY_SIZE",
        "RTCRtpReceiver._handle_rtp_packet._RTCRtpReceiver__jitter_buffer",
        "RTCRtpReceiver._handle_rtp_packet._RTCRtpReceiver__remote_streams",
        "RTCRtpReceiver._run_rtcp._send_rtcp",
        "RTCRtpReceiver._handle_rtp_packet._RTCRtpReceiver__codecs",
        "RTCRtpReceiver._handle_rtp_packet._data",
        "RTCRtpReceiver._handle_rtp_packet.depayload",
        "RTCRtpReceiver._handle_rtp_packet._RTCRtpReceiver__remote_bitrate_estimator",
        "RTCRtpReceiver.__init__.RemoteBitrateEstimator",
    ),
    *_touched("aiortc", "aiortc.rtcdtlstransport", "RTCDtlsTransport._handle_rtp_data._handle_rtp_packet"),
    *_touched("aiortc", "aiortc.rtcdtlstransport", "RTCDtlsTransport._handle_rtcp_data._handle_rtcp_packet"),
    *_touched("aiortc", "aiortc.rtcdtlstransport", "RTCDtlsTransport._do_handshake._recv_next"),
    *_touched("aiortc", "aiortc.rtcdtlstransport", "RTCDtlsTransport._recv_next", "RTCDtlsTransport._send_rtp"),
    *_touched("aiortc", "aiortc.rtcdtlstransport", "RTCDtlsTransport.start._create_ssl_context"),
    *_touched("aiortc", "aiortc.rtcdtlstransport", "RTCDtlsTransport.start._validate_peer_identity"),
    *_touched("aiortc", "aiortc.rtcdtlstransport", "RTCDtlsTransport._validate_peer_identity._set_state"),
    *_touched("aiortc", "aiortc.rtcdtlstransport", "RTCDtlsTransport._do_handshake._ssl"),
    *_touched("aiortc", "aiortc.rtcicetransport", "RTCIceTransport.__init__._connection"),
]


def check(touched: list[Touched] = TOUCHED) -> None:
    """Raises PatchesDoNotFit where a name is gone: silently missed, it would mean a lost caller or a picture that stays."""
    for one in touched:
        if not one.is_there():
            where = ".".join(filter(None, (one.module, one.owner)))
            raise PatchesDoNotFit(
                f"{one.library} {version(one.library)} has no {one.name} in {where} any more, which Telequilt builds upon; "
                "install the versions that it is tested with: pip install -c constraints.txt aiortc aioice"
            )
