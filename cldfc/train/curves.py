"""Curves over epochs as an SVG picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 480, 260
LEFT, RIGHT, TOP, BOTTOM = 44, 16, 34, 36
LETTER, GAP = 6, 22
"""Pixels that a letter of the legend takes at most, on average, and pixels between two names."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A name, which is also the class that styles the line, and a value for each epoch from 1."""

    name: str
    values: Sequence[float]


@dataclass(frozen=True, slots=True)
class Axis:
    """Maps the values from `low` to `high` onto the pixels from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> str:
        share = (value - self.low) / (self.high - self.low)
        return f"{self.start + share * (self.end - self.start):.1f}"

    def marks(self, least: float) -> list[float]:
        """Round values along the axis, six at most, no closer to each other than `least`."""
        step = max(least, round_step((self.high - self.low) / 5))
        first, last = math.ceil(self.low / step), math.floor(self.high / step + 1e-9)
        return [step * number for number in range(first, last + 1)]


def round_step(least: float) -> float:
    """The smallest of 1, 2 and 5 times a power of ten that is not below `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * digit for digit in (1, 2, 5, 10) if power * digit >= least * (1 - 1e-9))


def draw_curves(title: str, curves: Sequence[Curve], low: float, high: float) -> str:
    """An SVG picture of curves over epochs, for values from `low` to `high`, `low` < `high`."""
    epochs = len(curves[0].values)
    across = Axis(1, max(epochs, 2), LEFT, WIDTH - RIGHT)
    up = Axis(low, high, HEIGHT - BOTTOM, TOP)
    parts = [
        f'<text class="title" x="{LEFT}" y="18">{escape(title)}</text>',
        *(grid_line(up.at(value), value) for value in up.marks(0)),
        *(
            f'<text class="epoch" x="{across.at(epoch)}" y="{HEIGHT - BOTTOM + 20}">{epoch:.0f}</text>'
            for epoch in across.marks(1)
        ),
        *(draw_curve(curve, across, up) for curve in curves),
        *legend([curve.name for curve in curves]),
    ]
    return "\n".join([f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">', *parts, "</svg>"])


def grid_line(y: str, value: float) -> str:
    return (
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>'
        f'<text class="value" x="{LEFT - 8}" y="{y}" dy="4">{value:.4g}</text>'
    )


def draw_curve(curve: Curve, across: Axis, up: Axis) -> str:
    points = [f"{across.at(epoch)},{up.at(value)}" for epoch, value in enumerate(curve.values, 1)]
    line, (x, y) = " ".join(points), points[-1].split(",")
    return f'<polyline class="{curve.name}" points="{line}"/><circle class="{curve.name}" cx="{x}" cy="{y}" r="3"/>'


def legend(names: Sequence[str]) -> list[str]:
    texts: list[str] = []
    x = WIDTH - RIGHT
    for name in reversed(names):
        texts.append(f'<text class="legend {name}" x="{x}" y="18">{name}</text>')
        x -= LETTER * len(name) + GAP
    return texts
