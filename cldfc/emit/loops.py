"""The loops of a generated class, and where values live while they run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

from cldfc.network.expand import Instance
from cldfc.network.positions import Key, Position, Positions
from cldfc.network.program import Read, Reads, Template


@dataclass(frozen=True, slots=True)
class Leaf:
    """One equation, with a position over loop variables for each of its index names."""

    template: Template
    names: tuple[str, ...]
    values: tuple[Position, ...]

    def binding(self) -> dict[str, Position]:
        """What each index name of the equation stands for."""
        return dict(zip(self.names, self.values, strict=True))


@dataclass(frozen=True, slots=True)
class ForLoop:
    """`for variable = first, first + step, …, last`; in the last turn, `rest` is left out."""

    variable: str
    first: Position
    last: Position
    step: int
    body: tuple[Item, ...]
    rest: tuple[Item, ...] = ()


Item = Leaf | ForLoop

Turn = dict[str, int]


@dataclass(frozen=True)
class Hop:
    """The way into a loop: to its body, or to its `rest`, which the last turn leaves out; and that to it, if any."""

    loop: ForLoop
    into_rest: bool
    outer: Hop | None

    @cached_property
    def turns(self) -> list[Turn]:
        """The values of the loop variable, with those of the loops around."""
        return [turn for outer in (self.outer.turns if self.outer else [{}]) for turn in self.turns_in(outer)]

    def turns_in(self, outer: Turn) -> Iterator[Turn]:
        loop = self.loop
        first, last = loop.first.value(outer), loop.last.value(outer)
        stop = last if self.into_rest else last + loop.step
        for value in range(first, stop, loop.step):
            yield {**outer, loop.variable: value}


Route = tuple[Hop, ...]


def into(route: Route, loop: ForLoop, into_rest: bool) -> Route:
    """The route that goes on into a loop."""
    return *route, Hop(loop, into_rest, route[-1] if route else None)


def turns(route: Route) -> Sequence[Turn]:
    """All values of the loop variables on a route."""
    return route[-1].turns if route else ({},)


@dataclass(frozen=True, slots=True)
class Site:
    """A leaf in the schedule: the loops around it, and its index in each container on the way."""

    leaf: Leaf
    route: Route
    indices: tuple[int, ...]


def sites(items: Sequence[Item], route: Route = (), indices: tuple[int, ...] = ()) -> Iterator[Site]:
    """Every leaf of a schedule, in order."""
    for index, item in enumerate(items):
        here = (*indices, index)
        if isinstance(item, Leaf):
            yield Site(item, route, here)
        else:
            yield from sites(item.body, into(route, item, False), here)
            yield from sites(item.rest, into(route, item, True), here)


def executed(items: Sequence[Item], turn: Turn | None = None) -> Iterator[Leaf]:
    """Every leaf of a schedule, as often as it is executed, in order."""
    outer = turn or {}
    for item in items:
        if isinstance(item, Leaf):
            yield item
            continue
        first, last = item.first.value(outer), item.last.value(outer)
        for value in range(first, last + item.step, item.step):
            inner = {**outer, item.variable: value}
            yield from executed(item.body, inner)
            if value != last:
                yield from executed(item.rest, inner)


Family = tuple[str, int]
Slots = dict[Family, tuple[int, ...]]
"""For each family, the places of its tag that tell its variables apart; none: one variable."""


Access = tuple[int, Read | Reads | None, tuple[int, ...]]
"""An equation by its number, what it reads, or None where it writes, and the indices of the value."""


def list_accesses(instances: Sequence[Instance]) -> dict[Family, list[Access]]:
    """Reads and writes of each family, in the order in which they happen."""
    found: dict[Family, list[Access]] = {}
    known: dict[int, tuple[list[tuple[Read | Reads, list[Access]]], list[Access]]] = {}
    for number, instance in enumerate(instances):
        template, (family, indices) = instance.template, instance.value
        if id(template) not in known:
            reads = [(read, found.setdefault((read.family, len(read.positions)), [])) for read in template.reads]
            known[id(template)] = reads, found.setdefault((family, len(indices)), [])
        reads, writes = known[id(template)]
        for read, some in reads:
            for _, tag in read.keys(instance.binding):
                some.append((number, read, tag))
        writes.append((number, None, indices))
    return found


def choose_slots(accesses: Mapping[Family, Sequence[Access]]) -> Slots:
    """The fewest indices for each family with which every read finds its value."""
    return {family: fewest_indices(family[1], some) for family, some in accesses.items()}


def _reads(instance: Instance) -> list[Key]:
    """The values that an instance reads."""
    return [key for read in instance.template.reads for key in read.keys(instance.binding)]


def fewest_indices(arity: int, accesses: Sequence[Access]) -> tuple[int, ...]:
    """The first choice of indices, from none to all, that works."""
    choices = (choice for size in range(arity) for choice in combinations(range(arity), size))
    return next((choice for choice in choices if _works(choice, accesses)), tuple(range(arity)))


def _works(choice: tuple[int, ...], accesses: Sequence[Access]) -> bool:
    """Whether no read finds its value overwritten by another."""
    held: dict[tuple[int, ...], tuple[int, ...]] = {}
    for _, read, indices in accesses:
        slot = tuple([indices[place] for place in choice])
        if read is None:
            held[slot] = indices
        elif held.get(slot, indices) != indices:
            return False
    return True


def input_is_done(instances: Sequence[Instance], input: str) -> bool:
    """Whether nothing reads the input once a value of the family with its name exists."""
    written = False
    for instance in instances:
        if written and (input, ()) in _reads(instance):
            return False
        written = written or instance.value[0] == input
    return True


@dataclass(frozen=True, slots=True)
class History:
    """A family in a variable for its newest value, and others for those before: `u`, `u_old`, `u_old_2`.

    `shifts` says how many of them an equation moves on before it writes, `ages` how old the value of each of its reads
    is; the keys are ids of leaves. Many values are kept in a tuple of this `length`, the newest first.
    """

    shifts: dict[int, int]
    ages: dict[tuple[int, Positions], int]
    length: int = 0


_MOST_IN_VARIABLES = 3
"""The values of a family that variables hold at most."""
_MOST_IN_A_TUPLE = 32
_MOST_PASSES = 12


def find_histories(
    leaves: Sequence[Leaf], accesses: Mapping[Family, Sequence[Access]], slots: Slots
) -> dict[Family, History]:
    """The families that would need a dictionary, but are read only as far back as a few variables reach.

    Leaves come in the order of their execution.
    """
    found: dict[Family, History] = {}
    for family, some in accesses.items():
        if slots[family] and not any(isinstance(read, Reads) for _, read, _ in some):
            own = [(id(leaves[number]), read and read.positions, indices) for number, read, indices in some]
            history = _find_history(own) or _find_tuple(own)
            if history is not None:
                found[family] = history
    return found


_LeafAccess = tuple[int, Positions | None, tuple[int, ...]]
"""An equation, the positions of what it reads, or None where it writes, and the indices of the value."""


def _find_history(accesses: Sequence[_LeafAccess]) -> History | None:
    """How a family is kept in a few variables; None if they would not do.

    Values older than the last but one are only for the family's own recurrence; elsewhere a dictionary is easier to
    read. An equation moves on as many values as any of its turns needs. That changes what later turns find, so the
    computation is simulated until nothing changes.
    """
    writers = {leaf for leaf, positions, _ in accesses if positions is None}
    last_read = {indices: at for at, (_, positions, indices) in enumerate(accesses) if positions is not None}
    shifts: dict[int, int] = {}
    for _ in range(_MOST_PASSES):
        before = dict(shifts)
        ages: dict[tuple[int, Positions], set[int]] = {}
        held: list[tuple[int, ...]] = []
        for at, (leaf, positions, indices) in enumerate(accesses):
            if positions is not None:
                if indices not in held:
                    return None
                age = held.index(indices)
                if age > 1 and leaf not in writers:
                    return None
                ages.setdefault((leaf, positions), set()).add(age)
                continue
            shift = shifts.get(leaf, 0)
            while shift < len(held) and last_read.get(held[shift], -1) > at:
                shift += 1
            if shift > len(held) or shift >= _MOST_IN_VARIABLES:
                return None
            shifts[leaf] = shift
            held[: shift + 1] = [indices, *held[:shift]]
        if shifts == before:
            is_fixed = all(len(found) == 1 for found in ages.values())
            return History(shifts, {read: min(found) for read, found in ages.items()}) if is_fixed else None
    return None


def _find_tuple(accesses: Sequence[_LeafAccess]) -> History | None:
    """How a family is kept in a tuple of its newest values.

    None if the value of some read is not always equally old, or if no read goes back far enough to need a tuple.
    """
    numbers: dict[tuple[int, ...], int] = {}
    ages: dict[tuple[int, Positions], int] = {}
    writers = {leaf for leaf, positions, _ in accesses if positions is None}
    for leaf, positions, indices in accesses:
        if positions is None:
            numbers[indices] = len(numbers)
            continue
        age = len(numbers) - 1 - numbers.get(indices, len(numbers))
        if not 0 <= age < _MOST_IN_A_TUPLE or (age > 1 and leaf not in writers):
            return None
        if ages.setdefault((leaf, positions), age) != age:
            return None
    length = max(ages.values(), default=0) + 1
    return History({}, ages, length) if length > _MOST_IN_VARIABLES else None
