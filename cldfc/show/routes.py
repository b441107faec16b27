"""The ways of edges through the grid: along gaps and channels, where no box stands, or through empty cells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from cldfc.network.positions import Key
from cldfc.show.blocks import Operand
from cldfc.show.grid import INPUT, Box, Grid

Side = Literal["left", "top", "bottom"]
Cells = Mapping[tuple[int, int], Box]


@dataclass(frozen=True, slots=True)
class Port:
    """Where an edge enters a box: a side, and its place among those that enter there."""

    side: Side
    place: int = 0


@dataclass(frozen=True, slots=True)
class Way:
    """An edge from the right of one box to a port of another.

    It runs along the slots `across`, the first of which is the lane of its source, and from each to the next along
    the gaps `down`. To a port above or below it leaves the last of `across` at that port.
    """

    source: Box
    target: Box
    port: Port
    sign: int
    across: tuple[int, ...]
    down: tuple[int, ...]


def find_ways(grid: Grid) -> list[Way]:
    boxes: dict[Key, Box] = {block.value: (number, -1) for number, block in enumerate(grid.blocks)}
    cells = {cell: box for box, cell in grid.cells.items()}
    ways: list[Way] = []
    for target, operands in targets(grid):
        ports = choose_ports(grid, target, operands, boxes)
        for operand, port in zip(operands, ports, strict=True):
            for source in sources(target, operand, boxes):
                if source == (target[0], -1):
                    continue  # Steps that read one another: the layout draws that as a loop.
                across, down = find_turns(grid, cells, source, target, port)
                ways.append(Way(source, target, port, operand.sign, across, down))
    return ways


def targets(grid: Grid) -> Iterator[tuple[Box, Sequence[Operand]]]:
    for number, block in enumerate(grid.blocks):
        for at, part in enumerate(block.parts):
            if (number, at) in grid.cells:
                yield (number, at), part.operands
        if block.result is not None:
            yield (number, -1), [block.result]


def sources(target: Box, operand: Operand, boxes: Mapping[Key, Box]) -> list[Box]:
    if operand.part is not None:
        return [(target[0], operand.part)]
    return [boxes.get(value, INPUT) for value in operand.values]


def choose_ports(grid: Grid, target: Box, operands: Sequence[Operand], boxes: Mapping[Key, Box]) -> list[Port]:
    """The chain enters at the left; values of the same row or of one below it from below, all else from above."""
    slot = grid.cells[target][1]
    inner = [o.part is not None and grid.cells[target[0], o.part][1] == slot for o in operands]
    main = inner.index(True) if True in inner else 0
    counts = {"top": 0, "bottom": 0}
    ports: list[Port] = []
    for at, operand in enumerate(operands):
        if at == main:
            ports.append(Port("left"))
            continue
        row, source = grid.row_with(target), sources(target, operand, boxes)[-1]
        is_low = slot == row.slot(0) and operand.part is None
        side: Side = "bottom" if is_low and grid.row_with(source).top >= row.top else "top"
        ports.append(Port(side, counts[side]))
        counts[side] += 1
    return ports


def find_turns(
    grid: Grid, cells: Cells, source: Box, target: Box, port: Port
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The slots and gaps that an edge runs along, the plainest that meet no box."""
    (a, s), (b, t) = grid.cells[source], grid.cells[target]
    first, last = 2 * a + 2, 2 * b
    if port.side != "left":
        is_next = (s < t) == (port.side == "top") and abs(s - t) == 2
        if a < b and is_next and are_empty(cells, s, a + 1, b):
            return (s,), ()
        return (s, t - 1 if port.side == "top" else t + 1), (first,)
    # What leaves a box beside the first gap in that lane would run on the same line for a while.
    if a < b and are_empty(cells, t, a + 1, b - 1) and (s == t or (a, t) not in cells):
        return ((s,), ()) if s == t else ((s, t), (first,))
    return (s, channel(grid, source, target), t), (first, last)


def are_empty(cells: Cells, slot: int, first: int, last: int) -> bool:
    return not any((column, slot) in cells for column in range(first, last + 1))


def channel(grid: Grid, source: Box, target: Box) -> int:
    """The channel beside the target's lane that an edge to its left side runs along."""
    slot, row, before = grid.cells[target][1], grid.row_with(target), grid.row_with(source)
    is_low = slot == row.slot(0)
    return slot + 1 if is_low and before.top >= row.top else slot - 1
