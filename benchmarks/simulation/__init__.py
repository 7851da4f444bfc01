"""Sessions in virtual time, and how far that agrees with real ones."""
