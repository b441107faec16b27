"""Tree → graph."""
