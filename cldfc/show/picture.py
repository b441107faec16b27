"""A picture of a network in a file, in the format that its name asks for."""

from __future__ import annotations

from pathlib import Path

from cldfc.diagnostics import UsageError
from cldfc.files import write_file
from cldfc.network.graph import Graph

FORMATS = (".svg", ".png", ".pdf", ".html")
SCALE = 2.0
"""Pixels of a PNG for one of the layout."""


def write_picture(graph: Graph, path: Path, is_full: bool = False, before: Graph | None = None) -> None:
    """Draw a network as it is given; what it has differently from the network `before` is marked.

    Raises UsageError: no such format, a library or the folder is missing.
    """
    write_file(path, draw(graph, choose_format(path), is_full, before))


def choose_format(path: Path) -> str:
    """The format of a file, `.svg`. Raises UsageError."""
    if path.suffix.lower() not in FORMATS:
        known = ", ".join(f"`{format}`" for format in FORMATS)
        raise UsageError(f"`{path}` names no format of a picture", f"end its name in one of {known}")
    return path.suffix.lower()


def draw(graph: Graph, format: str, is_full: bool, before: Graph | None) -> str | bytes:
    """The content of the file."""
    if format == ".html":
        from cldfc.show.html import draw_page

        return draw_page(graph, is_full, before)
    from cldfc.show.svg import draw_svg

    svg = draw_svg(graph, is_full, before)
    return svg if format == ".svg" else convert(svg, format)


def convert(svg: str, format: str) -> bytes:
    """The same picture as PNG or PDF. Raises UsageError where CairoSVG, or the cairo that it needs, is missing."""
    try:
        import cairosvg  # pyright: ignore[reportMissingTypeStubs]
    except (ImportError, OSError):
        raise UsageError(
            f"`{format}` needs CairoSVG and the cairo library",
            "install them: `pip install 'cldfc[picture]'`, and `libcairo2` from your system; `.svg` needs neither",
        ) from None
    if format == ".pdf":
        return cairosvg.svg2pdf(bytestring=svg.encode())  # pyright: ignore
    return cairosvg.svg2png(bytestring=svg.encode(), scale=SCALE)  # pyright: ignore
