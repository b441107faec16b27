"""Converts a picture to a PDF page of vector graphics; reads only the SVG that `svg.py` writes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from io import BytesIO
from typing import Any, cast
from xml.etree.ElementTree import Element, fromstring

from reportlab.pdfbase import pdfmetrics  # pyright: ignore[reportMissingTypeStubs]
from reportlab.pdfbase.ttfonts import TTFont  # pyright: ignore[reportMissingTypeStubs]
from reportlab.pdfgen.canvas import Canvas  # pyright: ignore[reportMissingTypeStubs]

from cldfc.show.boxes import FONTS

_Style = dict[str, str]
_POINTS, _LARGEST = 0.75, 14_400.0
"""Points per pixel; the largest side, in points, of a page that every program opens."""


def draw_pdf(svg: str, points: float | None = None) -> bytes:
    """One page, `points` wide; by default 3/4 point per pixel, less if the page would become too large."""
    root = fromstring(svg)
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    scale = points / width if points else min(_POINTS, _LARGEST / max(width, height))
    file = BytesIO()
    page = {"pagesize": (scale * width, scale * height), "initialFontName": _font("normal")}
    canvas = cast("Any", Canvas)(file, **page, invariant=1, pageCompression=1)
    canvas.setTitle(_first_element(root, "title").text or "")
    canvas.setCreator("cldfc")
    canvas.setAuthor("")
    canvas.setSubject("")
    canvas.translate(0, scale * height)
    canvas.scale(scale, -scale)
    _Page(canvas, _rules(_first_element(root, "style").text or "")).draw(root, {}, ())
    canvas.showPage()
    canvas.save()
    return file.getvalue()


def _first_element(root: Element, name: str) -> Element:
    return next(element for element in root if _tag(element) == name)


def _tag(element: Element) -> str:
    """The tag name without its namespace."""
    return element.tag.rpartition("}")[2]


@cache
def _font(style: str) -> str:
    cast("Any", pdfmetrics).registerFont(TTFont(f"cldfc-{style}", str(FONTS[style])))
    return f"cldfc-{style}"


def _rules(css: str) -> list[tuple[list[str], _Style]]:
    """The rules of a style sheet: a selector such as `.kernel rect`, split into parts, and its properties."""
    found: list[tuple[list[str], _Style]] = []
    for selectors, body in re.findall(r"([^{}]+)\{([^{}]*)\}", css):
        style = dict(part.split(":", 1) for part in body.split(";"))
        found += [(selector.split(), style) for selector in selectors.split(",")]
    return found


class _Page:
    def __init__(self, canvas: Any, rules: list[tuple[list[str], _Style]]) -> None:
        self.canvas = canvas
        self.rules = rules

    def draw(self, element: Element, inherited: _Style, above: tuple[str, ...]) -> None:
        """Draw an element and its children; `above` are the classes of its ancestors."""
        classes = tuple(element.get("class", "").split())
        style = {**inherited, **self.style(element, classes, above)}
        match _tag(element):
            case "rect" if element.get("x") is not None:
                self.rectangle(element.attrib, style)
            case "path":
                self.path(element.attrib["d"], style)
            case "text":
                self.text(element, classes, style)
            case _:
                pass
        for child in element:
            self.draw(child, {}, (*above, *classes))

    def style(self, element: Element, classes: tuple[str, ...], above: tuple[str, ...]) -> _Style:
        """The properties of an element: later rules override earlier ones, and its `style` attribute all rules."""
        style: _Style = {}
        own = {_tag(element), *(f".{name}" for name in classes)}
        for (*outer, last), given in self.rules:
            if last in own and all(name[1:] in above for name in outer):
                style |= given
        name, _, value = element.get("style", "").partition(":")
        return {**style, name: value} if value else style

    def paint(self, style: _Style) -> tuple[bool, bool]:
        """Set colours and line style; returns whether to draw the outline, and whether to fill the inside."""
        line, inside = style.get("stroke", "none"), style.get("fill", "#000")
        if line != "none":
            self.canvas.setStrokeColor(_full(line))
            self.canvas.setLineWidth(float(style.get("stroke-width", 1)))
            self.canvas.setDash([float(part) for part in style.get("stroke-dasharray", "").split()])
        if inside != "none":
            self.canvas.setFillColor(_full(inside))
        return line != "none", inside != "none"

    def rectangle(self, given: Mapping[str, str], style: _Style) -> None:
        x, y, width, height, radius = (float(given[name]) for name in ("x", "y", "width", "height", "rx"))
        stroke, fill = self.paint(style)
        self.canvas.roundRect(x, y, width, height, min(radius, width / 2, height / 2), stroke=stroke, fill=fill)

    def path(self, commands: str, style: _Style) -> None:
        stroke, fill = self.paint(style)
        path, x, y = self.canvas.beginPath(), 0.0, 0.0
        for command, numbers in re.findall(r"([MLQ])([^MLQ]*)", commands):
            at = [float(number) for number in numbers.split()]
            match command, at:
                case "M", [a, b]:
                    path.moveTo(a, b)
                case "L", [a, b]:
                    path.lineTo(a, b)
                case _, [h, k, a, b]:
                    path.curveTo((x + 2 * h) / 3, (y + 2 * k) / 3, (a + 2 * h) / 3, (b + 2 * k) / 3, a, b)
                case _:
                    raise AssertionError(command)
            x, y = at[-2:]
        self.canvas.drawPath(path, stroke=stroke, fill=fill)

    def text(self, element: Element, classes: tuple[str, ...], style: _Style) -> None:
        content, size = element.text or "", float(style["font-size"].removesuffix("px"))
        name = _font(style.get("font-style", "normal"))
        share = {"middle": 0.5, "end": 1.0}.get(style.get("text-anchor", ""), 0.0)
        x = float(element.attrib["x"]) - share * pdfmetrics.stringWidth(content, name, size)
        self.canvas.saveState()
        self.paint({"fill": style["fill"]})
        self.canvas.setFont(name, size)
        self.canvas.translate(x, float(element.attrib["y"]))
        self.canvas.scale(1, -1)
        self.canvas.drawString(0, 0, content)
        self.canvas.restoreState()


def _full(colour: str) -> str:
    """`#fff` as `#ffffff`."""
    return colour if len(colour) == 7 else "#" + "".join(2 * digit for digit in colour[1:])
