"""The language server, with one file for each kind of request."""
