"""What can only be seen on a CUDA device; python -m pytest -m gpu tests/gpu. Needs torch, triton, numpy and pytest alone."""
