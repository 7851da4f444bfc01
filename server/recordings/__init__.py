"""Recordings: films of calls, and the folder that keeps them."""
