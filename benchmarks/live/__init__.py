"""A server whose pictures carry numbers, and the peers that read them."""
