"""Trains a compiled network: from the source text of a module to a run folder."""
