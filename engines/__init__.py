"""Avatars from one photo: enrol, drive, render. Knows nothing of frames, callers, queues or networks."""
