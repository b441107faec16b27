"""Groups of equations that repeat while one index counts: what a loop is made from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from cldfc.emit.loops import ForLoop, Item, Leaf
from cldfc.network.positions import Constant, IndexRange, Lookup, OutOfRange, Position


def shape(item: Item) -> object:
    """What two items must have in common to be turns of one loop: all but plain numbers."""
    if isinstance(item, Leaf):
        return id(item.template), tuple(map(outline, item.values))
    inside = tuple(map(shape, item.body)), tuple(map(shape, item.rest))
    return item.variable, item.step, outline(item.first), outline(item.last), inside


def outline(position: Position) -> Position | None:
    """A position over loop variables; None for a plain number."""
    return None if position.base is None else position


@dataclass(frozen=True, slots=True)
class LoopNumber:
    """A plain number of an item: the value of an index name, or the bound of a loop over one.

    `known` is the range of that name, `declared` what the spec says of the bound.
    """

    value: int
    name: str
    known: IndexRange
    bound: Literal["", "first", "last"] = ""
    declared: Position | None = None

    def laws(self, variable: str, turn: int) -> list[Position]:
        """What the number may be in every turn of a loop, given one of them; the first that fits is taken."""
        number, counting = Position(None, self.value), Position(variable, self.value - turn)
        looked_up = list(self.looked_up(variable, turn))
        if self.declared is not None and isinstance(self.declared.base, Lookup):
            return [*looked_up, number, counting]
        counts = self.declared.base == variable if self.declared is not None else self.name == variable
        return [counting, number, *looked_up] if counts else [number, counting, *looked_up]

    def looked_up(self, variable: str, turn: int) -> Iterator[Position]:
        """The constants in the range of the name, at the turn or a neighbour: `ν@ℓ`, `ν@ℓ-1`, plus a number."""
        bounds = (self.declared,) if self.bound else (self.known.upper, self.known.lower)
        bases = [bound.base for bound in bounds if bound is not None]
        found = [base for base in bases if isinstance(base, Lookup)]
        for constant in dict.fromkeys(b.constant for b in found if variable in (b.constant.index, b.at.base)):
            for shift in (0, -1, 1):
                value = constant.at(turn + shift)
                if value is not None:
                    yield Position(Lookup(constant, Position(variable, shift)), self.value - int(value))


def numbers(item: Item, ranges: Mapping[str, IndexRange]) -> Iterator[LoopNumber]:
    """The plain numbers of an item."""
    if isinstance(item, Leaf):
        for name, value in zip(item.names, item.values, strict=True):
            if value.base is None:
                yield LoopNumber(value.offset, name, range_in(item, name, ranges))
        return
    inner: Item = item
    while isinstance(inner, ForLoop):
        inner = (*inner.body, *inner.rest)[0]
    known = range_in(inner, item.variable, ranges)
    if item.first.base is None:
        yield LoopNumber(item.first.offset, item.variable, known, "first", known.lower)
    if item.last.base is None:
        yield LoopNumber(item.last.offset, item.variable, known, "last", known.upper)
    for inner in (*item.body, *item.rest):
        yield from numbers(inner, ranges)


def range_in(leaf: Leaf, name: str, ranges: Mapping[str, IndexRange]) -> IndexRange:
    """The range of an index name in an equation; an end that a `for` leaves open is the declared one."""
    known, declared = leaf.template.ranges.get(name), ranges[name]
    if known is None:
        return declared
    if known.lower is not None and known.upper is not None:
        return known
    lower = declared.lower if known.lower is None else known.lower
    return replace(known, lower=lower, upper=declared.upper if known.upper is None else known.upper)


@dataclass(frozen=True, slots=True)
class Repeat:
    """A group of items that repeats while one index counts up or down; a column for each number in it."""

    group: tuple[Item, ...]
    variable: str
    first: int
    step: int
    turns: int
    tail: int
    columns: tuple[Column, ...]

    @property
    def covered(self) -> int:
        """How many items it stands for."""
        return self.turns * len(self.group) + self.tail

    def is_regular(self) -> bool:
        """Not a single turn and the start of a second, of equations that a rewrite has changed for the first."""
        return self.turns > 1 or not any(isinstance(i, Leaf) and i.template.is_rewritten for i in self.group)

    def loop(self) -> ForLoop:
        """The same as a loop; a last, shorter turn is the loop's last without `rest`."""
        last = self.first + self.step * (self.turns - (self.tail == 0))
        positions = (column.position(self) for column in self.columns)
        group = tuple(fill(item, positions) for item in self.group)
        cut = self.tail or len(group)
        return ForLoop(
            self.variable, Position(None, self.first), Position(None, last), self.step, group[:cut], group[cut:]
        )


