"""Equality with outputs of the official code at full size. Minutes long and 4 GB: run by `pytest -m golden tests/golden`."""
