"""The legend below a picture: which colour is which shared kernel, and what short names stand for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cldfc.network.cost import count_uses
from cldfc.network.graph import Graph
from cldfc.show.labels import BoxLabel, short_names
from cldfc.show.measure import SMALL, label_width, text_width
from cldfc.show.shapes import Picture

LINE_HEIGHT, LEFT, BETWEEN = 22.0, 14.0, 20.0


@dataclass(frozen=True, slots=True)
class LegendEntry:
    """A colour and what has it; without a colour, a name and what it stands for."""

    x: float
    y: float
    colour: str
    label: BoxLabel
    text: str

    @property
    def width(self) -> float:
        return (
            20 * bool(self.colour) + label_width(self.label) + 5 * bool(self.label.name) + text_width(self.text, SMALL)
        )


def place_legend(graph: Graph, picture: Picture, note: str) -> tuple[list[LegendEntry], float, float]:
    """The entries below a picture, as many in a line as there is room for; and the size of both together.

    `note` is the last entry, if there is one.
    """
    entries: list[LegendEntry] = []
    x, y, right = LEFT, picture.height + 6, picture.width
    for colour, label, content in [*legend_texts(graph, picture), *([("", BoxLabel(""), note)] if note else [])]:
        entry = LegendEntry(x, y, colour, label, content)
        if x + entry.width > picture.width and x > LEFT:
            y += LINE_HEIGHT
            entry = LegendEntry(LEFT, y, colour, label, content)
        entries.append(entry)
        x = entry.x + entry.width + BETWEEN
        right = max(right, x - BETWEEN + LEFT)
    return entries, right, y + LINE_HEIGHT + 6 if entries else picture.height


def legend_texts(graph: Graph, picture: Picture) -> Iterator[tuple[str, BoxLabel, str]]:
    """Colours with what has them and how often it is used; then names with what they stand for."""
    uses, seen = count_uses(graph), set[str]()
    for node in picture.nodes:
        if node.colour is not None and node.colour not in seen:
            seen.add(node.colour)
            name = BoxLabel(node.label.name, node.label.tag)
            yield node.colour, name, f"{sum(uses[key] for key in node.parameters)} uses"
    shown = {word for node in picture.nodes if node.kind == "operator" for word in node.label.name.split(" ")}
    for chain, name in short_names(graph.program.spec).items():
        if name in shown:
            yield "", BoxLabel(name), f"= {' ∘ '.join(reversed(chain))}"
