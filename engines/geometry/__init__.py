"""Geometry: avatars that can be drawn where they are seen: what they are, how they move, and the plain drawing of both.

docs/geometry.md has the formats, byte for byte.
"""
