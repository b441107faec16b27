"""The images of the data sets: one file for each published format, and how batches come from them."""
