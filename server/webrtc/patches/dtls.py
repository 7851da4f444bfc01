"""DTLS: with whom aiortc's transports agree on keys, and that no packet ends the loop that receives.

All connections of the process.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import aiortc.rtcdtlstransport
from OpenSSL.crypto import FILETYPE_ASN1, dump_certificate

from server.webrtc.patches.dropped import UNFIT, dropped

_CIPHERS = ("AES128-GCM-SHA256", "CHACHA20-POLY1305", "AES128-SHA", "AES256-SHA")
SUITES = ":".join(f"ECDHE-{kind}-{cipher}" for kind in ("ECDSA", "RSA") for cipher in _CIPHERS).encode()
"aiortc's own for DTLS, and the same for peers whose certificates are RSA."
DIGESTS = {"sha-256": "sha256", "sha-384": "sha384", "sha-512": "sha512"}
"Names of RFC 8122 -> hashlib's, of those that aiortc takes too."


def tune() -> None:
    """For all connections that are made from now on. By tune_libraries alone."""
    _survive_unfit_packets()
    _take_rsa_certificates()
    _know_peers_by_their_certificates_bytes()


def _survive_unfit_packets() -> None:
    """aiortc's receive loop ends, and the call with it, on whatever its parsers raise besides ValueError and their own."""
    receive = aiortc.rtcdtlstransport.RTCDtlsTransport._recv_next

    async def guarded(self: Any) -> None:
        try:
            await receive(self)
        except ConnectionError:
            raise
        except Exception as error:
            dropped.count(UNFIT, error=repr(error))
            await asyncio.sleep(0)  # were it to raise without having waited, others still come to their turn

    aiortc.rtcdtlstransport.RTCDtlsTransport._recv_next = guarded  # type: ignore[method-assign]


def _take_rsa_certificates() -> None:
    """aiortc offers suites for ECDSA certificates alone; GStreamer's are RSA, and so are many that operators bring."""
    create = aiortc.rtcdtlstransport.RTCCertificate._create_ssl_context

    def with_rsa(self: Any, srtp_profiles: Any) -> Any:
        context = create(self, srtp_profiles)
        context.set_cipher_list(SUITES)
        return context

    aiortc.rtcdtlstransport.RTCCertificate._create_ssl_context = with_rsa  # type: ignore[method-assign]


def _know_peers_by_their_certificates_bytes() -> None:
    """aiortc parses a peer's certificate before it hashes it, and cryptography parses versions 1 and 3 alone. libdatachannel
    0.22, on which OBS is built, writes 2."""

    def validate(self: Any, remote: Any) -> None:
        der = dump_certificate(FILETYPE_ASN1, self._ssl.get_peer_certificate())
        known = [one for one in remote.fingerprints if one.algorithm.lower() in DIGESTS]
        if not known or any(one.value.upper() != fingerprint(der, one.algorithm) for one in known):
            self._set_state(aiortc.rtcdtlstransport.State.FAILED)

    aiortc.rtcdtlstransport.RTCDtlsTransport._validate_peer_identity = validate  # type: ignore[method-assign]


def fingerprint(der: bytes, algorithm: str) -> str:
    """Of a certificate, as RFC 8122 writes it: 12:AB:..."""
    return hashlib.new(DIGESTS[algorithm.lower()], der).digest().hex(":").upper()
