"""From graph back to loops: runs of equal instances become loops over steps and levels."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from heapq import heapify, heappop, heappush
from itertools import chain, groupby, pairwise, repeat
from operator import add, itemgetter, sub
from typing import Literal

from cldfc.emit.loops import (
    Family,
    ForLoop,
    History,
    Item,
    Leaf,
    Route,
    Slots,
    Turn,
    choose_slots,
    executed,
    find_histories,
    into,
    list_accesses,
    sites,
    turns,
)
from cldfc.network.expand import Instance
from cldfc.network.graph import Graph, Revised, rebuild_graph
from cldfc.network.positions import Binding, Constant, IndexRange, Key, Lookup, OutOfRange, Position
from cldfc.network.program import Template


def _shape(item: Item) -> object:
    """What two items must have in common to be turns of one loop: all but plain numbers."""
    if isinstance(item, Leaf):
        return id(item.template), *[None if value.base is None else value for value in item.values]
    inside = tuple(map(_shape, item.body)), tuple(map(_shape, item.rest))
    return item.variable, item.step, _outline(item.first), _outline(item.last), inside


def _outline(position: Position) -> Position | None:
    """A position over loop variables; None for a plain number."""
    return None if position.base is None else position


@dataclass(frozen=True, slots=True)
class _LoopNumber:
    """A plain number of an item: the value of an index name, or the bound of a loop over one.

    `known` is the range of that name, `declared` what the spec says of the bound.
    """

    name: str
    known: IndexRange
    bound: Literal["", "first", "last"] = ""
    declared: Position | None = None

    @property
    def is_plain(self) -> bool:
        """Whether it either stays or counts with a loop, whatever the variable of that loop is."""
        bounds = self.declared, self.known.lower, self.known.upper
        return all(bound is None or (bound.is_shifted and not isinstance(bound.base, Lookup)) for bound in bounds)

    def counts(self, variable: str) -> bool:
        """Whether it counts with a loop of which there is one turn."""
        return self.declared.base == variable if self.declared is not None else self.name == variable

    def laws(self, value: int, variable: str, turn: int, slope: Fraction) -> list[Position]:
        """Candidates for the number in all turns of a loop, from its value in one; the first that fits is taken.

        `slope` is by how much it grows with the variable, which may be by 2, or by a half.
        """
        laws = self.simple_laws(value, variable, turn)
        if slope <= 0 or slope == 1:
            return laws
        offset = slope.denominator * value - slope.numerator * turn
        return [*laws, Position(variable, offset, slope.numerator, slope.denominator)]

    def simple_laws(self, value: int, variable: str, turn: int) -> list[Position]:
        number, counting = Position(None, value), Position(variable, value - turn)
        if self.declared is not None and self.declared.base == variable and not self.declared.is_shifted:
            at = self.declared.value({variable: turn})
            return [self.declared.shifted(value - at), number]
        looked_up = list(self.looked_up(value, variable, turn))
        if self.declared is not None and isinstance(self.declared.base, Lookup):
            return [*looked_up, number, counting]
        return [counting, number, *looked_up] if self.counts(variable) else [number, counting, *looked_up]

    def looked_up(self, value: int, variable: str, turn: int) -> Iterator[Position]:
        """The constants in the range of the name, at the turn or a neighbour: `ν@ℓ`, `ν@ℓ-1`, plus a number."""
        bounds = (self.declared,) if self.bound else (self.known.upper, self.known.lower)
        bases = [bound.base for bound in bounds if bound is not None]
        found = [base for base in bases if isinstance(base, Lookup)]
        for constant in dict.fromkeys(b.constant for b in found if variable in (b.constant.index, b.at.base)):
            for shift in (0, -1, 1):
                base = constant.at(turn + shift)
                if base is not None:
                    yield Position(Lookup(constant, Position(variable, shift)), value - int(base))


def _values(item: Item) -> list[int]:
    """The plain numbers of an item."""
    if isinstance(item, Leaf):
        return [value.offset for value in item.values if value.base is None]
    found = [bound.offset for bound in (item.first, item.last) if bound.base is None]
    for inner in (*item.body, *item.rest):
        found += _values(inner)
    return found


def _numbers(item: Item, ranges: Mapping[str, IndexRange]) -> Iterator[_LoopNumber]:
    """What is known of each of them; the same for all items of a shape."""
    if isinstance(item, Leaf):
        for name, value in zip(item.names, item.values, strict=True):
            if value.base is None:
                yield _LoopNumber(name, _range_in(item, name, ranges))
        return
    inner: Item = item
    while isinstance(inner, ForLoop):
        inner = (*inner.body, *inner.rest)[0]
    known = _range_in(inner, item.variable, ranges)
    if item.first.base is None:
        yield _LoopNumber(item.variable, known, "first", known.lower)
    if item.last.base is None:
        yield _LoopNumber(item.variable, known, "last", known.upper)
    for inner in (*item.body, *item.rest):
        yield from _numbers(inner, ranges)


def _range_in(leaf: Leaf, name: str, ranges: Mapping[str, IndexRange]) -> IndexRange:
    """The range of an index name in an equation; an end that a `for` leaves open is the declared one."""
    known, declared = leaf.template.ranges.get(name), ranges[name]
    if known is None:
        return declared
    return known.completed(declared)


@dataclass(frozen=True, slots=True)
class _Repeat:
    """A group of items that repeats while one index counts up or down."""

    group: tuple[Item, ...]
    variable: str
    first: int
    step: int
    turns: int
    tail: int
    parts: tuple[_Part, ...]

    @property
    def covered(self) -> int:
        """How many items it stands for."""
        return self.turns * len(self.group) + self.tail

    def is_regular(self) -> bool:
        """False for one turn and the start of a second, if a rewrite has changed the equations of the first."""
        return self.turns > 1 or not any(isinstance(i, Leaf) and i.template.is_rewritten for i in self.group)

    def loop(self) -> ForLoop:
        """The same as a loop; a last, shorter turn is the loop's last without `rest`."""
        last = self.first + self.step * (self.turns - (self.tail == 0))
        positions = (position for part in self.parts for position in part.positions(self))
        group = tuple(_fill(item, positions) for item in self.group)
        cut = self.tail or len(group)
        return ForLoop(
            self.variable, Position(None, self.first), Position(None, last), self.step, group[:cut], group[cut:]
        )


