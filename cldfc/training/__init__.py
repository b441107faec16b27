"""Trains a compiled network: recipe, steps, epochs, checkpoints; knows nothing of specs and graphs."""
