"""Routes: what HTTP asks for. Nothing is decided here."""
