"""Compares what the compiler generates with the definition, and two specs with each other."""
