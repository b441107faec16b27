"""From graph back to loops: runs of equal instances become loops over steps and levels.

The instances of a network come in an order in which they can be computed. Neighbours that come
from one equation, with one index that counts up or down, are one loop; groups of such that repeat
from level to level are one loop over levels. What is left over stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from cldfc.emit.loops import ForLoop, Hop, Item, Leaf, Route, sites, turns
from cldfc.emit.repeats import repeated, shape
from cldfc.network.expand import Instance
from cldfc.network.positions import IndexRange, Position

CANDIDATES = 4


def schedule(instances: Sequence[Instance], ranges: Mapping[str, IndexRange]) -> list[Item]:
    """The instances as a sequence of leaves and loops. Covers each instance once, in the order given.

    Steps of one equation are rolled up before those of several; unless it is shorter to begin with the latter.
    """
    leaves: list[Item] = [
        Leaf(i.template, tuple(i.binding), tuple(Position(None, v) for v in i.binding.values())) for i in instances
    ]
    items = roll_levels(list(loops_of_none(roll_steps(leaves, ranges))), ranges)
    if length(items) == len({id(instance.template) for instance in instances}):
        return items
    return min(items, roll_levels(leaves, ranges), key=length)


def length(items: Sequence[Item]) -> int:
    """How many equations are written out."""
    return sum(1 for _ in sites(items))


def roll_levels(items: list[Item], ranges: Mapping[str, IndexRange]) -> list[Item]:
    """Groups of steps become loops, then groups of levels."""
    items = list(groups_of_one(roll_up(items, ranges, frozenset({"steps"}))))
    return drop_empty(roll_up(items, ranges, frozenset({"steps", "levels"})), ())


def roll_up(items: list[Item], ranges: Mapping[str, IndexRange], kinds: frozenset[str]) -> list[Item]:
    """Repeated groups become loops over indices of these kinds, until none is left."""
    while True:
        rolled = list(roll(items, ranges, kinds))
        if len(rolled) == len(items):
            return items
        items = rolled


def roll_steps(items: list[Item], ranges: Mapping[str, IndexRange]) -> list[Item]:
    """Runs of one equation become loops; then so does a run of one, where others were longer."""
    rolled: list[Item] = []
    at = 0
    while at < len(items):
        repeat = repeated(items, at, 1, ranges)
        rolled.append(items[at] if repeat is None else repeat.loop())
        at += 1 if repeat is None else repeat.turns
    axes: set[tuple[object, str]] = set()
    for item in rolled:
        if (
            isinstance(item, ForLoop)
            and isinstance(leaf := item.body[0], Leaf)
            and ranges[item.variable].kind == "steps"
        ):
            axes |= {(id(leaf.template), item.variable), (tied(leaf), item.variable)}
    for before, item in pairwise(rolled):
        if isinstance(before, Leaf) and isinstance(item, Leaf) and (name := next_step(before, item, ranges)):
            axes.add((id(item.template), name))
    around = zip([None, *rolled], rolled, [*rolled[1:], None], strict=False)
    return [
        loop_of_one(item, axes, not (goes_on(before, item) or goes_on(after, item))) if isinstance(item, Leaf) else item
        for before, item, after in around
    ]


def tied(leaf: Leaf) -> object:
    """An equation as written, with whatever parameters a `tie` leaves it."""
    return None if leaf.template.is_rewritten else equation(leaf)


def next_step(before: Leaf, leaf: Leaf, ranges: Mapping[str, IndexRange]) -> str | None:
    """The index that counts on where a rewrite has changed the step before, such as the first after a zero."""
    if leaf.template.is_rewritten or not before.template.is_rewritten:
        return None
    if equation(before) != equation(leaf):
        return None
    steps = zip(leaf.names, before.values, leaf.values, strict=True) if before.names == leaf.names else ()
    moved = [(name, new.offset - old.offset) for name, old, new in steps if old != new]
    return moved[0][0] if len(moved) == 1 and moved[0][1] == 1 and ranges[moved[0][0]].kind == "steps" else None


def loops_of_none(items: list[Item]) -> Iterator[Item]:
    """A loop without turns where a level has only the step before it, when other levels have one there."""
    known: dict[tuple[int, str], ForLoop] = {}
    for before, item in pairwise(items):
        if isinstance(before, Leaf) and isinstance(item, ForLoop) and isinstance(inner := item.body[0], Leaf):
            if equation(inner) == equation(before) and inner.names == before.names:
                known[equation(before)] = item
    for item, after in pairwise([*items, None]):
        assert item is not None
        yield item
        loop = known.get(equation(item)) if isinstance(item, Leaf) else None
        if loop is not None and isinstance(item, Leaf) and not goes_on(after, item):
            inner = loop.body[0]
            assert isinstance(inner, Leaf)
            at = inner.names.index(loop.variable)
            values = (*item.values[:at], inner.values[at], *item.values[at + 1 :])
            body = replace(inner, values=values)
            yield ForLoop(loop.variable, item.values[at].shifted(1), item.values[at], 1, (body,))


def goes_on(item: Item | None, leaf: Leaf) -> bool:
    """Whether an item goes on with the equation of a leaf."""
    inner = item.body[0] if isinstance(item, ForLoop) else item
    return isinstance(inner, Leaf) and equation(inner) == equation(leaf)


def equation(leaf: Leaf) -> tuple[int, str]:
    """The equation of a leaf, however a rewrite has changed it; terms of its reductions are none of it."""
    return id(leaf.template.statement), leaf.template.family


def drop_empty(items: Sequence[Item], route: Route) -> list[Item]:
    """The items without loops that never turn."""
    kept: list[Item] = []
    for item in items:
        if isinstance(item, Leaf):
            kept.append(item)
        elif turns((*route, Hop(item, False))):
            body, rest = (
                drop_empty(part, (*route, Hop(item, into))) for part, into in ((item.body, False), (item.rest, True))
            )
            kept.append(replace(item, body=tuple(body), rest=tuple(rest)))
    return kept


def loop_of_one(leaf: Leaf, axes: set[tuple[object, str]], is_alone: bool) -> Item:
    """A single step as a loop, when steps of its equation are loops elsewhere."""
    for at, name in enumerate(leaf.names):
        if (id(leaf.template), name) in axes or (is_alone and tied(leaf) and (tied(leaf), name) in axes):
            only = leaf.values[at]
            values = (*leaf.values[:at], Position(name, 0), *leaf.values[at + 1 :])
            return ForLoop(name, only, only, 1, (replace(leaf, values=values),))
    return leaf


def groups_of_one(items: list[Item]) -> Iterator[Item]:
    """Single steps of several equations as loops, when steps of these equations are loops elsewhere."""
    known: dict[tuple[int, ...], ForLoop] = {}
    for item in items:
        if isinstance(item, ForLoop) and len(item.body) > 1 and not item.rest and (group := templates(item.body)):
            known[group] = item
    at = 0
    while at < len(items):
        found = (
            only_turn(loop, items[at : at + len(group)])
            for group, loop in known.items()
            if templates(items[at : at + len(group)]) == group
        )
        loop = next((loop for loop in found if loop is not None), None)
        yield items[at] if loop is None else loop
        at += 1 if loop is None else len(loop.body)


def templates(items: Sequence[Item]) -> tuple[int, ...]:
    """The equations of some leaves; nothing if there is a loop among them."""
    leaves = [id(item.template) for item in items if isinstance(item, Leaf)]
    return tuple(leaves) if len(leaves) == len(items) else ()


def only_turn(loop: ForLoop, group: Sequence[Item]) -> ForLoop | None:
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


def roll(items: list[Item], ranges: Mapping[str, IndexRange], kinds: frozenset[str]) -> Iterator[Item]:
    """One pass that turns repeated groups of items into loops."""
    shapes = [shape(item) for item in items]
    later: dict[object, list[int]] = {}
    for at in reversed(range(len(items))):
        later.setdefault(shapes[at], []).append(at)
    at = 0
    while at < len(items):
        same = later[shapes[at]]
        same.pop()
        found = [repeated(items, at, next_at - at, ranges) for next_at in same[: -CANDIDATES - 1 : -1]]
        fit = (r for r in found if r is not None and ranges[r.variable].kind in kinds and r.is_regular())
        best = max(fit, key=lambda r: r.covered, default=None)
        if best is None:
            yield items[at]
            at += 1
            continue
        yield best.loop()
        for passed in range(at + 1, at + best.covered):
            later[shapes[passed]].pop()
        at += best.covered
