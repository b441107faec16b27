"""Where the parts of one block stand: ranks from left to right, and lanes, of which 0 holds the longest chain."""

from __future__ import annotations

from dataclasses import dataclass, field

from cldfc.show.blocks import Block

Cell = tuple[int, int]
"""Rank and lane."""


@dataclass
class Columns:
    """The cells of a block's parts, its value's last; ranks count from 0, lanes upwards from 0."""

    block: Block
    early: list[int] = field(default_factory=list[int])
    cells: dict[int, Cell] = field(default_factory=dict[int, Cell])
    taken: dict[int, list[tuple[int, int]]] = field(default_factory=dict[int, list[tuple[int, int]]])

    @property
    def ranks(self) -> int:
        result = self.block.result
        return 1 if result is None or result.part is None else self.early[result.part] + 2

    @property
    def lanes(self) -> int:
        return 1 + max((lane for _, lane in self.cells.values()), default=0)


def arrange_parts(block: Block) -> Columns:
    columns = Columns(block)
    for part in block.parts:
        inner = [columns.early[operand.part] for operand in part.operands if operand.part is not None]
        columns.early.append(1 + max(inner, default=-1))
    if block.result is not None and block.result.part is not None:
        place_chain(columns, block.result.part, columns.ranks - 1)
    return columns


def place_chain(columns: Columns, last: int, before: int) -> None:
    """Place the chain that ends in a part, in the middle of the ranks that are free, then those that join it."""
    chain = [last]
    while (earlier := longest_operand(columns, chain[-1])) is not None:
        chain.append(earlier)
    chain.reverse()
    is_main = not columns.cells
    shift = 0 if is_main else (before - 1 - columns.early[last]) // 2
    first = columns.early[chain[0]] + shift
    lane = 0 if is_main else free_lane(columns, first, before)
    columns.taken.setdefault(lane, []).append((first, before))
    for part in chain:
        columns.cells[part] = columns.early[part] + shift, lane
    for part in reversed(chain):
        for operand in columns.block.parts[part].operands:
            if operand.part is not None and operand.part not in columns.cells:
                place_chain(columns, operand.part, columns.cells[part][0])


def longest_operand(columns: Columns, part: int) -> int | None:
    """The operand that most parts lead to, of those without a cell."""
    inner = [o.part for o in columns.block.parts[part].operands if o.part is not None and o.part not in columns.cells]
    return max(inner, key=lambda part: columns.early[part], default=None)


def free_lane(columns: Columns, first: int, last: int) -> int:
    lane = 1
    while any(first <= high and low <= last for low, high in columns.taken.get(lane, ())):
        lane += 1
    return lane
