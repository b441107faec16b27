"""Writes a picture of a network in each file format, with the mark of cldfc where the format has room for it."""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from cldfc.diagnostics import UsageError
from cldfc.files import MARK
from cldfc.network.graph import Graph
from cldfc.show.boxes import FONTS
from cldfc.show.drawing import READABLE, Width

_SCALE, _PRINT = 2.0, 300 / 96
"""PNG pixels per pixel of the layout, and, for a width in print, per CSS pixel: 300 per inch."""
MOST_PIXELS = 100_000_000
"""Largest PNG, which is in memory at four bytes per pixel."""


@dataclass(frozen=True, slots=True)
class DrawingOptions:
    """How a network is drawn: with every step, with differences from `before` marked, at a `width`.

    `say` is warned if the smallest type is unreadable at that width.
    """

    is_full: bool = False
    before: Graph | None = None
    width: Width | None = None
    say: Callable[[str], object] = str


def svg(graph: Graph, wish: DrawingOptions) -> str:
    """An SVG file; the mark is a comment after its first tag."""
    return _bare_svg(graph, wish).replace(">", f"><!-- {MARK} -->", 1)


def _bare_svg(graph: Graph, wish: DrawingOptions) -> str:
    from cldfc.show.svg import draw_svg

    drawn = draw_svg(graph, wish.is_full, wish.before and wish.before.as_written, wish.width)
    right, _ = _picture_size(drawn)
    if wish.width is not None and (smallest := wish.width.smallest_type(right)) < READABLE:
        enough = wish.width.number * READABLE / smallest
        rounded = math.ceil(enough * 10) / 10
        wish.say(
            f"the smallest type is {math.floor(10 * smallest) / 10:.1f} pt at {wish.width}; "
            f"for {READABLE:g} pt this network needs {rounded:g}{wish.width.unit}"
        )
    return drawn


def _picture_size(svg: str) -> tuple[float, float]:
    """The width and the height of a picture in its own pixels."""
    found = re.search(r'viewBox="0 0 (\S+) (\S+)"', svg)
    assert found is not None
    return float(found[1]), float(found[2])


def html(graph: Graph, wish: DrawingOptions) -> str:
    """An HTML page; the mark is a comment on its second line."""
    from cldfc.show.html import draw_page

    page = draw_page(graph, wish.is_full, wish.before and wish.before.as_written)
    return page.replace("\n", f"\n<!-- {MARK} -->\n", 1)


def png(graph: Graph, wish: DrawingOptions) -> bytes:
    """A PNG file; the mark is a text chunk after signature and header, 8 + 25 bytes.

    A width in print also sets the resolution. Raises UsageError if the image would have too many pixels.
    """
    from resvg_py import svg_to_bytes

    drawn, width = _bare_svg(graph, wish), wish.width
    right, bottom = _picture_size(drawn)
    shown = width.pixels / right if width else 1.0
    most = math.sqrt(MOST_PIXELS / (shown * right * shown * bottom))
    zoom = 1.0 if width and width.unit == "px" else min(_PRINT if width else _SCALE, most)
    if most < 1:
        count = f"{shown * right * shown * bottom / 1e6:,.0f}"
        raise UsageError(f"a `.png` of this network would have {count} million pixels", "write `.svg` or `.pdf`")
    fonts = [str(path) for path in FONTS.values()]
    image = svg_to_bytes(svg_string=drawn, dpi=96, zoom=zoom, skip_system_fonts=True, font_files=fonts)
    more = _chunk(b"tEXt", f"Software\0{MARK}".encode())
    if width and width.unit != "px":
        metre = round(zoom * 96 / 0.0254).to_bytes(4, "big")
        more += _chunk(b"pHYs", metre + metre + b"\1")
    return image[:33] + more + image[33:]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


def pdf(graph: Graph, wish: DrawingOptions) -> bytes:
    """A PDF file; the mark is a comment at the end, where it shifts no offsets."""
    from cldfc.show.pdf import draw_pdf

    page = draw_pdf(_bare_svg(graph, wish), wish.width and wish.width.points)
    return page.rstrip(b"\n") + f"\n% {MARK}\n".encode()
