"""Calls: people who see each other, each on a seat with a channel of its own: who may, who is there, and what follows."""
