"""Where the blocks of a network stand: levels are rows, steps are columns, the same on every level.

Columns and lanes are cells of one grid, in which slots alternate: across, slot 2c + 1 is column c and the
even slots are the gaps between columns; down, lanes and the channels between them. Boxes stand in cells alone,
so whatever runs in gaps and channels meets no box.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from cldfc.network.positions import Key
from cldfc.show.blocks import Block
from cldfc.show.columns import Columns, arrange_parts

MOST_COLUMNS, OVER = 26, 3
"""In one line of a picture that may be as wide as it likes, and how many more the output may take."""

Box = tuple[int, int]
"""A block and the part in it; its value is -1, the network's input (-1, -1)."""
INPUT: Box = (-1, -1)
Family = tuple[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class GridRow:
    """A line of one level: the slot of the channel above it, and how many lanes it has."""

    level: int | None
    line: int
    top: int
    lanes: int

    @property
    def bottom(self) -> int:
        return self.top + 2 * self.lanes

    def slot(self, lane: int) -> int:
        """The slot of a lane; lane 0 is the lowest."""
        return self.bottom - 1 - 2 * lane


@dataclass(frozen=True, slots=True)
class Grid:
    blocks: Sequence[Block]
    columns: int
    rows: tuple[GridRow, ...]
    row_of: tuple[int, ...]
    """The row of each block."""
    input_row: int
    cells: Mapping[Box, tuple[int, int]]
    """The column and the slot of each box."""

    @property
    def slots(self) -> int:
        return self.rows[-1].bottom + 1

    def row_at(self, slot: int) -> GridRow:
        return self.rows[bisect_right(self.rows, slot, key=lambda row: row.top) - 1]

    def row_with(self, box: Box) -> GridRow:
        return self.rows[self.input_row if box == INPUT else self.row_of[box[0]]]

    def is_channel(self, slot: int) -> bool:
        """Whether a slot is a channel, not a lane."""
        return (slot - self.row_at(slot).top) % 2 == 0


def make_grid(blocks: Sequence[Block], most: int = MOST_COLUMNS, over: int = OVER) -> Grid:
    """Place the blocks of a network; the last one is its output, which may take `over` columns more.

    Levels with more than `most` columns go on in a second line.
    """
    arranged = [arrange_parts(block) for block in blocks]
    levels = drawn_levels(blocks)
    places = place_families(blocks, arranged, most)
    lines = [places[block.family][0] for block in blocks]
    lasts = [places[block.family][1] for block in blocks]
    lines[-1], lasts[-1] = place_output(levels, lines, lasts, arranged[-1].ranks, most + over)
    rows = make_rows(levels, lines, arranged)
    at = {(row.level, row.line): number for number, row in enumerate(rows)}
    row_of = tuple(at[level, line] for level, line in zip(levels, lines, strict=True))
    cells: dict[Box, tuple[int, int]] = {}
    for number, columns in enumerate(arranged):
        row, first = rows[row_of[number]], lasts[number] - columns.ranks + 1
        for part, (rank, lane) in columns.cells.items():
            cells[number, part] = first + rank, row.slot(lane)
        cells[number, -1] = lasts[number], row.slot(0)
    input_row = place_input(blocks, cells, rows, row_of)
    shift = min(column for column, _ in cells.values())
    moved = {box: (column - shift, slot) for box, (column, slot) in cells.items()}
    return Grid(blocks, 1 + max(column for column, _ in moved.values()), rows, row_of, input_row, moved)


def place_output(
    levels: Sequence[int | None], lines: Sequence[int], lasts: Sequence[int], ranks: int, most: int
) -> tuple[int, int]:
    """The line and the last column of the output: behind what its level has, in a line of its own if that is full."""
    before = [(line, last) for level, line, last in zip(levels, lines, lasts, strict=True) if level == levels[-1]][:-1]
    line, last = max(before, default=(0, 0))
    return (line, last + ranks) if last + ranks <= most else (line + 1, ranks)


def place_input(
    blocks: Sequence[Block], cells: dict[Box, tuple[int, int]], rows: Sequence[GridRow], row_of: Sequence[int]
) -> int:
    """Place the input before the first box that reads it, where there is room, or at the very left; give its row."""
    values = {block.value for block in blocks}
    for number, block in enumerate(blocks):
        operands = [(at, o) for at, part in enumerate(block.parts) for o in part.operands]
        operands += [(-1, block.result)] if block.result is not None else []
        reader = next((at for at, o in operands if not values.issuperset(o.values)), None)
        if reader is not None:
            column, slot = cells[number, reader]
            if slot == rows[row_of[number]].slot(0) and (column - 1, slot) not in cells.values():
                cells[INPUT] = column - 1, slot
                return row_of[number]
            break
    cells[INPUT] = 0, rows[0].slot(0)
    return 0


def drawn_levels(blocks: Sequence[Block]) -> list[int | None]:
    """The level that each block is drawn on: its own, or that of what it reads first."""
    known: dict[Key, int | None] = {}
    lowest = min((block.level for block in blocks if block.level is not None), default=None)
    for block in blocks:
        read = next((value for value in block.values_read() if value in known), None)
        known[block.value] = block.level if block.level is not None else known[read] if read else lowest
    return [known[block.value] for block in blocks]


def place_families(blocks: Sequence[Block], arranged: Sequence[Columns], most: int) -> dict[Family, tuple[int, int]]:
    """The line and the last column of what different levels have in common; a family has the same on all of them."""
    widths: dict[Family, int] = {}
    for block, columns in zip(blocks, arranged, strict=True):
        widths[block.family] = max(widths.get(block.family, 0), columns.ranks)
    places: dict[Family, tuple[int, int]] = {}
    line, column = 0, 1
    for _, together in groupby(order_families(blocks), lambda family: family[0]):
        group = list(together)
        whole = sum(widths[family] for family in group)
        for at, family in enumerate(group):
            needed = whole if at == 0 and whole < most else widths[family]
            if column + needed > most and column > 1:
                line, column = line + 1, 1
            column += widths[family]
            places[family] = line, column - 1
    return places


def order_families(blocks: Sequence[Block]) -> list[Family]:
    """Families so that on every level those come first that others read; of a circle, what was first met."""
    family = {block.value: block.family for block in blocks}
    level = {block.value: block.level for block in blocks}
    needs: dict[Family, set[Family]] = {block.family: set() for block in blocks}
    for block in blocks:
        same = (v for v in block.values_read() if v in family and (level[v] == block.level or block.level is None))
        needs[block.family] |= {family[value] for value in same} - {block.family}
    order: dict[Family, None] = {}
    while len(order) < len(needs):
        waiting = [family for family in needs if family not in order]
        order[next((f for f in waiting if needs[f] <= order.keys()), waiting[0])] = None
    return list(order)


def make_rows(levels: Sequence[int | None], lines: Sequence[int], arranged: Sequence[Columns]) -> tuple[GridRow, ...]:
    lanes: dict[tuple[int | None, int], int] = {}
    for level, line, columns in zip(levels, lines, arranged, strict=True):
        lanes[level, line] = max(lanes.get((level, line), 1), columns.lanes)
    rows: list[GridRow] = []
    top = 0
    for level, line in sorted(lanes, key=lambda place: (place[0] is not None, place[0] or 0, place[1])):
        rows.append(GridRow(level, line, top, lanes[level, line]))
        top = rows[-1].bottom + 1
    return tuple(rows)
