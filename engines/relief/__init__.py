"""The training-free default engine: a textured, landmark-driven 3D relief of the portrait. Runs on a laptop CPU."""
