"""Cluster: many machines as one server. Each runs a media node; a directory knows what is where; any node's door answers for all."""
