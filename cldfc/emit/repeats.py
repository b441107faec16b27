"""Groups of equations that repeat while one index counts: what a loop is made from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from cldfc.emit.loops import Item, Leaf, Loop
from cldfc.network.positions import Constant, IndexRange, Lookup, Position


def shape(item: Item) -> object:
    """What two items must have in common to be turns of one loop: all but plain numbers."""
    if isinstance(item, Leaf):
        return id(item.template), tuple(None if v.base is None else v for v in item.values)
    inside = tuple(map(shape, item.body)), tuple(map(shape, item.rest))
    return item.variable, item.step, inside


def numbers(item: Item) -> Iterator[tuple[str | None, int]]:
    """The plain numbers of an item, each with the index name that it is the value of, if any."""
    if isinstance(item, Leaf):
        yield from ((n, v.offset) for n, v in zip(item.names, item.values, strict=True) if v.base is None)
        return
    for bound in (item.first, item.last):
        if bound.base is None:
            yield None, bound.offset
    for inner in (*item.body, *item.rest):
        yield from numbers(inner)


@dataclass(frozen=True, slots=True)
class Repeat:
    """A group of items that repeats while one index counts up or down."""

    group: tuple[Item, ...]
    variable: str
    first: int
    step: int
    turns: int
    tail: int
    table: tuple[tuple[int, ...], ...]

    @property
    def covered(self) -> int:
        """How many items it stands for."""
        return self.turns * len(self.group) + self.tail

    def is_regular(self) -> bool:
        """Not a single turn and the start of a second, of equations that a rewrite has changed for the first."""
        return self.turns > 1 or not any(isinstance(i, Leaf) and i.template.is_rewritten for i in self.group)

    def loop(self, ranges: Mapping[str, IndexRange]) -> Loop:
        """The same as a loop; a last, shorter turn is the loop's last without `rest`."""
        last = self.first + self.step * (self.turns - (self.tail == 0))
        columns = ([row[at] for row in self.table if at < len(row)] for at in range(len(self.table[0])))
        fill = Fill(self, columns, ranges)
        group = tuple(fill.item(item) for item in self.group)
        cut = self.tail or len(group)
        return Loop(
            self.variable, Position(None, self.first), Position(None, last), self.step, group[:cut], group[cut:]
        )


def repeated(items: list[Item], at: int, period: int, ranges: Mapping[str, IndexRange]) -> Repeat | None:
    """How often the `period` items from `at` on repeat, if they do."""
    group = tuple(items[at : at + period])
    shapes = [shape(item) for item in group]
    first = [number for item in group for number in numbers(item)]
    rows = [tuple(value for _, value in first)]
    variable: str | None = None
    start = step = turns = tail = 0
    while tail == 0:
        block = items[at + period * len(rows) : at + period * (len(rows) + 1)]
        same = next((i for i, item in enumerate(block) if shape(item) != shapes[i]), len(block))
        row = tuple(value for item in block[:same] for _, value in numbers(item))
        if variable is None:
            moved = [(n, a, b - a) for (n, a), b in zip(first, row, strict=False) if n is not None and a != b]
            if not moved or abs(moved[0][2]) != 1 or any(inner_loops(item, moved[0][0]) for item in group):
                return None
            variable, start, step = moved[0]
        while same and not fits([*rows, row], first, start, step):
            same -= 1
            row = tuple(value for item in block[:same] for _, value in numbers(item))
        if same == 0:
            break
        rows.append(row)
        tail = same if same < period else 0
    turns = len(rows) - (tail > 0)
    if variable is None or len(rows) < 2:
        return None
    return Repeat(group, variable, start, step, turns, tail, tuple(rows))


def inner_loops(item: Item, variable: str) -> bool:
    """Whether a loop over this variable stands inside."""
    if isinstance(item, Leaf):
        return False
    return item.variable == variable or any(inner_loops(inner, variable) for inner in (*item.body, *item.rest))


def fits(rows: list[tuple[int, ...]], first: list[tuple[str | None, int]], start: int, step: int) -> bool:
    """Whether index values in the last row stay, or count with the variable; bounds are free."""
    turn = len(rows) - 1
    return all(
        name is None or (value == begin and before == begin) or (value - begin == step * turn and before != begin)
        for (name, begin), value, before in zip(first, rows[-1], rows[1], strict=False)
    )


@dataclass
class Fill:
    """Puts the loop variable of a repeat in for the numbers that count with it."""

    repeat: Repeat
    columns: Iterator[list[int]]
    ranges: Mapping[str, IndexRange]

    def item(self, item: Item) -> Item:
        """An item of the group, over the new loop variable."""
        if isinstance(item, Leaf):
            return replace(item, values=tuple(map(self.index, item.names, item.values)))
        known = self.ranges[item.variable]
        first, last = self.bound(item.first, known.lower, known), self.bound(item.last, known.upper, known)
        body = tuple(self.item(inner) for inner in item.body)
        return replace(item, first=first, last=last, body=body, rest=tuple(self.item(inner) for inner in item.rest))

    def index(self, name: str, value: Position) -> Position:
        """The value of an index name: a number, or the variable plus a number."""
        if value.base is not None:
            return value
        column = next(self.columns)
        counts = column[0] != column[1] if len(column) > 1 else name == self.repeat.variable
        return Position(self.repeat.variable, column[0] - self.repeat.first) if counts else value

    def bound(self, value: Position, declared: Position | None, known: IndexRange) -> Position:
        """A bound of an inner loop: as declared if that fits, else a number, or one for each turn."""
        if value.base is not None:
            return value
        variable, first, step = self.repeat.variable, self.repeat.first, self.repeat.step
        column = next(self.columns)
        turns = [first + step * turn for turn in range(len(column))]
        if declared is not None and isinstance(declared.base, Lookup) and declared.base.constant.index == variable:
            if [declared.value({variable: turn}) for turn in turns] == column:
                return declared
        if len(set(column)) == 1:
            return value
        if all(number - turn == column[0] - first for number, turn in zip(column, turns, strict=True)):
            return Position(variable, column[0] - first)
        ordered = tuple(number for _, number in sorted(zip(turns, column, strict=True)))
        table = Constant(f"turns_{known.name}", variable, min(turns), ordered, known.span)
        return Position(Lookup(table, Position(variable, 0)), 0)
