"""Text ↔ tree."""
