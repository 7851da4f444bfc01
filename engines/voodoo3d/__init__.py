"""VOODOO 3D (arXiv 2312.04651): one portrait's tri-plane, driven by another face's expression, seen from any angle.

Written from the paper and from facts about the published network; its files carry mixed licences and none was copied.
"""