@dataclass
class _Column:
    """A number of a group from turn to turn, and the laws that it has kept so far; of a bound also its values."""

    number: _LoopNumber
    laws: list[Position]
    values: list[int]

    def goes_on(self, variable: str, turn: int, value: int) -> list[Position]:
        """The laws that the next value keeps."""
        return [law for law in self.laws if _keeps(law, variable, turn, value)]

    def is_line(self, variable: str) -> bool:
        """Whether all its laws are straight lines; after two turns they are the same."""
        return all(law.base is None or law.base == variable for law in self.laws)

    def position(self, repeat: _Repeat) -> Position:
        """What stands for the number: its law, or a table with an entry for each turn."""
        if self.laws:
            return self.laws[0]
        turns = [repeat.first + repeat.step * turn for turn in range(len(self.values))]
        ordered = tuple(value for _, value in sorted(zip(turns, self.values, strict=True)))
        known = self.number.known
        table = Constant(
            f"{self.number.bound}_{known.name}", repeat.variable, min(turns), ordered, known.span, by=abs(repeat.step)
        )
        return Position(Lookup(table, Position(repeat.variable, 0)), 0)


def _keeps(law: Position, variable: str, turn: int, value: int) -> bool:
    """Whether a law gives a value at a turn."""
    if law.base is None:
        return law.offset == value
    if law.base == variable:
        return law.factor * turn + law.offset == law.divisor * value
    try:
        return law.value({variable: turn}) == value
    except OutOfRange:
        return False


@dataclass
class _Part:
    """An item of a group from turn to turn: its numbers in the first one and in the latest.

    There is a column for each number; none where all of them either stay or count. `growth` is by how much they all
    go on, once nothing else is possible.
    """

    numbers: tuple[_LoopNumber, ...]
    values: tuple[int, ...]
    latest: tuple[int, ...]
    columns: list[_Column] | None
    growth: tuple[int, ...] | None = None

    def goes_on(self, values: tuple[int, ...], variable: str, turn: int, step: int, may_have_table: bool) -> bool:
        """Whether an item with these numbers can be the next turn; its columns have them then.

        Bounds that follow no law become a table with an entry for each level, but not for each step: that would grow.
        """
        if self.growth is not None:
            if values != tuple(map(add, self.latest, self.growth)):
                return False
        elif self.columns is None:
            growth = tuple(map(sub, values, self.latest))
            if growth.count(0) + growth.count(step) < len(growth):
                return False
            self.growth = growth
        else:
            laws: list[list[Position]] = []
            for column, value in zip(self.columns, values, strict=True):
                kept = column.goes_on(variable, turn, value)
                if not kept and not (column.number.bound and may_have_table):
                    return False
                laws.append(kept)
            for column, kept, value in zip(self.columns, laws, values, strict=True):
                column.laws = kept
                if column.number.bound:
                    column.values.append(value)
            if all(c.is_line(variable) and not (c.number.bound and may_have_table) for c in self.columns):
                self.growth = tuple(map(sub, values, self.latest))
        self.latest = values
        return True

    def positions(self, repeat: _Repeat) -> list[Position]:
        """What stands for each number."""
        if self.columns is not None:
            return [column.position(repeat) for column in self.columns]
        variable, first = repeat.variable, repeat.first
        growing = self.growth or [number.counts(variable) for number in self.numbers]
        pairs = zip(self.values, growing, strict=True)
        return [Position(variable, value - first) if grows else Position(None, value) for value, grows in pairs]


