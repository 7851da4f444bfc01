"""Sending: what a viewer's connection carries, and what is heard back of it. Event loop only."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from aiortc import RTCRtpTransceiver

from server.channels.drawing import Drawer
from server.channels.viewer import Viewer
from server.media.delay import Delay
from server.webrtc import redundancy
from server.webrtc.audio import Begun, Voice
from server.webrtc.patches.senders import forget_sent, hear_back, on_keyframe_request, pace, relabel, report_captures


def add(viewer: Viewer, voice: Voice | None, delay: Delay, sound: bool) -> RTCRtpTransceiver:
    """Its pictures and, where `sound` is wanted, what it hears: `voice`, the caller's, unless it has something else to hear. The
    video's transceiver; before the connection takes its offer."""
    video = viewer.peer.connection.addTransceiver(viewer.track, "sendonly")
    add_sound(viewer, voice, delay, sound, lambda: viewer.track.sent > 0)
    return video


def add_sound(viewer: Viewer | Drawer, voice: Voice | None, delay: Delay, sound: bool, begun: Begun) -> None:
    """As add(), of one who is sent no pictures; `begun`: whether it has been sent what it sees."""
    listen = viewer.listen
    if listen is None and voice is not None:
        listen = partial(voice.listen, delay)
    if sound and listen is not None:
        viewer.voice = listen(begun)
        _prefer_opus(viewer.peer.connection.addTransceiver(viewer.voice, "sendonly"))


def begin(
    viewer: Viewer,
    video: RTCRtpTransceiver,
    ask_keyframe: Callable[[], None],
    red: redundancy.Redundancy | None = None,
) -> None:
    """`red`: how the viewer takes sound that repeats itself, if so."""
    begin_sound(viewer, red)
    on_keyframe_request(video.sender, ask_keyframe)
    viewer.forget = partial(forget_sent, video.sender)
    hear_back(video.sender, viewer.peer.hear, viewer.estimated, viewer.reported, viewer.missed)
    viewer.narrow = pace(video.sender, viewer.left).narrow


def begin_sound(viewer: Viewer | Drawer, red: redundancy.Redundancy | None) -> None:
    """`red`: as begin has it."""
    for sending in viewer.peer.connection.getTransceivers():
        report_captures(sending.sender)
        if viewer.voice is not None and sending.sender.track is viewer.voice:
            hear_back(sending.sender, viewer.peer.hear, lambda bits: None, viewer.voice.reported)
            if red is not None:
                viewer.voice.repeating = redundancy.Repeating(red.of)
                relabel(sending.sender, red.number)


def _prefer_opus(transceiver: RTCRtpTransceiver) -> None:
    capabilities = transceiver.sender.getCapabilities("audio").codecs
    transceiver.setCodecPreferences([codec for codec in capabilities if codec.mimeType == "audio/opus"])
