"""Kernels: the march of rays and the super-resolution's pointwise steps written for the GPU; each has a plain torch twin."""