class _Row:
    """Items in a row, with the shape of each, and the values of its numbers."""

    def __init__(self, items: Sequence[Item], ranges: Mapping[str, IndexRange]) -> None:
        self.items = items
        self.ranges = ranges
        numbers: dict[object, int] = {}
        self.shapes = [numbers.setdefault(_shape(item), len(numbers)) for item in items]
        """Equal shapes are the same number."""
        self.values = [tuple(_values(item)) for item in items]
        self.known: dict[int, tuple[tuple[_LoopNumber, ...], bool]] = {}

    @cached_property
    def with_multiples(self) -> list[int]:
        """The places of the items with equations that read `x@2*k`, or use `A@{k/2}`."""
        known: dict[int, bool] = {}

        def is_one(item: Item) -> bool:
            if isinstance(item, ForLoop):
                return any(map(is_one, (*item.body, *item.rest)))
            if id(item.template) not in known:
                known[id(item.template)] = _speaks_of_multiples(item.template)
            return known[id(item.template)]

        firsts = dict(zip(reversed(self.shapes), reversed(self.items), strict=True))
        shapes = {shape for shape, item in firsts.items() if is_one(item)}
        return [at for at, shape in enumerate(self.shapes) if shape in shapes] if shapes else []

    def numbers(self, at: int) -> tuple[_LoopNumber, ...]:
        return self.about(at)[0]

    def about(self, at: int) -> tuple[tuple[_LoopNumber, ...], bool]:
        """The numbers of an item, and whether each of them either stays or counts."""
        found = self.known.get(self.shapes[at])
        if found is None:
            numbers = tuple(_numbers(self.items[at], self.ranges))
            found = self.known[self.shapes[at]] = numbers, all(number.is_plain for number in numbers)
        return found

    def part(self, at: int, variable: str, turn: int, slopes: Iterator[Fraction] | None) -> _Part:
        """An item in the first turn of a loop."""
        (numbers, is_plain), values = self.about(at), self.values[at]
        if (
            is_plain
            and slopes is None
            and not (self.ranges[variable].kind == "levels" and any(n.bound for n in numbers))
        ):
            return _Part(numbers, values, values, None)
        every = repeat(Fraction(1)) if slopes is None else slopes
        laws = [n.laws(value, variable, turn, next(every)) for n, value in zip(numbers, values, strict=True)]
        columns = [_Column(*column) for column in zip(numbers, laws, ([value] for value in values), strict=True)]
        return _Part(numbers, values, values, columns)


def _repeated(row: _Row, at: int, period: int, names: frozenset[str]) -> _Repeat | None:
    """How often the `period` items from `at` on repeat as one of these index names counts, if they do."""
    items, shapes, ranges = row.items, row.shapes, row.ranges
    counted = _counting(row, at, period)
    if counted is None or counted[0] not in names:
        return None
    variable, start, step = counted
    slopes = _slopes(row, at, period, step)
    may_have_table = ranges[variable].kind == "levels"
    parts: list[_Part] = []
    waiting = iter(range(at, min(at + period, len(items))))
    turns, tail = 1, 0
    while tail == 0:
        begin = at + period * turns
        same = 0
        while same < period and begin + same < len(items) and shapes[begin + same] == shapes[at + same]:
            if turns == 1:
                first = next(waiting)
                if _has_loop(items[first], variable):
                    return None
                parts.append(row.part(first, variable, start, slopes))
            if not parts[same].goes_on(row.values[begin + same], variable, start + step * turns, step, may_have_table):
                break
            same += 1
        if same == 0:
            break
        turns, tail = (turns + 1, 0) if same == period else (turns, same)
    is_usual = abs(step) == 1 or any(n.name == variable and abs(n.known.by) == abs(step) for n in row.numbers(at))
    if turns + (tail > 0) < (2 if is_usual else 3):
        return None
    rest = list(waiting)
    if any(_has_loop(items[place], variable) for place in rest):
        return None
    parts += [row.part(place, variable, start, slopes) for place in rest]
    return _Repeat(tuple(items[at : at + period]), variable, start, step, turns, tail, tuple(parts))


