"""Recordings: films of channels, and the folder that keeps them."""
