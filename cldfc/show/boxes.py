"""What the boxes of a picture are and say, and how large they are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Literal

from cldfc.network.graph import Graph
from cldfc.network.positions import Key
from cldfc.show.blocks import Block, Kind
from cldfc.show.grid import INPUT, Box, Grid
from cldfc.show.labels import BoxLabel
from cldfc.show.measure import SMALL, label_width, text_width
from cldfc.show.routes import Way

BoxKind = Kind | Literal["value"]
HEIGHTS = {"kernel": 26.0, "operator": 22.0, "merge": 20.0}
LINE = 13.0
"""From one line of a value to the next."""
PORT = 14.0
"""From one edge that enters a box from above or below to the next."""
NARROWEST = 40.0
"""Of a box with the gap behind it."""


class Boxes:
    def __init__(self, graph: Graph, grid: Grid, ways: Sequence[Way], sizes: Sequence[Sequence[str]]) -> None:
        self.graph = graph
        self.grid = grid
        self.ports = count_ports(ways)
        self.of_block: dict[int, list[Box]] = defaultdict(list)
        for box in grid.cells:
            self.of_block[box[0]].append(box)
        self.sizes = sizes
        """What each row says of the sizes of its values."""

    def size(self, box: Box) -> tuple[float, float]:
        kind, lines = self.kind(box), self.lines(box)
        wide = max(label_width(self.label(box)), *(text_width(line, SMALL) for line in lines), 0.0)
        if kind == "value":
            return max(wide + 14, self.room_for_loop(box)), LINE * (1 + len(lines)) + 9
        if kind == "merge":
            return max(HEIGHTS[kind], PORT * self.ports.get(box, 1) + 8), HEIGHTS[kind]
        return max(wide + 14, 26.0), HEIGHTS[kind]

    def room_for_loop(self, box: Box) -> float:
        """What a value must take so that there is room for what is said of its loop, above the whole block."""
        if box == INPUT or not self.block(box).is_folded:
            return 0.0
        parts = len({self.grid.cells[other][0] for other in self.of_block[box[0]]}) - 1
        return text_width(loop_text(self.block(box)), SMALL) + 56 - NARROWEST * parts

    def kind(self, box: Box) -> BoxKind:
        return "value" if box[1] < 0 else self.block(box).parts[box[1]].kind

    def block(self, box: Box) -> Block:
        return self.grid.blocks[box[0]]

    def label(self, box: Box) -> BoxLabel:
        if box == INPUT:
            return BoxLabel(self.graph.program.input.name)
        block = self.block(box)
        return block.label if box[1] < 0 else block.parts[box[1]].label

    def lines(self, box: Box) -> tuple[str, ...]:
        """What is written below the name of a value: that it is zero, and its size if its row does not say it."""
        if box[1] >= 0:
            return ()
        key = (self.graph.program.input.name, ()) if box == INPUT else self.block(box).value
        size = "×".join(map(str, self.graph.shape(key)))
        row = self.grid.input_row if box == INPUT else self.grid.row_of[box[0]]
        zero = "= 0" if box != INPUT and self.block(box).result is None else ""
        return tuple(filter(None, (zero, "" if [*self.sizes[row]] == [size] else size)))

    def parameters(self, box: Box) -> tuple[Key, ...]:
        return () if box[1] < 0 else self.block(box).parts[box[1]].parameters

    def operations(self, box: Box) -> Iterator[int]:
        if box == INPUT:
            yield 0
            return
        block = self.block(box)
        for instance in block.instances:
            if box[1] < 0:
                yield self.graph.instances[instance].result
            else:
                steps = set(block.parts[box[1]].steps)
                yield from (at for at in self.graph.members[instance] if self.graph.node(at).step in steps)


def loop_text(block: Block) -> str:
    """What is said of folded steps: `5 times, i = 1:5`."""
    return f"{len(block.instances)} times, {block.steps}"


def count_ports(ways: Sequence[Way]) -> dict[Box, int]:
    """How many edges enter a box on the side, above or below, where most do."""
    counts: dict[Box, int] = {}
    for way in ways:
        if way.port.side != "left":
            counts[way.target] = max(counts.get(way.target, 0), way.port.place + 1)
    return counts