def _counting(row: _Row, at: int, period: int) -> tuple[str, int, int] | None:
    """The first index that differs in the second turn by the step of its range, its first value and its step.

    If there is none, the first that differs.
    """
    others: list[tuple[str, int, int]] = []
    for number, one, other in _turn_by_turn(row, at, period):
        if one != other and not number.bound:
            step = other - one
            if step in (1, -1) or abs(step) == abs(number.known.by):
                return number.name, one, step
            others.append((number.name, one, step))
    return others[0] if others else None


def _turn_by_turn(row: _Row, at: int, period: int, changed: bool = True) -> Iterator[tuple[_LoopNumber, int, int]]:
    """Each number of a group in its first two turns, as far as these have the same shapes.

    Where only what has `changed` is asked for, items without a change are left out.
    """
    shapes, values = row.shapes, row.values
    for one, other in zip(range(at, at + period), range(at + period, len(shapes)), strict=False):
        if shapes[one] != shapes[other]:
            return
        if not changed or values[one] != values[other]:
            yield from zip(row.numbers(one), values[one], values[other], strict=True)


def _slopes(row: _Row, at: int, period: int, step: int) -> Iterator[Fraction] | None:
    """By how much each number of a group goes up with the loop variable; None, by 1, without equations of multiples."""
    if bisect_left(row.with_multiples, at) == bisect_left(row.with_multiples, at + period):
        return None
    every = _turn_by_turn(row, at, period, changed=False)
    return chain((Fraction(other - one, step) for _, one, other in every), repeat(Fraction(1)))


def _speaks_of_multiples(template: Template) -> bool:
    uses = (use.positions for step in template.steps for use in step.uses())
    return any(
        not position.is_shifted
        for positions in (*uses, *(read.positions for read in template.reads))
        for position in positions
    )


def _has_loop(item: Item, variable: str) -> bool:
    """Whether a loop over this variable stands inside."""
    if isinstance(item, Leaf):
        return False
    return item.variable == variable or any(_has_loop(inner, variable) for inner in (*item.body, *item.rest))


def _fill(item: Item, positions: Iterator[Position]) -> Item:
    """An item with positions over a new loop variable for its plain numbers."""
    if isinstance(item, Leaf):
        values = tuple([next(positions) if value.base is None else value for value in item.values])
        return Leaf(item.template, item.names, values)
    first, last = (next(positions) if bound.base is None else bound for bound in (item.first, item.last))
    body = tuple(_fill(inner, positions) for inner in item.body)
    return replace(item, first=first, last=last, body=body, rest=tuple(_fill(inner, positions) for inner in item.rest))


_CANDIDATES = 4
_FEW_INSTANCES = 2_000
"""Up to how many equations a second way to find loops is tried, which is seldom better and takes twice the time."""


def schedule(instances: Sequence[Instance], ranges: Mapping[str, IndexRange]) -> list[Item]:
    """The instances as a sequence of leaves and loops. Covers each instance once, in the order given.

    Steps of one equation are rolled up before those of several; unless it is shorter to begin with the latter, which
    is seldom so, and not tried in large networks.
    """
    numbers = {value: Position(None, value) for value in {value for i in instances for value in i.binding.values()}}
    leaves: list[Item] = [
        Leaf(i.template, tuple(i.binding), tuple([numbers[value] for value in i.binding.values()])) for i in instances
    ]
    items = _roll_levels(list(_loops_of_none(_roll_steps(leaves, ranges))), ranges)
    is_short = _length(items) == len({id(instance.template) for instance in instances})
    if is_short or len(instances) > _FEW_INSTANCES:
        return items
    return min(items, _roll_levels(leaves, ranges), key=_length)


def _length(items: Sequence[Item]) -> int:
    """How many equations are written out."""
    return sum(1 for _ in sites(items))


