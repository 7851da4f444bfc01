"""Likeness: whether a caller looks like the portrait that they drive, where the operator has brought a network for it."""
