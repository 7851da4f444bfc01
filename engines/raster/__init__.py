"""Raster: which triangle of a mesh each sample of a picture shows, and where on it.

The rules, which every form keeps (those of PyTorch3D's hard rasteriser, whose pictures ROME's networks were trained on):
- screen: x right, y down, -1..1 across a square picture of S samples; sample (row i, column j) lies at x = -1 + (2 j + 1) / S,
  y = -1 + (2 i + 1) / S; the smaller z is nearer, and nothing is too near;
- a sample belongs to a triangle if its three barycentric coordinates are positive, strictly; either winding is drawn;
- a triangle of twice the area 1e-8 or less is not drawn; a coordinate is an edge function over (twice the signed area + 1e-8);
- the nearest triangle is shown, of equally near ones that with the lower index.
Edge functions are float64, so that every form says the same of a sample that lies close to an edge.

`plain` defines it; `bands` is quick on a CPU (numba), engines/kernels/raster.py on a GPU (Triton). `textured` draws whole pictures
instead, by rules of its own; `fan` those of sixteen cameras at once.
"""