def _roll_levels(items: list[Item], ranges: Mapping[str, IndexRange]) -> list[Item]:
    """Groups of steps become loops, then groups of levels, then what repeats inside these loops."""
    steps = frozenset(name for name, known in ranges.items() if known.kind == "steps")
    items = list(_groups_of_one(_roll_up(items, ranges, steps)))
    items = _roll_inside(_roll_up(items, ranges, frozenset(ranges)), ranges, frozenset(ranges))
    return _drop_empty(items, ())


def _roll_inside(items: Iterable[Item], ranges: Mapping[str, IndexRange], names: frozenset[str]) -> list[Item]:
    """The same with loops inside loops, over the index names that are left there."""
    rolled: list[Item] = []
    for item in items:
        if isinstance(item, ForLoop):
            inner = names - {item.variable}
            body, rest = (_roll_up(_roll_inside(part, ranges, inner), ranges, inner) for part in (item.body, item.rest))
            item = replace(item, body=tuple(body), rest=tuple(rest))
        rolled.append(item)
    return rolled


def _roll_up(items: list[Item], ranges: Mapping[str, IndexRange], names: frozenset[str]) -> list[Item]:
    """Repeated groups become loops over these index names, until none is left."""
    while True:
        rolled = _roll(items, ranges, names)
        if len(rolled) == len(items):
            return items
        items = rolled


def _roll_steps(items: list[Item], ranges: Mapping[str, IndexRange]) -> list[Item]:
    """Runs of one equation become loops; then so does a run of one, where others were longer."""
    rolled: list[Item] = []
    row, names = _Row(items, ranges), frozenset(ranges)
    at = 0
    while at < len(items):
        is_run = row.shapes[at : at + 1] == row.shapes[at + 1 : at + 2]
        repeat = _repeated(row, at, 1, names) if is_run else None
        rolled.append(items[at] if repeat is None else repeat.loop())
        at += 1 if repeat is None else repeat.turns
    axes: set[tuple[object, str]] = set()
    for item in rolled:
        if (
            isinstance(item, ForLoop)
            and isinstance(leaf := item.body[0], Leaf)
            and ranges[item.variable].kind == "steps"
        ):
            axes |= {(id(leaf.template), item.variable), (_tied(leaf), item.variable)}
    for before, item in pairwise(rolled):
        if isinstance(before, Leaf) and isinstance(item, Leaf) and (name := _next_step(before, item, ranges)):
            axes.add((id(item.template), name))
    known = {key for key, _ in axes}
    leaves = {id(item.template): item for item in rolled if isinstance(item, Leaf)}
    elsewhere = {template for template, leaf in leaves.items() if not known.isdisjoint((template, _tied(leaf)))}
    around = zip([None, *rolled], rolled, [*rolled[1:], None], strict=False)
    return [
        _loop_of_one(item, axes, not (_goes_on(before, item) or _goes_on(after, item)))
        if isinstance(item, Leaf) and id(item.template) in elsewhere
        else item
        for before, item, after in around
    ]


def _tied(leaf: Leaf) -> object:
    """An equation as written, with whatever parameters a `tie` leaves it."""
    return None if leaf.template.is_rewritten else _equation(leaf)


def _next_step(before: Leaf, leaf: Leaf, ranges: Mapping[str, IndexRange]) -> str | None:
    """The index that counts on where a rewrite has changed the step before, such as the first after a zero."""
    if leaf.template.is_rewritten or not before.template.is_rewritten:
        return None
    if not _goes_on(before, leaf):
        return None
    steps = zip(leaf.names, before.values, leaf.values, strict=True) if before.names == leaf.names else ()
    moved = [(name, new.offset - old.offset) for name, old, new in steps if old != new]
    return moved[0][0] if len(moved) == 1 and moved[0][1] == 1 and ranges[moved[0][0]].kind == "steps" else None


def _loops_of_none(items: list[Item]) -> Iterator[Item]:
    """An empty loop where a level has only the step before it, if other levels have a loop there."""
    known: dict[tuple[int, str], ForLoop] = {}
    for before, item in pairwise(items):
        if isinstance(before, Leaf) and isinstance(item, ForLoop) and isinstance(inner := item.body[0], Leaf):
            if _goes_on(inner, before) and inner.names == before.names:
                known[_equation(before)] = item
    if not known:
        yield from items
        return
    for item, after in pairwise([*items, None]):
        assert item is not None
        yield item
        loop = known.get(_equation(item)) if isinstance(item, Leaf) else None
        if loop is not None and isinstance(item, Leaf) and not _goes_on(after, item):
            inner = loop.body[0]
            assert isinstance(inner, Leaf)
            at = inner.names.index(loop.variable)
            values = (*item.values[:at], inner.values[at], *item.values[at + 1 :])
            body = replace(inner, values=values)
            yield ForLoop(loop.variable, item.values[at].shifted(1), item.values[at], 1, (body,))


