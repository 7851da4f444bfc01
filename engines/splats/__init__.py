"""Splats: heads of Gaussians that ride on a mesh with 51 facial actions, drawn without any network."""
