"""Jitter: a caller's packets put together into pictures, each given out with its own last packet."""

from __future__ import annotations

from aiortc.jitterbuffer import JitterBuffer, JitterFrame
from aiortc.rtp import RtpPacket


class PromptJitterBuffer(JitterBuffer):
    """aiortc's own buffer knows that a picture is complete when the first packet of the next one comes, so every picture
    is one frame interval old before it is decoded (33 ms at 30 fps). The marker bit says it at once: VP8 and H.264 set it
    on the last packet of a picture (RFC 7741 section 4.1, RFC 6184 section 5.1)."""

    def _remove_frame(self, sequence_number: int) -> JitterFrame | None:
        assert self._origin is not None
        packets: list[RtpPacket] = []
        for count in range(self.capacity):
            packet = self._packets[(self._origin + count) % self.capacity]
            if packet is None:
                return None
            if packets and packet.timestamp != packets[0].timestamp:  # from a sender that sets no marker
                return self._give(packets)
            packets.append(packet)
            if packet.marker:
                return self._give(packets)
        return None

    def _give(self, packets: list[RtpPacket]) -> JitterFrame:
        self.remove(len(packets))
        data = b"".join(packet._data for packet in packets)  # type: ignore[attr-defined]
        return JitterFrame(data=data, timestamp=packets[0].timestamp)
