"""What benchmarks share: how they say what they are, callers, faces, and the least time that arithmetic takes."""
