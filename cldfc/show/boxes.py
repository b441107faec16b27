"""The text and the size of the boxes in a picture."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from cldfc.network.graph import Graph
from cldfc.network.positions import Key
from cldfc.network.program import InputFamily
from cldfc.show.blocks import Block, BoxLabel, Kind
from cldfc.show.grid import Box, Grid, is_input
from cldfc.show.routes import Way
from cldfc.syntax.format import format_index

SIZE, SMALL = 13.0, 10.0
"""Font sizes in pixels: of names; of tags, marks and the sizes of values."""
FONTS = {
    style: Path(__file__).parent / "fonts" / f"{name}.ttf"
    for style, name in {"normal": "DejaVuSans", "italic": "DejaVuSans-Oblique"}.items()
}
"""The fonts in which text is measured, and in which cldfc itself draws PNG and PDF."""
_ADVANCES = {
    28: "'ijl", 30: "IJ", 32: " ,.·‘’", 34: "/:;\\|ι", 36: "f", 38: "-", 40: "()[]t⌈⌉⌊⌋ᵀ", 42: "!r²³₁₂ℓ", 46: "\"",
    48: "ℐ", 50: "*_`§–∥", 52: "“”", 54: "?sz", 56: "LcΓεζνξ", 58: "Fkυ", 60: "vxyγκλχ•",
    62: "PTYaeoδθπτℰ─━│┃┌┐└┘├┤┬┴┼╭╮╯╰╴╶╸╺", 64: "$0123456789ESbdghnpqu{}ΞΣβημρσ∘√", 66: "Kαφψ", 70: "ABCRVXZΔΛ",
    74: "Uℒ𝒞", 76: "HNΠ𝒢", 78: "&DGΩ𝒮", 80: "OQΘΦΨℛℬℱ𝒪", 82: "w𝒥𝒵", 84: "#+<=>^~±×ω←↑→↓↔−∞≠≤≥⊕⊗⊙𝒬", 86: "𝒫",
    88: "M", 94: "𝒟", 96: "%■𝒦𝒳", 98: "m𝒱", 100: "@W—…ℋ⋮⋯𝒰𝒴", 104: "\ufffd𝒯", 108: "ℳ𝒜", 112: "𝒩", 126: "𝒲",
}  # fmt: skip
"""Characters by their width in these fonts, in hundredths of the font size, rounded up to an even number."""
WIDTHS = {letter: width / 100 for width, letters in _ADVANCES.items() for letter in letters}


def text_width(text: str, size: float) -> float:
    """The width of a text in pixels."""
    return size * sum(WIDTHS.get(letter, 1.0) for letter in text)


def label_width(label: BoxLabel) -> float:
    return text_width(label.name, SIZE) + text_width(label.raised + label.mark, SMALL) + 2 * bool(label.mark)


BoxKind = Kind | Literal["value"]
_HEIGHTS = {"kernel": 26.0, "operator": 22.0, "merge": 20.0}
LINE = 13.0
"""Line spacing in the box of a value."""
_PORT = 14.0
"""Distance between edges that enter a box from above or below."""
_NARROWEST = 40.0
"""Least width of a box, including the gap after it."""


class Boxes:
    def __init__(self, graph: Graph, grid: Grid, ways: Sequence[Way], sizes: Sequence[Sequence[str]]) -> None:
        self.graph = graph
        self.grid = grid
        self.ports = _count_ports(ways)
        self.of_block: dict[int, list[Box]] = defaultdict(list)
        for box in grid.cells:
            self.of_block[box[0]].append(box)
        self.sizes = sizes
        """For each row the sizes of its values, as the row states them."""

    def size(self, box: Box) -> tuple[float, float]:
        kind, lines = self.kind(box), self.lines(box)
        wide = max(label_width(self.label(box)), *(text_width(line, SMALL) for line in lines), 0.0)
        if kind == "value":
            return max(wide + 14, self.room_for_loop(box)), LINE * (1 + len(lines)) + 9
        if kind == "merge":
            return max(wide + 8, _HEIGHTS[kind], _PORT * self.ports.get(box, 1) + 8), _HEIGHTS[kind]
        return max(wide + 14, 26.0), _HEIGHTS[kind]

    def room_for_loop(self, box: Box) -> float:
        """The width that a value needs so that the label of its loop fits above the whole block."""
        if is_input(box) or not self.block(box).is_folded:
            return 0.0
        parts = len({self.grid.cells[other][0] for other in self.of_block[box[0]]}) - 1
        return text_width(loop_text(self.block(box)), SMALL) + 56 - _NARROWEST * parts

    def kind(self, box: Box) -> BoxKind:
        return "value" if box[1] < 0 else self.block(box).parts[box[1]].kind

    def block(self, box: Box) -> Block:
        return self.grid.blocks[box[0]]

    def label(self, box: Box) -> BoxLabel:
        if is_input(box):
            statement = self.family(box).statement
            return BoxLabel(statement.name, ",".join(map(format_index, statement.symbol.tag)))
        block = self.block(box)
        return block.label if box[1] < 0 else block.parts[box[1]].label

    def lines(self, box: Box) -> tuple[str, ...]:
        """The lines below the name of a value: `= 0` for a zero, and its size unless the row states it."""
        if box[1] >= 0:
            return ()
        key = self.family(box).keys[0] if is_input(box) else self.block(box).value
        size = "×".join(map(str, self.graph.shape(key)))
        row = self.grid.row_number(box)
        zero = "= 0" if not is_input(box) and self.block(box).result is None else ""
        if is_input(box) and len({*self.family(box).shapes.values()}) > 1:
            size += ", …"
        return tuple(filter(None, (zero, "" if [*self.sizes[row]] == [size] else size)))

    def family(self, box: Box) -> InputFamily:
        """The input that a box stands for."""
        name = self.grid.inputs[-1 - box[0]]
        return next(family for family in self.graph.program.inputs if (family.name, family.arity) == name)

    def parameters(self, box: Box) -> tuple[Key, ...]:
        return () if box[1] < 0 else self.block(box).parts[box[1]].parameters

    def operations(self, box: Box) -> Iterator[int]:
        if is_input(box):
            yield from (self.graph.values[key] for key in self.family(box).keys)
            return
        block = self.block(box)
        for instance in block.instances:
            if box[1] < 0:
                yield self.graph.instances[instance].result
            else:
                steps = set(block.parts[box[1]].steps)
                yield from (at for at in self.graph.members[instance] if self.graph.node(at).step in steps)


def loop_text(block: Block) -> str:
    """The label of folded steps: `5 times, i = 1:5`."""
    return f"{len(block.instances)} times, {block.steps}"


def _count_ports(ways: Sequence[Way]) -> dict[Box, int]:
    """The number of edges that enter each box from above, or from below if those are more."""
    counts: dict[Box, int] = {}
    for way in ways:
        if way.port.side != "left":
            counts[way.target] = max(counts.get(way.target, 0), way.port.place + 1)
    return counts