def _goes_on(item: Item | None, leaf: Leaf) -> bool:
    """Whether an item goes on with the equation of a leaf."""
    inner = item.body[0] if isinstance(item, ForLoop) else item
    if not isinstance(inner, Leaf) or inner.template.statement is not leaf.template.statement:
        return False
    return inner.template.family == leaf.template.family


def _equation(leaf: Leaf) -> tuple[int, str]:
    """The equation of a leaf, however a rewrite has changed it; the terms of its reductions are other equations."""
    return id(leaf.template.statement), leaf.template.family


def _drop_empty(items: Sequence[Item], route: Route) -> list[Item]:
    """The items without empty loops."""
    kept: list[Item] = []
    for item in items:
        if isinstance(item, Leaf):
            kept.append(item)
        elif turns(into(route, item, False)):
            body, rest = (
                _drop_empty(part, into(route, item, into_rest))
                for part, into_rest in ((item.body, False), (item.rest, True))
            )
            kept.append(replace(item, body=tuple(body), rest=tuple(rest)))
    return kept


def _loop_of_one(leaf: Leaf, axes: set[tuple[object, str]], is_alone: bool) -> Item:
    """A single step as a loop, when steps of its equation are loops elsewhere."""
    for at, name in enumerate(leaf.names):
        if (id(leaf.template), name) in axes or (is_alone and _tied(leaf) and (_tied(leaf), name) in axes):
            only = leaf.values[at]
            values = (*leaf.values[:at], Position(name, 0), *leaf.values[at + 1 :])
            return ForLoop(name, only, only, 1, (replace(leaf, values=values),))
    return leaf


def _groups_of_one(items: list[Item]) -> Iterator[Item]:
    """Single steps of several equations as loops, when steps of these equations are loops elsewhere."""
    known: dict[tuple[int, ...], ForLoop] = {}
    for item in items:
        if isinstance(item, ForLoop) and len(item.body) > 1 and not item.rest and (group := _templates(item.body)):
            known[group] = item
    at = 0
    while at < len(items):
        found = (
            _only_turn(loop, items[at : at + len(group)])
            for group, loop in known.items()
            if _templates(items[at : at + len(group)]) == group
        )
        loop = next((loop for loop in found if loop is not None), None)
        yield items[at] if loop is None else loop
        at += 1 if loop is None else len(loop.body)


def _templates(items: Sequence[Item]) -> tuple[int, ...]:
    """The equations of some leaves; nothing if there is a loop among them."""
    leaves = [id(item.template) for item in items if isinstance(item, Leaf)]
    return tuple(leaves) if len(leaves) == len(items) else ()


def _only_turn(loop: ForLoop, group: Sequence[Item]) -> ForLoop | None:
    """The loop with these leaves as its only turn, if they are one."""
    turns: set[int] = set()
    body: list[Item] = []
    for leaf, model in zip(group, loop.body, strict=True):
        if not isinstance(leaf, Leaf) or not isinstance(model, Leaf):
            return None
        pairs = list(zip(leaf.values, model.values, strict=True))
        turns |= {value.offset - counting.offset for value, counting in pairs if counting.base == loop.variable}
        values = tuple(counting if counting.base == loop.variable else value for value, counting in pairs)
        body.append(replace(leaf, values=values))
    only = Position(None, turns.pop())
    return None if turns else ForLoop(loop.variable, only, only, 1, tuple(body))


def _roll(items: list[Item], ranges: Mapping[str, IndexRange], names: frozenset[str]) -> list[Item]:
    """One pass that turns repeated groups of items into loops, the shortest ones: inner loops come before outer ones.

    Groups count as equally long from one power of two to the next; of those that start at an item, the one that covers
    most is taken.
    """
    row = _Row(items, ranges)
    for candidates in _candidates(row.shapes):
        rolled: list[Item] = []
        passed = 0
        for at, periods in candidates:
            if at < passed:
                continue
            best: _Repeat | None = None
            for period in periods:
                found = _repeated(row, at, period, names)
                if found and found.is_regular() and (best is None or found.covered > best.covered):
                    best = found
            if best is not None:
                rolled += [*items[passed:at], best.loop()]
                passed = at + best.covered
        if passed:
            return [*rolled, *items[passed:]]
    return items


