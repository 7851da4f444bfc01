"""Devices: which stage runs where, what that costs, and how bytes get from one device to another."""
