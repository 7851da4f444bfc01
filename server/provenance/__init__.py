"""Provenance: what is stated of what we made, signed into it (C2PA), read back, and written down."""