@dataclass
class Column:
    """A number of a group from turn to turn, and the laws that it has kept so far."""

    number: LoopNumber
    laws: list[Position]
    values: list[int]

    def goes_on(self, variable: str, turn: int, value: int) -> list[Position]:
        """The laws that the next value keeps."""
        return [law for law in self.laws if keeps(law, variable, turn, value)]

    def position(self, repeat: Repeat) -> Position:
        """What stands for the number: its law, or a table with an entry for each turn."""
        if self.laws:
            return self.laws[0]
        turns = [repeat.first + repeat.step * turn for turn in range(len(self.values))]
        ordered = tuple(value for _, value in sorted(zip(turns, self.values, strict=True)))
        known = self.number.known
        table = Constant(f"{self.number.bound}_{known.name}", repeat.variable, min(turns), ordered, known.span)
        return Position(Lookup(table, Position(repeat.variable, 0)), 0)


def keeps(law: Position, variable: str, turn: int, value: int) -> bool:
    """Whether a law gives a value at a turn."""
    try:
        return law.value({variable: turn}) == value
    except OutOfRange:
        return False


def repeated(items: Sequence[Item], at: int, period: int, ranges: Mapping[str, IndexRange]) -> Repeat | None:
    """How often the `period` items from `at` on repeat, if they do."""
    group = tuple(items[at : at + period])
    shapes = [shape(item) for item in group]
    counted = counting(group, items[at + period : at + 2 * period], ranges)
    if counted is None or any(has_loop(item, counted[0]) for item in group):
        return None
    variable, start, step = counted
    parts = [[Column(n, n.laws(variable, start), [n.value]) for n in numbers(item, ranges)] for item in group]
    turns, tail = 1, 0
    while tail == 0:
        block = items[at + period * turns : at + period * (turns + 1)]
        same = 0
        while same < len(block) and shape(block[same]) == shapes[same]:
            if not go_on(parts[same], block[same], variable, start + step * turns, ranges):
                break
            same += 1
        if same == 0:
            break
        turns, tail = (turns + 1, 0) if same == period else (turns, same)
    if turns + (tail > 0) < 2:
        return None
    return Repeat(group, variable, start, step, turns, tail, tuple(column for part in parts for column in part))


def counting(
    group: Sequence[Item], block: Sequence[Item], ranges: Mapping[str, IndexRange]
) -> tuple[str, int, int] | None:
    """The first index that differs in the second turn, its first value and its step, if that is 1 or -1."""
    for item, other in zip(group, block, strict=False):
        if shape(item) != shape(other):
            return None
        for one, two in zip(numbers(item, ranges), numbers(other, ranges), strict=True):
            if not one.bound and one.value != two.value:
                step = two.value - one.value
                return (one.name, one.value, step) if abs(step) == 1 else None
    return None


def go_on(part: Sequence[Column], item: Item, variable: str, turn: int, ranges: Mapping[str, IndexRange]) -> bool:
    """Whether an item can be the next turn of another; its columns have its numbers then.

    Bounds that follow no law are a table for each level, but none for each step: that would grow with the steps.
    """
    values = [number.value for number in numbers(item, ranges)]
    laws = [column.goes_on(variable, turn, value) for column, value in zip(part, values, strict=True)]
    may_have_table = ranges[variable].kind == "levels"
    if not all(kept or (column.number.bound and may_have_table) for column, kept in zip(part, laws, strict=True)):
        return False
    for column, kept, value in zip(part, laws, values, strict=True):
        column.laws = kept
        column.values.append(value)
    return True


def has_loop(item: Item, variable: str) -> bool:
    """Whether a loop over this variable stands inside."""
    if isinstance(item, Leaf):
        return False
    return item.variable == variable or any(has_loop(inner, variable) for inner in (*item.body, *item.rest))


def fill(item: Item, positions: Iterator[Position]) -> Item:
    """An item with positions over a new loop variable for its plain numbers."""
    if isinstance(item, Leaf):
        return replace(item, values=tuple(next(positions) if value.base is None else value for value in item.values))
    first, last = (next(positions) if bound.base is None else bound for bound in (item.first, item.last))
    body = tuple(fill(inner, positions) for inner in item.body)
    return replace(item, first=first, last=last, body=body, rest=tuple(fill(inner, positions) for inner in item.rest))
