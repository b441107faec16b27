"""How wide a picture is on paper or on a screen: `17cm`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from cldfc.diagnostics import UsageError
from cldfc.show.measure import SMALL

PIXELS = {"cm": 96 / 2.54, "mm": 96 / 25.4, "in": 96.0, "pt": 96 / 72, "px": 1.0}
"""Of a screen, 96 to the inch as in CSS, for each unit."""
LEAST, MOST = 1.0, 200.0
"""In centimetres."""
READABLE = 6.0
"""The smallest type of a picture, in points, where its network allows it."""


@dataclass(frozen=True, slots=True)
class Width:
    number: float
    unit: str

    def __str__(self) -> str:
        return f"{self.number:g}{self.unit}"

    @property
    def pixels(self) -> float:
        return self.number * PIXELS[self.unit]

    @property
    def points(self) -> float:
        """In points, 72 to the inch."""
        return self.pixels * 0.75

    @property
    def room(self) -> float:
        """How wide a layout may be so that its smallest type is readable."""
        return SMALL * self.points / READABLE

    def smallest_type(self, right: float) -> float:
        """The size of the smallest type, in points, of a layout that ends at `right`."""
        return SMALL * self.points / right

    def size(self, right: float, bottom: float) -> str:
        """The attributes of an SVG file with a layout of this size."""
        return f'width="{self}" height="{self.number * bottom / right:.6g}{self.unit}"'


def read_width(text: str) -> Width:
    """The width that a text says. Raises UsageError."""
    found = re.fullmatch(r"([0-9]+\.?[0-9]*|\.[0-9]+) *([A-Za-z]*)", text.strip(), re.ASCII)
    number, unit = (float(found[1]), found[2].lower()) if found else (0.0, "")
    if found is None or unit not in PIXELS:
        decimal = re.fullmatch(r"([0-9]+),([0-9]+ *(?:cm|mm|in|pt|px))", text.strip(), re.ASCII)
        example = f"{found[1]}cm" if found and not unit and LEAST <= number <= MOST else "17cm"
        example = f"{decimal[1]}.{decimal[2]}" if decimal else example
        raise UsageError(
            f"`{text}` is no width", f"write a number and its unit, `{example}`; there are {', '.join(PIXELS)}"
        )
    width = Width(number, unit)
    if not LEAST <= width.pixels / PIXELS["cm"] <= MOST:
        least, most = (f"{centimetres * PIXELS['cm'] / PIXELS[unit]:.0f}{unit}" for centimetres in (LEAST, MOST))
        raise UsageError(f"a picture cannot be {width} wide", f"give a width from {least} to {most}")
    return width
