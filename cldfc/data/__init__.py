"""Data sets: a reader for each published format, and the batches of their images."""
