"""Kernels: the march of rays, and what stands between super-resolution's convolutions, written for the GPU; each has a torch twin."""
