"""How Sphinx makes a book of these pages: `make docs`."""

from __future__ import annotations

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

project = "cldfc"
copyright = "2026, the authors of cldfc"
extensions = ["myst_parser"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = "cldfc"


def setup(app: Sphinx) -> None:
    """Show blocks of cldf as plain text, as long as Pygments has no lexer for them."""
    app.add_lexer("cldf", TextLexer)
