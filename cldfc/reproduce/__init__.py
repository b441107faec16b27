"""The tables of the paper: rows as data; built, trained where the data sets are there, set beside the print."""
