"""A picture of a network in a file, in the format that its name asks for."""

from __future__ import annotations

from cldfc.diagnostics import UsageError
from cldfc.network.graph import Graph

FORMATS = (".svg", ".png", ".pdf", ".html")
SCALE = 2.0
"""Pixels of a PNG for one of the layout."""


def draw(graph: Graph, format: str, is_full: bool, before: Graph | None) -> str | bytes:
    """The content of the file: the network as it is written; what `before` has not is marked. Raises UsageError."""
    graph, before = graph.as_written, before and before.as_written
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
