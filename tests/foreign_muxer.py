"""Foreign muxer: FFmpeg's own WHIP client, in a process that can be killed. Plays a clip in real time, again and again,
until its standard input ends.

    python -m tests.foreign_muxer URL TOKEN CLIP FOLDER
"""

from __future__ import annotations

import datetime
import sys
import threading
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import av
from av.container import InputContainer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


def main(url: str, token: str, clip: str, folder: str) -> None:
    """`folder` is where the certificate may lie."""
    stop = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    options = {"authorization": token, **_certificate(Path(folder))}
    with av.open(clip) as source, av.open(url, "w", format="whip", options=options) as sink:
        sinks = {stream.index: sink.add_stream_from_template(stream) for stream in source.streams}
        begun = time.monotonic()
        for at, packet in _again_and_again(source):
            if stop.wait(max(0.0, begun + at - time.monotonic())):
                return
            packet.stream = sinks[packet.stream.index]
            sink.mux(packet)


def _again_and_again(source: InputContainer) -> Iterator[tuple[float, av.Packet]]:
    """Packets without re-encoding, each with its second since the beginning."""
    assert source.duration is not None
    seconds = source.duration / av.time_base
    for number in count():
        source.seek(0)
        for packet in source.demux():
            if packet.dts is None or packet.pts is None or packet.time_base is None or packet.dts < 0:
                continue  # the empty packets that end a round; Opus's run-in, which would overlap the round before
            shift = round(number * seconds / packet.time_base)
            packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
            yield float(packet.dts * packet.time_base), packet


def _certificate(folder: Path) -> dict[str, str]:
    """The muxer's options for DTLS. A certificate of its own would be on secp224r1, which OpenSSL refuses; this is P-256."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a caller")])
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - day, now + day)
    signed, pem = builder.sign(key, hashes.SHA256()), serialization.Encoding.PEM
    plain = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "certificate.pem").write_bytes(signed.public_bytes(pem))
    (folder / "key.pem").write_bytes(plain)
    return {"cert_file": str(folder / "certificate.pem"), "key_file": str(folder / "key.pem")}


if __name__ == "__main__":
    main(*sys.argv[1:])
