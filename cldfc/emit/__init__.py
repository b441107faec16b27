"""Graph → text."""
