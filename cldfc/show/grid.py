"""Places the blocks of a network on a grid: levels are rows, steps are columns."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from cldfc.network.positions import Key
from cldfc.show.blocks import Block

_Cell = tuple[int, int]
"""Rank and lane."""


@dataclass
class _Columns:
    """The cells of a block's parts; its value comes after them. Ranks count from 0, lanes upwards from 0."""

    block: Block
    early: list[int] = field(default_factory=list[int])
    cells: dict[int, _Cell] = field(default_factory=dict[int, _Cell])
    taken: dict[int, list[tuple[int, int]]] = field(default_factory=dict[int, list[tuple[int, int]]])

    @property
    def ranks(self) -> int:
        result = self.block.result
        return 1 if result is None or result.part is None else self.early[result.part] + 2

    @property
    def lanes(self) -> int:
        return 1 + max((lane for _, lane in self.cells.values()), default=0)


def arrange_parts(block: Block) -> _Columns:
    columns = _Columns(block)
    for part in block.parts:
        inner = [columns.early[operand.part] for operand in part.operands if operand.part is not None]
        columns.early.append(1 + max(inner, default=-1))
    if block.result is not None and block.result.part is not None:
        _place_chain(columns, block.result.part, columns.ranks - 1)
    return columns


def _place_chain(columns: _Columns, last: int, before: int) -> None:
    """Place the chain that ends in a part, centred in the free ranks, then the chains that join it."""
    chain = [last]
    while (earlier := _longest_operand(columns, chain[-1])) is not None:
        chain.append(earlier)
    chain.reverse()
    is_main = not columns.cells
    shift = 0 if is_main else (before - 1 - columns.early[last]) // 2
    first = columns.early[chain[0]] + shift
    lane = 0 if is_main else _free_lane(columns, first, before)
    columns.taken.setdefault(lane, []).append((first, before))
    for part in chain:
        columns.cells[part] = columns.early[part] + shift, lane
    for part in reversed(chain):
        for operand in columns.block.parts[part].operands:
            if operand.part is not None and operand.part not in columns.cells:
                _place_chain(columns, operand.part, columns.cells[part][0])


def _longest_operand(columns: _Columns, part: int) -> int | None:
    """The operand with the longest chain before it, of those without a cell."""
    inner = [o.part for o in columns.block.parts[part].operands if o.part is not None and o.part not in columns.cells]
    return max(inner, key=lambda part: columns.early[part], default=None)


def _free_lane(columns: _Columns, first: int, last: int) -> int:
    lane = 1
    while any(first <= high and low <= last for low, high in columns.taken.get(lane, ())):
        lane += 1
    return lane


MOST_COLUMNS, OVER = 26, 3
"""Most columns in a line of a picture of unlimited width, and how many more the output may take."""

Box = tuple[int, int]
"""A block and a part of it, with -1 for its value. The first input is (-1, -1), the second (-2, -1)."""
_Family = tuple[str, tuple[int, ...]]


def is_input(box: Box) -> bool:
    return box[0] < 0


@dataclass(frozen=True, slots=True)
class _GridRow:
    """A line of one level; `top` is the slot of the channel above it."""

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
    rows: tuple[_GridRow, ...]
    row_of: tuple[int, ...]
    """The row of each block."""
    inputs: tuple[tuple[str, int], ...]
    """The inputs that are read, by name and number of indices."""
    input_rows: tuple[int, ...]
    cells: Mapping[Box, tuple[int, int]]
    """The column and the slot of each box."""

    @property
    def slots(self) -> int:
        return self.rows[-1].bottom + 1

    def row_at(self, slot: int) -> _GridRow:
        return self.rows[bisect_right(self.rows, slot, key=lambda row: row.top) - 1]

    def row_number(self, box: Box) -> int:
        return self.input_rows[-1 - box[0]] if is_input(box) else self.row_of[box[0]]

    def row_with(self, box: Box) -> _GridRow:
        return self.rows[self.row_number(box)]

    def input_box(self, value: Key) -> Box:
        """The box of an input, or of the family it belongs to."""
        return -1 - self.inputs.index((value[0], len(value[1]))), -1

    def is_channel(self, slot: int) -> bool:
        """Whether a slot is a channel, not a lane."""
        return (slot - self.row_at(slot).top) % 2 == 0


def make_grid(blocks: Sequence[Block], most: int = MOST_COLUMNS, over: int = OVER) -> Grid:
    """Place the blocks of a network; the last one is its output, which may take `over` more columns.

    Levels with more than `most` columns continue on another line.
    """
    arranged = [arrange_parts(block) for block in blocks]
    levels = drawn_levels(blocks)
    places = _place_families(blocks, arranged, most)
    lines = [places[block.family][0] for block in blocks]
    lasts = [places[block.family][1] for block in blocks]
    lines[-1], lasts[-1] = _place_output(levels, lines, lasts, arranged[-1].ranks, most + over)
    rows = _make_rows(levels, lines, arranged)
    at = {(row.level, row.line): number for number, row in enumerate(rows)}
    row_of = tuple(at[level, line] for level, line in zip(levels, lines, strict=True))
    cells: dict[Box, tuple[int, int]] = {}
    for number, columns in enumerate(arranged):
        row, first = rows[row_of[number]], lasts[number] - columns.ranks + 1
        for part, (rank, lane) in columns.cells.items():
            cells[number, part] = first + rank, row.slot(lane)
        cells[number, -1] = lasts[number], row.slot(0)
    inputs = _inputs_read(blocks)
    input_rows = [_place_input(at, family, blocks, cells, rows, row_of) for at, family in enumerate(inputs)]
    shift = min(column for column, _ in cells.values())
    moved = {box: (column - shift, slot) for box, (column, slot) in cells.items()}
    return Grid(
        blocks, 1 + max(column for column, _ in moved.values()), rows, row_of, tuple(inputs), tuple(input_rows), moved
    )


