"""What a picture consists of: boxes, labels and lines with their coordinates, for any renderer.

Coordinates are pixels from the upper left corner.
"""

from __future__ import annotations

from dataclasses import dataclass

from cldfc.network.positions import Key
from cldfc.show.boxes import BoxKind
from cldfc.show.labels import BoxLabel

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
    """A box: what is written on it, below it `lines`, its colour if it is a shared kernel, and what it stands for.

    Values of one name have one hue, counted from 0; those without a tag have none.
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
    """A line from node to node with right angles, and where its minus sign stands, if it has one."""

    source: int
    target: int
    points: tuple[Point, ...]
    minus: Point | None


@dataclass(frozen=True, slots=True)
class Frame:
    """What belongs to one value, or to several steps of one, which are drawn once."""

    place: Rectangle
    is_folded: bool
    band: int


@dataclass(frozen=True, slots=True)
class LoopArrow:
    """What is said of folded steps, and the line from their value back to their frame, if they read one another."""

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
