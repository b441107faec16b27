"""A trained network as a file that other programs read, and that file read back: one module for each format."""
