"""A picture of a network in a file, in the format that its name asks for."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

from cldfc.diagnostics import UsageError
from cldfc.files import MARK
from cldfc.network.graph import Graph

SCALE = 2.0
"""Pixels of a PNG for one of the layout."""


def draw(graph: Graph, format: str, is_full: bool, before: Graph | None) -> str | bytes:
    """The content of the file: the network as it is written; what `before` has not is marked. Raises UsageError."""
    return FORMATS[format](graph.as_written, is_full, before and before.as_written)


def svg(graph: Graph, is_full: bool, before: Graph | None) -> str:
    """A comment inside says that cldfc has written it."""
    return bare_svg(graph, is_full, before).replace(">", f"><!-- {MARK} -->", 1)


def bare_svg(graph: Graph, is_full: bool, before: Graph | None) -> str:
    """The picture itself."""
    from cldfc.show.svg import draw_svg

    return draw_svg(graph, is_full, before)


def html(graph: Graph, is_full: bool, before: Graph | None) -> str:
    """So does one on the second line of a page."""
    from cldfc.show.html import draw_page

    return draw_page(graph, is_full, before).replace("\n", f"\n<!-- {MARK} -->\n", 1)


def png(graph: Graph, is_full: bool, before: Graph | None) -> bytes:
    """Text that stands behind the head of the image, 8 + 25 bytes."""
    image = cairo(".png").svg2png(bytestring=bare_svg(graph, is_full, before).encode(), scale=SCALE)
    text = b"tEXt" + f"Software\0{MARK}".encode()
    chunk = (len(text) - 4).to_bytes(4, "big") + text + zlib.crc32(text).to_bytes(4, "big")
    return image[:33] + chunk + image[33:]


def pdf(graph: Graph, is_full: bool, before: Graph | None) -> bytes:
    """A comment behind the end, where it moves nothing."""
    page: bytes = cairo(".pdf").svg2pdf(bytestring=bare_svg(graph, is_full, before).encode())
    return page.rstrip(b"\n") + f"\n% {MARK}\n".encode()


def cairo(format: str) -> Any:
    """CairoSVG. Raises UsageError where it, or the cairo library that it needs, is missing."""
    try:
        import cairosvg  # pyright: ignore[reportMissingTypeStubs]
    except (ImportError, OSError):
        raise UsageError(
            f"`{format}` needs CairoSVG and the cairo library",
            "install them: `pip install 'cldfc[picture]'`, and `libcairo2` from your system; `.svg` needs neither",
        ) from None
    return cairosvg


FORMATS: dict[str, Callable[[Graph, bool, Graph | None], str | bytes]] = {
    ".svg": svg,
    ".png": png,
    ".pdf": pdf,
    ".html": html,
}
"""What draws a picture, by suffix; each says in its way that cldfc has written the file."""
