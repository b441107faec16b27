"""Theorem 1 as a program: from the feature form of an iteration, (3.4), to its residual form, (3.5)."""
