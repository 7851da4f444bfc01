"""The parametric engine: a head as two short vectors, who it is and what its face does (network.py, deform.py), learnt from scans."""
