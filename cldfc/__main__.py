"""`python -m cldfc`."""

from cldfc.cli import app

app()
