"""Channels: one caller and those who watch, what becomes of it, and who may come in."""
