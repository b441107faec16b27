"""The tables of the paper: rows as data, networks built and trained from them, results beside the printed figures."""
