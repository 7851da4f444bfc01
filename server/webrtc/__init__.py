"""WebRTC: peers, offers, packets, sound and pictures that come in; and every touch on aiortc's and aioice's insides."""
