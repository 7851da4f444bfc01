"""Distillation of the linear model out of the full one, over portraits (supplement of arXiv 2206.08343, section 1)."""