def _place_output(
    levels: Sequence[int | None], lines: Sequence[int], lasts: Sequence[int], ranks: int, most: int
) -> tuple[int, int]:
    """The line and the last column of the output: after the rest of its level, on a new line if there is no room."""
    before = [(line, last) for level, line, last in zip(levels, lines, lasts, strict=True) if level == levels[-1]][:-1]
    line, last = max(before, default=(0, 0))
    return (line, last + ranks) if last + ranks <= most else (line + 1, ranks)


def _inputs_read(blocks: Sequence[Block]) -> list[tuple[str, int]]:
    """The inputs in the order in which they are first read, by name and number of indices."""
    values = {block.value for block in blocks}
    read = (value for block in blocks for value in block.values_read() if value not in values)
    return list(dict.fromkeys((name, len(tag)) for name, tag in read))


def _place_input(
    input: int,
    family: tuple[str, int],
    blocks: Sequence[Block],
    cells: dict[Box, tuple[int, int]],
    rows: Sequence[_GridRow],
    row_of: Sequence[int],
) -> int:
    """Place an input before the first box that reads it, or at the far left if there is no room; return its row."""
    values = {block.value for block in blocks}
    box = -1 - input, -1
    for number, block in enumerate(blocks):
        operands = [(at, o) for at, part in enumerate(block.parts) for o in part.operands]
        operands += [(-1, block.result)] if block.result is not None else []
        read = ((at, value) for at, operand in operands for value in operand.values if value not in values)
        reader = next((at for at, (name, tag) in read if (name, len(tag)) == family), None)
        if reader is not None:
            column, slot = cells[number, reader]
            if slot == rows[row_of[number]].slot(0) and (column - 1, slot) not in cells.values():
                cells[box] = column - 1, slot
                return row_of[number]
            break
    column, slot = 0, rows[0].slot(0)
    while (column, slot) in cells.values():
        column -= 1
    cells[box] = column, slot
    return 0


def drawn_levels(blocks: Sequence[Block]) -> list[int | None]:
    """The level that each block is drawn on: its own, that of the first value it reads, or the lowest."""
    known: dict[Key, int | None] = {}
    lowest = min((block.level for block in blocks if block.level is not None), default=None)
    for block in blocks:
        read = next((value for value in block.values_read() if value in known), None)
        known[block.value] = block.level if block.level is not None else known[read] if read else lowest
    return [known[block.value] for block in blocks]


def _place_families(blocks: Sequence[Block], arranged: Sequence[_Columns], most: int) -> dict[_Family, tuple[int, int]]:
    """The line and the last column of each family, the same on all levels."""
    widths: dict[_Family, int] = {}
    for block, columns in zip(blocks, arranged, strict=True):
        widths[block.family] = max(widths.get(block.family, 0), columns.ranks)
    places: dict[_Family, tuple[int, int]] = {}
    line, column = 0, 1
    for _, together in groupby(_order_families(blocks), lambda family: family[0]):
        group = list(together)
        whole = sum(widths[family] for family in group)
        for at, family in enumerate(group):
            needed = whole if at == 0 and whole < most else widths[family]
            if column + needed > most and column > 1:
                line, column = line + 1, 1
            column += widths[family]
            places[family] = line, column - 1
    return places


def _order_families(blocks: Sequence[Block]) -> list[_Family]:
    """Families sorted so that each follows those it reads on its level; a cycle starts at its first family."""
    family = {block.value: block.family for block in blocks}
    level = {block.value: block.level for block in blocks}
    needs: dict[_Family, set[_Family]] = {block.family: set() for block in blocks}
    for block in blocks:
        same = (v for v in block.values_read() if v in family and (level[v] == block.level or block.level is None))
        needs[block.family] |= {family[value] for value in same} - {block.family}
    order: dict[_Family, None] = {}
    while len(order) < len(needs):
        waiting = [family for family in needs if family not in order]
        order[next((f for f in waiting if needs[f] <= order.keys()), waiting[0])] = None
    return list(order)


def _make_rows(
    levels: Sequence[int | None], lines: Sequence[int], arranged: Sequence[_Columns]
) -> tuple[_GridRow, ...]:
    lanes: dict[tuple[int | None, int], int] = {}
    for level, line, columns in zip(levels, lines, arranged, strict=True):
        lanes[level, line] = max(lanes.get((level, line), 1), columns.lanes)
    rows: list[_GridRow] = []
    top = 0
    for level, line in sorted(lanes, key=lambda place: (place[0] is not None, place[0] or 0, place[1])):
        rows.append(_GridRow(level, line, top, lanes[level, line]))
        top = rows[-1].bottom + 1
    return tuple(rows)
