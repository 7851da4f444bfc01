"""What is shown: screens, cameras, views, the quilt and its mark. Knows nothing of faces, engines or networks."""
