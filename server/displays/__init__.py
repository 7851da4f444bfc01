"""Displays: the Looking Glass that is attached to this machine."""
