"""How Sphinx makes a book of these pages: `make docs`."""

from __future__ import annotations

project = "cldfc"
copyright = "2026, the authors of cldfc"
extensions = ["myst_parser"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = "cldfc"
