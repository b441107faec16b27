"""The loops of a generated class: equations in loops over steps and levels, and the turns that they take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cldfc.network.positions import Position
from cldfc.network.program import Template


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
    """`for variable = first, first ± 1, …, last`; in the last turn, `rest` is left out."""

    variable: str
    first: Position
    last: Position
    step: int
    body: tuple[Item, ...]
    rest: tuple[Item, ...] = ()


Item = Leaf | ForLoop

Turn = dict[str, int]


@dataclass(frozen=True, slots=True)
class Hop:
    """The way into a loop: to its body, or to its `rest`, which the last turn leaves out."""

    loop: ForLoop
    into_rest: bool

    def turns(self, outer: Turn) -> Iterator[Turn]:
        """The values of the loop variable, with those of the loops around."""
        loop = self.loop
        first, last = loop.first.value(outer), loop.last.value(outer)
        stop = last if self.into_rest else last + loop.step
        for value in range(first, stop, loop.step):
            yield {**outer, loop.variable: value}


Route = tuple[Hop, ...]


def turns(route: Route) -> list[Turn]:
    """All values of the loop variables on a route."""
    found: list[Turn] = [{}]
    for hop in route:
        found = [turn for outer in found for turn in hop.turns(outer)]
    return found


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
            yield from sites(item.body, (*route, Hop(item, False)), here)
            yield from sites(item.rest, (*route, Hop(item, True)), here)


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
