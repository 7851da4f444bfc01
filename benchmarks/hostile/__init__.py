"""Hostile: clients that mean no good, made by generators from a seed, against a server of their own."""
