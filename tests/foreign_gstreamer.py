"""Foreign GStreamer: its webrtcbin publishing by WHIP or playing by WHEP, until its standard input ends. Tells what it has
decoded, one count a line. Run with the system's Python, to which its bindings belong; imports nothing of ours.

    /usr/bin/python3 tests/foreign_gstreamer.py publish|play URL
"""

from __future__ import annotations

import sys
import threading
import urllib.parse
import urllib.request

import gi  # type: ignore[import-not-found]

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # type: ignore[import-not-found]  # noqa: E402

PUBLISHED = (
    "webrtcbin name=peer bundle-policy=max-bundle videotestsrc is-live=true pattern=ball ! "
    "video/x-raw,width=320,height=240,framerate=25/1 ! videoconvert ! vp8enc deadline=1 cpu-used=8 keyframe-max-dist=50 ! "
    "rtpvp8pay picture-id-mode=15-bit ! application/x-rtp,media=video,encoding-name=VP8,payload=96 ! peer."
)
PLAYED = "webrtcbin name=peer bundle-policy=max-bundle"
WATCHED = "application/x-rtp,media=video,encoding-name=H264,payload=96,clock-rate=90000"
"As pipelines have it: without a packetization mode, without a profile."
DECODED = "queue ! rtph264depay ! h264parse ! {} ! fakesink name=sink signal-handoffs=true sync=false"


def main(role: str, url: str) -> None:
    Gst.init(None)
    pipeline = Gst.parse_launch(PUBLISHED if role == "publish" else PLAYED)
    if role == "play":
        pipeline = wrapped(pipeline)
    peer, loop, session = pipeline.get_by_name("peer"), GLib.MainLoop(), []
    peer.connect("notify::ice-gathering-state", lambda *_: gathered(peer, url, session))
    peer.connect("pad-added", lambda _, pad: decode(pipeline, pad))
    if role == "play":
        direction = GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY
        peer.emit("add-transceiver", direction, Gst.Caps.from_string(WATCHED))
        GLib.idle_add(lambda: offer(peer) and False)
    else:
        peer.connect("on-negotiation-needed", offer)
    pipeline.set_state(Gst.State.PLAYING)
    threading.Thread(target=lambda: (sys.stdin.read(), loop.quit()), daemon=True).start()
    loop.run()
    for address in session:
        urllib.request.urlopen(urllib.request.Request(address, method="DELETE"), timeout=10)
    pipeline.set_state(Gst.State.NULL)


def wrapped(peer: Gst.Element) -> Gst.Pipeline:
    """A description of one element is that element."""
    pipeline = Gst.Pipeline.new(None)
    pipeline.add(peer)
    return pipeline


def offer(peer: Gst.Element) -> bool:
    def made(promise: Gst.Promise, *_: object) -> None:
        promise.wait()
        reply = promise.get_reply()  # which owns what is in it
        peer.emit("set-local-description", reply.get_value("offer"), Gst.Promise.new())

    peer.emit("create-offer", None, Gst.Promise.new_with_change_func(made, None))
    return True


def gathered(peer: Gst.Element, url: str, session: list[str]) -> None:
    """Exchange descriptions once every candidate is in ours. Not in GStreamer's own thread, which would wait for itself."""
    if peer.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
        threading.Thread(target=exchange, args=(peer, url, session), daemon=True).start()


def exchange(peer: Gst.Element, url: str, session: list[str]) -> None:
    sdp = peer.get_property("local-description").sdp.as_text().encode()
    request = urllib.request.Request(url, sdp, {"Content-Type": "application/sdp"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        session.append(urllib.parse.urljoin(url, answer.headers["Location"]))
        text = answer.read().decode()
    _, message = GstSdp.SDPMessage.new_from_text(text)
    described = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, message)
    peer.emit("set-remote-description", described, Gst.Promise.new())


def decode(pipeline: Gst.Pipeline, pad: Gst.Pad) -> None:
    name = next(name for name in ("avdec_h264", "openh264dec") if Gst.ElementFactory.find(name))
    decoding = Gst.parse_bin_from_description(DECODED.format(name), True)
    count = 0

    def handed_over(*_: object) -> None:
        nonlocal count
        count += 1
        print(count, flush=True)

    decoding.get_by_name("sink").connect("handoff", handed_over)
    pipeline.add(decoding)
    decoding.sync_state_with_parent()
    pad.link(decoding.get_static_pad("sink"))


if __name__ == "__main__":
    main(*sys.argv[1:])
