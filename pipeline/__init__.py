"""From a frame to a quilt: observing a face, running stages on devices, keeping avatars. Knows nothing of HTTP or WebRTC."""
