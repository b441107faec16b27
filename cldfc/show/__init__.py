"""Graph → picture."""
