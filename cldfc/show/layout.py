"""Lays out a network by level and step: boxes do not overlap, and no edge crosses a box."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from math import ceil

from cldfc.network.graph import Graph
from cldfc.show.blocks import Block, blocks_of, index_of_levels, sizes_of
from cldfc.show.boxes import SIZE, SMALL, Boxes, loop_text, text_width
from cldfc.show.drawing import Band, DrawnBox, Edge, Frame, LoopArrow, Picture, Point, Rectangle
from cldfc.show.grid import MOST_COLUMNS, OVER, Box, Grid, is_input, make_grid
from cldfc.show.labels import colours_of
from cldfc.show.routes import Way, assign_tracks, channel_stretches, find_ways, gap_stretches

_EDGE, _BESIDE, _MARGIN, _TRACK = 14.0, 9.0, 14.0, 7.0
"""Space at the left edge; beside boxes; above and below them; between parallel edges."""
_BAND_GAP, _FRAME, _LOOP = 8.0, 4.0, 20.0
"""Space between levels; around the boxes of a block; above a block with a loop."""


def lay_out(graph: Graph, is_full: bool = False, room: float | None = None) -> Picture:
    """Lay out a graph; `is_full` draws every step.

    Lines are as wide as `room` allows, or as the widest block needs. u@1 = relu(f), r@ℓ = u@ℓ - A * u@ℓ,
    u@ℓ+1 = R *_2 r@ℓ and h = linear(avgpool(r@2)) are placed in columns, lanes (slots 1 and 4) and channels:

        column  0      1      2     3    4     5        6          7       8
        slot 1  f ─→ relu ─→ u1 ┬─→ A ─→ + ─→ r1 ┐
        slot 2                  └────────↑       │
        slot 3        ┌──────────────────────────┘
        slot 4        └→ R ─→ u2 ┬─→ A ─→ + ─→ r2 ─→ avgpool ─→ linear ─→ h
        slot 5                   └────────↑
    """
    blocks = blocks_of(graph, is_full)
    most, over = MOST_COLUMNS, OVER
    drawing = _Drawing(graph, make_grid(blocks))
    while room is not None and drawing.width > room and most > 1:
        if over:
            over = 0
        else:
            most = min(most - 1, ceil(most * room / drawing.width))
            over = OVER
        drawing = _Drawing(graph, make_grid(blocks, most, over))
    return drawing.picture()


class _Drawing:
    def __init__(self, graph: Graph, grid: Grid) -> None:
        self.graph = graph
        self.grid = grid
        self.colours = colours_of(graph)
        self.ways = find_ways(grid)
        self.gaps = assign_tracks(gap_stretches(self.ways))
        self.channels = assign_tracks(channel_stretches(grid, self.ways))
        levels = list(dict.fromkeys(row.level for row in grid.rows))
        self.bands = [levels.index(row.level) for row in grid.rows]
        """The band of each row; all lines of a level form one band."""
        self.levels = self.name_levels()
        names = dict.fromkeys(block.value[0] for block in grid.blocks if block.value[1])
        self.hues = {name: number for number, name in enumerate(names)}
        """A number for each name of values with a tag, in the order of definition."""
        folded = [row for row, block in zip(grid.row_of, grid.blocks, strict=True) if block.is_folded]
        self.loops = {grid.rows[row].top for row in folded}
        self.boxes = Boxes(graph, grid, self.ways, [self.levels[band][1] for band in self.bands])
        self.sizes = {box: self.boxes.size(box) for box in grid.cells}
        self.lefts, self.width = self.place_columns()
        self.tops, self.height = self.place_slots()
        self.numbers = {box: number for number, box in enumerate(grid.cells)}

    def picture(self) -> Picture:
        nodes = tuple(self.node(box) for box in self.grid.cells)
        edges = tuple(self.edge(way) for way in self.ways)
        frames = tuple(self.frame(n) for n, block in enumerate(self.grid.blocks) if block.parts or block.is_folded)
        loops = tuple(self.loop(number) for number, block in enumerate(self.grid.blocks) if block.is_folded)
        model = self.graph.program.model
        return Picture(model, self.width, self.height, tuple(self.make_bands()), frames, nodes, edges, loops)

    def name_levels(self) -> list[tuple[str, tuple[str, ...]]]:
        index = index_of_levels(self.graph.program)
        together: list[list[Block]] = [[] for _ in range(self.bands[-1] + 1)]
        for number, block in enumerate(self.grid.blocks):
            row = self.grid.row_of[number]
            if block.level == self.grid.rows[row].level:
                together[self.bands[row]].append(block)
        levels = dict.fromkeys(row.level for row in self.grid.rows)
        names = ["" if level is None or not index else f"{index} = {level}" for level in levels]
        sizes = [sizes_of(self.graph, blocks) for blocks in together]
        shown = [tuple(some if len(some) < 4 else [some[0], "…", some[-1]]) for some in sizes]
        return list(zip(names, shown, strict=True))

    # Places

    def place_columns(self) -> tuple[list[float], float]:
        """The left edge of each gap and column, and the right edge of the last."""
        widths = [0.0] * (2 * self.grid.columns + 1)
        for box, (column, _) in self.grid.cells.items():
            widths[2 * column + 1] = max(widths[2 * column + 1], self.sizes[box][0])
        for gap in range(0, len(widths), 2):
            widths[gap] = 2 * _BESIDE + _TRACK * max(0, self.gaps.counts.get(gap, 0) - 1)
        names = [text_width(name, SIZE) for name, _ in self.levels]
        sizes = [text_width(size, SMALL) for _, sizes in self.levels for size in sizes]
        return _add_up_places(widths, _EDGE + max([*names, *sizes]) + _BESIDE * any([*names, *sizes]))

    def place_slots(self) -> tuple[list[float], float]:
        heights = [0.0] * self.grid.slots
        for box, (_, slot) in self.grid.cells.items():
            heights[slot] = max(heights[slot], self.sizes[box][1])
        for number, row in enumerate(self.grid.rows):
            for slot in range(row.top, row.bottom + 1, 2):
                heights[slot] = _MARGIN + _TRACK * self.channels.counts.get(slot, 0)
            heights[row.top] += _LOOP * (row.top in self.loops)
            if number and self.bands[number] != self.bands[number - 1]:
                heights[row.top] += _BAND_GAP
        return _add_up_places(heights, 0.0)

    def rectangle(self, box: Box) -> Rectangle:
        (column, slot), (width, height) = self.grid.cells[box], self.sizes[box]
        left, top = self.lefts[2 * column + 1], self.tops[slot]
        x = left + (self.lefts[2 * column + 2] - left - width) / 2
        return Rectangle(x, top + (self.tops[slot + 1] - top - height) / 2, width, height)

    def node(self, box: Box) -> DrawnBox:
        boxes, parameters = self.boxes, self.boxes.parameters(box)
        colours = [self.colours.get(key) for key in parameters]
        return DrawnBox(
            kind=boxes.kind(box),
            place=self.rectangle(box),
            label=boxes.label(box),
            lines=boxes.lines(box),
            colour=colours[0] if colours and None not in colours else None,
            parameters=parameters,
            hue=self.hues.get(boxes.label(box).name) if boxes.kind(box) == "value" else None,
            operations=tuple(boxes.operations(box)),
            instance=-1 if is_input(box) else boxes.block(box).instances[0],
            band=self.bands[self.grid.row_number(box)],
        )

    def frame(self, number: int) -> Frame:
        """The frame around a block; that of folded steps reaches up to their loop."""
        block, places = self.grid.blocks[number], [self.rectangle(box) for box in self.boxes.of_block[number]]
        row = self.grid.row_of[number]
        tops = [p.y for p in places] + [self.tops[self.grid.rows[row].top + 1]] * block.is_folded
        left, top = min(p.x for p in places) - _FRAME, min(tops) - _FRAME
        right, bottom = max(p.x + p.width for p in places) + _FRAME, max(p.y + p.height for p in places) + _FRAME
        return Frame(Rectangle(left, top, right - left, bottom - top), block.is_folded, self.bands[row])

    def loop(self, number: int) -> LoopArrow:
        block, frame, value = self.grid.blocks[number], self.frame(number), self.rectangle((number, -1))
        start, x = frame.place.x + 10, max(value.middle[0], value.x + value.width - 12)
        y = frame.place.y - _LOOP / 2
        points = ((x, value.y), (x, y), (start, y), (start, frame.place.y)) if block.reads_itself else ()
        return LoopArrow(points, loop_text(block), ((x + start) / 2, y), self.hues.get(block.label.name), frame.band)

    def make_bands(self) -> Iterator[Band]:
        for band, (name, sizes) in enumerate(self.levels):
            rows = [row for row, number in zip(self.grid.rows, self.bands, strict=True) if number == band]
            top = self.tops[rows[0].top] + (_BAND_GAP if band else 0.0)
            yield Band(Rectangle(0, top, self.width, self.tops[rows[-1].bottom + 1] - top), name, sizes)

    # Edges

    def edge(self, way: Way) -> Edge:
        source, target = self.rectangle(way.source), self.rectangle(way.target)
        across = [self.across(way, slot) for slot in way.across]
        points = [(source.x + source.width, across[0])]
        for at, gap in enumerate(way.down):
            x = self.lefts[gap] + _BESIDE - 1 + _TRACK * self.gaps.lines[gap, way.source, at > 0]
            points += [(x, across[at]), (x, across[at + 1])]
        points += self.entry(way, target, across[-1])
        (x, y), side = points[-1], way.port.side
        beside = {"left": (x - 10, y - 6), "top": (x + 7, y - 6), "bottom": (x + 7, y + 6)}[side]
        minus = beside if way.sign < 0 else None
        return Edge(self.numbers[way.source], self.numbers[way.target], tuple(_corners(points)), minus)

    def entry(self, way: Way, target: Rectangle, y: float) -> list[Point]:
        if way.port.side == "left":
            return [(target.x, y)]
        count = self.boxes.ports[way.target]
        share = (way.port.place + 1) / (count + 1) if count > 1 else 0.5
        x = target.x + target.width * share
        return [(x, y), (x, target.y if way.port.side == "top" else target.y + target.height)]

    def across(self, way: Way, slot: int) -> float:
        line = self.channels.lines.get((slot, way.source, False))
        if line is None:
            return (self.tops[slot] + self.tops[slot + 1]) / 2
        if slot == self.grid.row_at(slot).bottom:
            return self.tops[slot] + _MARGIN - 3 + _TRACK * line
        loop = _LOOP * (slot in self.loops)
        return self.tops[slot + 1] - loop - (_MARGIN - 3) - _TRACK * line


def _add_up_places(sizes: list[float], start: float) -> tuple[list[float], float]:
    places = list(accumulate(sizes, initial=start))
    return places, places[-1]


def _corners(points: list[Point]) -> Iterator[Point]:
    """The ends and corners of a line, without points inside a straight segment."""
    for at, point in enumerate(points):
        if 0 < at < len(points) - 1:
            before, after = points[at - 1], points[at + 1]
            if (before[0] == point[0] == after[0]) or (before[1] == point[1] == after[1]):
                continue
        yield point