def _candidates(shapes: Sequence[int]) -> Iterator[Iterator[tuple[int, list[int]]]]:
    """Where repeated groups may begin, and how long these may be, to the next few items of the same shape; short first.

    One after the other has the groups from one power of two to the next, in the order of their beginnings.
    """
    alike: dict[int, list[int]] = {}
    for at, shape in enumerate(shapes):
        alike.setdefault(shape, []).append(at)
    by_length: dict[int, list[tuple[int, int]]] = {}
    for places in alike.values():
        for next in range(1, _CANDIDATES + 1):
            for at, other in zip(places, places[next:], strict=False):
                by_length.setdefault((other - at).bit_length(), []).append((at, other - at))
    for _, found in sorted(by_length.items()):
        yield ((at, [length for _, length in some]) for at, some in groupby(sorted(found), itemgetter(0)))


def arrange(graph: Graph) -> tuple[Graph, list[Item]]:
    """A network and its loops, in the order of demand, or by levels and steps where that makes fewer lines.

    x@i that needs y@i-1, and y@i that needs x@i-1, are asked for in zigzag: x@1, y@1, y@2, x@2, x@3, y@3. What
    draws at random, or has statistics that several places share, stays in the order of demand.
    """
    items = schedule(graph.instances, graph.program.ranges)
    is_shortest = _length(items) == len({id(instance.template) for instance in graph.instances})
    if is_shortest or _depends_on_order(graph) or _is_no_shorter_by_steps(graph):
        return graph, items
    order = _by_steps(graph.instances)
    others = schedule([graph.instances[number] for number in order], graph.program.ranges)
    if _length(others) >= _length(items):
        return graph, items
    rebuilt = rebuild_graph(graph, [_graph_part(graph, number) for number in order])
    return replace(rebuilt, written=graph.written), others


def _is_no_shorter_by_steps(graph: Graph) -> bool:
    """Whether the first equations of a large network make no fewer lines by levels and steps.

    They say so for the whole network: each equation that holds more than once is among them, and then some thousands.
    """
    templates = [id(instance.template) for instance in graph.instances]
    seen, repeated = set[int](), dict[int, int]()
    for at, template in enumerate(templates):
        if template in seen:
            repeated.setdefault(template, at)
        seen.add(template)
    count = max(repeated.values(), default=0) + _FEW_INSTANCES
    if 2 * count > len(templates):
        return False
    first, ranges = graph.instances[:count], graph.program.ranges
    by_steps = schedule([first[number] for number in _by_steps(first)], ranges)
    return _length(by_steps) >= _length(schedule(first, ranges))


def _depends_on_order(graph: Graph) -> bool:
    """Whether the order makes a difference: of random draws, or of updates of the same statistics."""
    uses = Counter(node.parameter for node in graph.nodes() if not node.operator.repeatable)
    return None in uses or any(count > 1 for count in uses.values())


def _graph_part(graph: Graph, number: int) -> Revised:
    """An equation as it is."""
    instance = graph.instances[number]
    return Revised(instance.template, instance.binding, instance.value, tuple(graph.members[number]))


def _by_steps(instances: Sequence[Instance]) -> list[int]:
    """The equations by level and step, as far as each comes after those that it needs; else in the order given."""
    number_of = {instance.value: number for number, instance in enumerate(instances)}
    waits: list[int] = []
    readers: list[list[int]] = [[] for _ in instances]
    for number, instance in enumerate(instances):
        keys = {key for read in instance.template.reads for key in read.keys(instance.binding)}
        needed = [number_of[key] for key in keys if key in number_of]
        waits.append(len(needed))
        for other in needed:
            readers[other].append(number)
    first = {instance.value[0]: number for number, instance in reversed([*enumerate(instances)])}
    places = [(*_place(instance), first[instance.value[0]]) for instance in instances]
    ready = [(places[number], number) for number, count in enumerate(waits) if not count]
    heapify(ready)
    order: list[int] = []
    while ready:
        number = heappop(ready)[1]
        order.append(number)
        for reader in readers[number]:
            waits[reader] -= 1
            if not waits[reader]:
                heappush(ready, (places[reader], reader))
    return order


def _place(instance: Instance) -> tuple[int, ...]:
    """The tag of a value, its level first."""
    tag, level = instance.value[1], instance.template.level
    return (*tag[level : level + 1], *tag[:level], *tag[level + 1 :])


