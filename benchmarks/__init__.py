"""Measurements of speed: warm-up, repeats, median and spread, with machine, versions and commit beside them."""
