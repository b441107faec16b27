"""The weights of a network: built, loaded, folded, imported, exported."""
