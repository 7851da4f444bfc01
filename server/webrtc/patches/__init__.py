"""Patches: every touch on what aioice and aiortc keep to themselves; nothing else in this project reaches into them.

A file for each part that is touched; `touched.py` lists the names and looks for each at start, `tuning.py` applies what holds for the whole
process. docs/upstream.md says what the libraries should offer instead.
"""
