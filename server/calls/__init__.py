"""Calls: who is live, who watches, who may come in, and what calls are made with. What decides has no sockets."""
