"""Routes edges through the grid, around the boxes and on parallel tracks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from cldfc.network.positions import Key
from cldfc.show.blocks import Operand
from cldfc.show.grid import Box, Grid

_Side = Literal["left", "top", "bottom"]
_Cells = Mapping[tuple[int, int], Box]


@dataclass(frozen=True, slots=True)
class _Port:
    """Where an edge enters a box: the side, and its position among the edges on that side."""

    side: _Side
    place: int = 0


@dataclass(frozen=True, slots=True)
class Way:
    """An edge from the right side of one box to a port of another.

    It runs along the slots `across`, starting with the lane of its source, and along the gaps `down` from each slot to
    the next. If the port is above or below the target, it leaves the last slot there.
    """

    source: Box
    target: Box
    port: _Port
    sign: int
    across: tuple[int, ...]
    down: tuple[int, ...]


def find_ways(grid: Grid) -> list[Way]:
    boxes: dict[Key, Box] = {block.value: (number, -1) for number, block in enumerate(grid.blocks)}
    cells = {cell: box for box, cell in grid.cells.items()}
    ways: list[Way] = []
    for target, operands in _targets(grid):
        ports = _choose_ports(grid, target, operands, boxes)
        for operand, port in zip(operands, ports, strict=True):
            for source in _sources(grid, target, operand, boxes):
                if source == (target[0], -1):
                    continue  # Steps that read one another: the layout draws that as a loop.
                across, down = _find_turns(grid, cells, source, target, port)
                ways.append(Way(source, target, port, operand.sign, across, down))
    return ways


def _targets(grid: Grid) -> Iterator[tuple[Box, Sequence[Operand]]]:
    for number, block in enumerate(grid.blocks):
        for at, part in enumerate(block.parts):
            if (number, at) in grid.cells:
                yield (number, at), part.operands
        if block.result is not None:
            yield (number, -1), [block.result]


def _sources(grid: Grid, target: Box, operand: Operand, boxes: Mapping[Key, Box]) -> list[Box]:
    if operand.part is not None:
        return [(target[0], operand.part)]
    found = (boxes[value] if value in boxes else grid.input_box(value) for value in operand.values)
    return list(dict.fromkeys(found))


def _choose_ports(grid: Grid, target: Box, operands: Sequence[Operand], boxes: Mapping[Key, Box]) -> list[_Port]:
    """The chain enters from the left, values of the same row or a lower one from below, all others from above."""
    slot = grid.cells[target][1]
    inner = [o.part is not None and grid.cells[target[0], o.part][1] == slot for o in operands]
    main = inner.index(True) if True in inner else 0
    counts = {"top": 0, "bottom": 0}
    ports: list[_Port] = []
    for at, operand in enumerate(operands):
        if at == main:
            ports.append(_Port("left"))
            continue
        row, source = grid.row_with(target), _sources(grid, target, operand, boxes)[-1]
        is_low = slot == row.slot(0) and operand.part is None
        side: _Side = "bottom" if is_low and grid.row_with(source).top >= row.top else "top"
        ports.append(_Port(side, counts[side]))
        counts[side] += 1
    return ports


def _find_turns(
    grid: Grid, cells: _Cells, source: Box, target: Box, port: _Port
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The slots and gaps of the simplest route of an edge that meets no box."""
    (a, s), (b, t) = grid.cells[source], grid.cells[target]
    first, last = 2 * a + 2, 2 * b
    if port.side != "left":
        is_next = (s < t) == (port.side == "top") and abs(s - t) == 2
        if a < b and is_next and _are_empty(cells, s, a + 1, b):
            return (s,), ()
        return (s, t - 1 if port.side == "top" else t + 1), (first,)
    # The edges of a box beside the first gap in that lane would overlap with this one.
    if a < b and _are_empty(cells, t, a + 1, b - 1) and (s == t or (a, t) not in cells):
        return ((s,), ()) if s == t else ((s, t), (first,))
    return (s, _channel(grid, source, target), t), (first, last)


def _are_empty(cells: _Cells, slot: int, first: int, last: int) -> bool:
    return not any((column, slot) in cells for column in range(first, last + 1))


def _channel(grid: Grid, source: Box, target: Box) -> int:
    """The channel beside the target's lane for an edge that enters from the left."""
    slot, row, before = grid.cells[target][1], grid.row_with(target), grid.row_with(source)
    is_low = slot == row.slot(0)
    return slot + 1 if is_low and before.top >= row.top else slot - 1


_Place = tuple[int, Box, bool]
"""A gap or channel, the box whose edges run there, and whether they only enter a box to its right."""
_Stretch = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Tracks:
    """The line of each box's edges in each gap or channel, and the number of lines in each."""

    lines: Mapping[_Place, int]
    counts: Mapping[int, int]


def gap_stretches(ways: Iterable[Way]) -> Iterable[tuple[_Place, _Stretch]]:
    """The stretches of edges in gaps, from slot to slot."""
    for way in ways:
        for at, gap in enumerate(way.down):
            ends = way.across[at], way.across[at + 1]
            yield (gap, way.source, at > 0), (min(ends), max(ends))


def channel_stretches(grid: Grid, ways: Iterable[Way]) -> Iterable[tuple[_Place, _Stretch]]:
    """The stretches of edges in channels, from gap to gap, or to the column of a port."""
    for way in ways:
        after = [*way.down, 2 * grid.cells[way.target][0] + 1]
        for at, slot in enumerate(way.across):
            if at > 0 and grid.is_channel(slot):
                yield (slot, way.source, False), (min(after[at - 1 : at + 1]), max(after[at - 1 : at + 1]))


def assign_tracks(stretches: Iterable[tuple[_Place, _Stretch]]) -> _Tracks:
    """Assign the edges of each box the first free line of a gap or channel, shortest stretches first.

    In a gap, edges that leave boxes on its left come before those that only enter boxes on its right.
    """
    whole: dict[_Place, _Stretch] = {}
    for place, (low, high) in stretches:
        known = whole.get(place, (low, high))
        whole[place] = min(low, known[0]), max(high, known[1])
    taken: dict[int, list[list[_Stretch]]] = {}
    lines: dict[_Place, int] = {}
    firsts: dict[int, int] = {}
    for place in sorted(whole, key=lambda place: (place[2], whole[place][1] - whole[place][0])):
        (gap, _, enters), (low, high) = place, whole[place]
        tracks = taken.setdefault(gap, [])
        start = firsts.setdefault(gap, len(tracks)) if enters else 0
        free = (n for n in range(start, len(tracks)) if all(high < a or b < low for a, b in tracks[n]))
        lines[place] = next(free, len(tracks))
        if lines[place] == len(tracks):
            tracks.append([])
        tracks[lines[place]].append((low, high))
    return _Tracks(lines, {gap: len(tracks) for gap, tracks in taken.items()})
