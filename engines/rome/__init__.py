"""ROME: a mesh avatar with learned hair and a neural texture (arXiv 2206.08343), written anew from its published facts."""
