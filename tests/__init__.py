"""The test suite. Real peers, a real browser and the real face tracker wherever they can run."""
