"""The elements of a picture, and the width it is drawn at."""

from __future__ import annotations

import re
from dataclasses import dataclass

from cldfc.diagnostics import UsageError
from cldfc.network.positions import Key
from cldfc.show.blocks import BoxLabel
from cldfc.show.boxes import SMALL, BoxKind

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Rectangle:
    x: float
    y: float
    width: float
    height: float

    @property
    def middle(self) -> Point:
        return self.x + self.width / 2, self.y + self.height / 2


@dataclass(frozen=True, slots=True)
class DrawnBox:
    """A box with its label, the `lines` below the label, and the parameters and operations it stands for.

    Shared kernels have a `colour`. Values of one name have one `hue`, counted from 0; values without a tag have none.
    """

    kind: BoxKind
    place: Rectangle
    label: BoxLabel
    lines: tuple[str, ...]
    colour: str | None
    hue: int | None
    parameters: tuple[Key, ...]
    operations: tuple[int, ...]
    instance: int
    """The first instance of its equation; -1 for the input."""
    band: int


@dataclass(frozen=True, slots=True)
class Edge:
    """A line with right angles from box to box; `minus` is the position of its minus sign, if it has one."""

    source: int
    target: int
    points: tuple[Point, ...]
    minus: Point | None


@dataclass(frozen=True, slots=True)
class Frame:
    """The frame around a block: a value, or several folded steps of one."""

    place: Rectangle
    is_folded: bool
    band: int


@dataclass(frozen=True, slots=True)
class LoopArrow:
    """The label of folded steps, and the line from their value back to their frame if they read one another."""

    points: tuple[Point, ...]
    text: str
    middle: Point
    hue: int | None
    band: int


@dataclass(frozen=True, slots=True)
class Band:
    place: Rectangle
    name: str
    sizes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Picture:
    model: str
    width: float
    height: float
    bands: tuple[Band, ...]
    frames: tuple[Frame, ...]
    nodes: tuple[DrawnBox, ...]
    edges: tuple[Edge, ...]
    loops: tuple[LoopArrow, ...]


_PIXELS = {"cm": 96 / 2.54, "mm": 96 / 25.4, "in": 96.0, "pt": 96 / 72, "px": 1.0}
"""Pixels per unit, with 96 per inch as in CSS."""
_LEAST, _MOST = 1.0, 200.0
"""Limits of a width, in centimetres."""
READABLE = 6.0
"""The smallest readable font size, in points; pictures keep to it if the network allows it."""


@dataclass(frozen=True, slots=True)
class Width:
    number: float
    unit: str

    def __str__(self) -> str:
        return f"{self.number:g}{self.unit}"

    @property
    def pixels(self) -> float:
        return self.number * _PIXELS[self.unit]

    @property
    def points(self) -> float:
        """The width in points, 72 per inch."""
        return self.pixels * 0.75

    @property
    def room(self) -> float:
        """The width, in pixels, of the widest layout whose smallest type is readable at this width."""
        return SMALL * self.points / READABLE

    def smallest_type(self, right: float) -> float:
        """The smallest font size, in points, of a layout that is `right` pixels wide."""
        return SMALL * self.points / right

    def size(self, right: float, bottom: float) -> str:
        """The `width` and `height` attributes of an SVG file whose layout is `right` × `bottom` pixels."""
        return f'width="{self}" height="{self.number * bottom / right:.6g}{self.unit}"'


def read_width(text: str) -> Width:
    """Parse a width, `17cm`. Raises UsageError."""
    found = re.fullmatch(r"([0-9]+\.?[0-9]*|\.[0-9]+) *([A-Za-z]*)", text.strip(), re.ASCII)
    number, unit = (float(found[1]), found[2].lower()) if found else (0.0, "")
    if found is None or unit not in _PIXELS:
        decimal = re.fullmatch(r"([0-9]+),([0-9]+ *(?:cm|mm|in|pt|px))", text.strip(), re.ASCII)
        example = f"{found[1]}cm" if found and not unit and _LEAST <= number <= _MOST else "17cm"
        example = f"{decimal[1]}.{decimal[2]}" if decimal else example
        raise UsageError(
            f"`{text}` is not a valid width",
            f"write a number and its unit, `{example}`; there are {', '.join(_PIXELS)}",
        )
    width = Width(number, unit)
    if not _LEAST <= width.pixels / _PIXELS["cm"] <= _MOST:
        least, most = (f"{centimetres * _PIXELS['cm'] / _PIXELS[unit]:.0f}{unit}" for centimetres in (_LEAST, _MOST))
        raise UsageError(f"a picture cannot be {width} wide", f"give a width from {least} to {most}")
    return width
