"""The language server: what an editor asks about a spec, one file for each kind of question."""