@dataclass(frozen=True)
class Execution:
    """What `forward` computes: its loops, the equations in the order of their execution, and where values live."""

    items: list[Item]
    instances: list[Instance]
    slots: Slots
    histories: dict[Family, History]

    @property
    def kept(self) -> list[Family]:
        """The families that need a dictionary."""
        return [family for family, slot in self.slots.items() if slot and family not in self.histories]


def execute(graph: Graph, items: list[Item]) -> Execution:
    """The loops of a network with its neighbouring equations in the order that needs the fewest dictionaries.

    u@2,0 that needs u@1,3, and then u@2,-1 that needs u@1,2, are computed the other way round: u@2,1 finds u@2,0
    where later steps find the one before them. That can only help where equations of one family change places.
    """
    execution = _live(items, list(graph.instances))
    if not execution.kept or _depends_on_order(graph):
        return execution
    unsettled = {family for family, _ in execution.kept}
    other = _by_tags(items, (), unsettled)
    if all(_accessing(items, family) == _accessing(other, family) for family in unsettled):
        return execution
    waiting = {leaf: iter(instances) for leaf, instances in _leaf_instances(items, graph.instances).items()}
    changed = _live(other, [next(waiting[id(leaf)]) for leaf in executed(other)])
    return changed if len(changed.kept) < len(execution.kept) else execution


def _live(items: list[Item], instances: list[Instance]) -> Execution:
    """Where values live when these loops are executed."""
    accesses = list_accesses(instances)
    slots = choose_slots(accesses)
    histories = find_histories(list(executed(items)), accesses, slots) if any(slots.values()) else {}
    return Execution(items, instances, slots, histories)


def _leaf_instances(items: Sequence[Item], instances: Sequence[Instance]) -> dict[int, list[Instance]]:
    """The equations that each leaf computes, by its id."""
    found: dict[int, list[Instance]] = {}
    for leaf, instance in zip(executed(items), instances, strict=True):
        found.setdefault(id(leaf), []).append(instance)
    return found


def _accessing(items: Sequence[Item], family: str) -> list[int]:
    """The equations that read or write a family, by their ids, in the order of the schedule."""
    leaves = (site.leaf for site in sites(items))
    return [
        id(leaf) for leaf in leaves if family in (leaf.template.family, *(read.family for read in leaf.template.reads))
    ]


def _by_tags(items: Sequence[Item], route: Route, unsettled: set[str]) -> list[Item]:
    """The schedule with those neighbours first that write no unsettled family, and then by their tags."""
    found: list[Item] = []
    for is_leaf, some in groupby(items, lambda item: isinstance(item, Leaf)):
        run = list(some)
        if is_leaf and len(run) > 1:
            run = _sort_leaves([item for item in run if isinstance(item, Leaf)], turns(route), unsettled)
        found += run
    return [
        item
        if isinstance(item, Leaf)
        else replace(
            item,
            body=tuple(_by_tags(item.body, into(route, item, False), unsettled)),
            rest=tuple(_by_tags(item.rest, into(route, item, True), unsettled)),
        )
        for item in found
    ]


def _sort_leaves(leaves: list[Leaf], at: Sequence[Turn], unsettled: set[str]) -> list[Item]:
    """Equations that follow each other, each after those that it needs."""
    numbers = range(len(leaves))
    needs = [{o for o in numbers if o != one and _needs(leaves[one], leaves[o], at)} for one in numbers]
    tags = [_written(leaf, _binding(leaf, at[0]))[1] for leaf in leaves]
    left = set(numbers)
    order: list[Item] = []
    while left:
        ready = [one for one in left if needs[one].isdisjoint(left)]
        best = min(ready, key=lambda one: (leaves[one].template.family in unsettled, tags[one], one))
        order.append(leaves[best])
        left.remove(best)
    return order


def _needs(leaf: Leaf, other: Leaf, at: Sequence[Turn]) -> bool:
    """Whether an equation reads what another one writes in the same turn."""
    reads = [read for read in leaf.template.reads if read.family == other.template.family]
    return bool(reads) and any(
        _written(other, _binding(other, turn)) in read.keys(_binding(leaf, turn)) for turn in at for read in reads
    )


def _binding(leaf: Leaf, turn: Turn) -> dict[str, int]:
    return {name: position.value(turn) for name, position in leaf.binding().items()}


def _written(leaf: Leaf, binding: Binding) -> Key:
    return leaf.template.family, tuple(position.value(binding) for position in leaf.template.left)
