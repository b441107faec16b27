"""What stands in several equations is computed once: `A@ℓ+1 * u@ℓ+1,0` of (4.4) and of the first step (4.3)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field, replace
from itertools import chain, count, islice

from cldfc.algebra.expressions import ExpressionNumbers, Outline, Place, may_repeat, name_columns, outline_of
from cldfc.network.graph import Changed, Graph, Revised, rebuild_graph
from cldfc.network.positions import Position
from cldfc.network.program import Operand, Read, Step, Template, Use


def merge_equal(graph: Graph) -> Graph:
    """The same network with equal expressions computed once; what is computed keeps every bit.

    Expressions are equal if they have the same operators and parameters over the same values, by name and place.
    Batch normalisation counts its uses and dropout draws, so what contains them is left alone. An expression that
    stands in several equations becomes a value of its own, if it contains a convolution or another matrix product.
    Those that differ only in their indices are one family, with as few of the equations' index names as tell them
    apart: A@1 * u@1 and A@2 * u@2 below have the indices (1, 1) and (2, 2), so both are ℓ, and the family is A_u@ℓ.

    Before::

        levels ℓ = 1..3
        kernel A@ℓ : 3×3 → 4
        kernel B@ℓ : 3×3 → 4
        u@1 = f
        r@ℓ = f - A@ℓ * u@ℓ
        u@ℓ+1 = B@ℓ * r@ℓ + A@ℓ * u@ℓ
        h = linear(avgpool(u@3))

    After::

        u@1 = f
        A_u@ℓ = A@ℓ * u@ℓ
        r@ℓ = f - A_u@ℓ
        u@ℓ+1 = B@ℓ * r@ℓ + A_u@ℓ
        h = linear(avgpool(u@3))
    """
    if not may_repeat(graph):
        return graph
    numbers = ExpressionNumbers(graph)
    shared = _name_families(graph, numbers)
    if not shared and all(len({*here}) == len(here) for here in numbers.at):
        return graph
    work = _Merge(graph, numbers, shared)
    for number in range(len(graph.instances)):
        work.revise(number)
    return rebuild_graph(graph, work.revised)


# Which expressions become values


@dataclass(frozen=True, slots=True)
class _Shared:
    """An expression that is computed once, as a value of a family.

    `columns` are its indices over the index names of the family, `names`, whose values for it are in `binding`.
    """

    family: str
    names: tuple[str, ...]
    columns: tuple[Position, ...]
    binding: dict[str, int]

    def read(self, positions: tuple[Position, ...], step: Step) -> Read:
        written = dict(zip(self.columns, positions, strict=True))
        defining = (next(column for column in self.columns if column.base == name) for name in self.names)
        return Read(self.family, tuple(column.base_of(written[column]) for column in defining), step.span)


def _name_families(graph: Graph, numbers: ExpressionNumbers) -> dict[int, _Shared]:
    """Families for the expressions that several equations share, by their numbers."""
    kinds: dict[Hashable, dict[int, list[tuple[Place, Outline]]]] = defaultdict(dict)
    shared = _find_shared(graph, numbers)
    for expression in [*shared, *_find_terms(graph, numbers)] if shared else ():
        found = [(place, numbers.outline(place)) for place in numbers.places[expression]]
        kind = found[0][1].kind
        if kind is not None and (kind in kinds or len(found) > 1):
            kinds[kind][expression] = found
    taken = {key[0] for key in graph.values}
    families: dict[int, _Shared] = {}
    for expressions in kinds.values():
        rows: dict[int, tuple[int, ...]] = {}
        for expression, found in expressions.items():
            (number, _), first = found[0]
            rows[expression] = tuple(p.value(graph.instances[number].binding) for p in first.positions)
        written = zip(*(o.positions for found in expressions.values() for _, o in found), strict=True)
        columns = name_columns([*rows.values()], [tuple(dict.fromkeys(ways)) for ways in written])
        if columns is None:
            continue
        (number, at), _ = next(iter(expressions.values()))[0]
        family = _take_name(_wanted_name(graph.instances[number].template, at), taken)
        names = tuple(dict.fromkeys(c.base for c in columns if isinstance(c.base, str)))
        for expression, row in rows.items():
            values = dict(zip(columns, row, strict=True))
            defining = {name: next(column for column in columns if column.base == name) for name in names}
            binding = {name: column.base_of(Position(None, values[column])).offset for name, column in defining.items()}
            families[expression] = _Shared(family, names, tuple(columns), binding)
    return families


def _find_shared(graph: Graph, numbers: ExpressionNumbers) -> list[int]:
    """Expressions with a matrix product in two equations or more, except inside a larger one that is shared."""
    several = {
        expression: places
        for expression, places in enumerate(numbers.places)
        if len(places) > 1 and len({number for number, _ in places}) > 1
    }
    candidates = {
        expression
        for expression, ((number, at), *_) in several.items()
        if any(
            graph.instances[number].template.steps[step].operator.is_layer
            for step in numbers.outline((number, at)).steps
        )
    }
    if not candidates:
        return []
    readers: dict[int, set[Hashable]] = defaultdict(set)
    results = [(number, instance.template.result) for number, instance in enumerate(graph.instances)]
    stack: list[tuple[Hashable, Place]] = [(number, (number, at)) for number, at in results if isinstance(at, int)]
    seen: set[tuple[Hashable, Place]] = set()
    while stack:
        reader, (number, at) = entry = stack.pop()
        expression = numbers.at[number][at]
        if entry in seen or (expression in candidates and expression in readers):
            readers[expression].add(reader)
            continue
        seen.add(entry)
        if expression in candidates:
            readers[expression].add(reader)
            reader = "expression", expression
        operands = graph.instances[number].template.steps[at].operands
        stack += [(reader, (number, operand)) for operand in operands if isinstance(operand, int)]
    return sorted(expression for expression, known in readers.items() if len(known) > 1)


def _find_terms(graph: Graph, numbers: ExpressionNumbers) -> list[int]:
    """Expressions in the terms of reductions; if some of a kind are shared, the others join them in one loop."""
    alone = ((expression, places[0]) for expression, places in enumerate(numbers.places) if len(places) == 1)
    return [expression for expression, (number, _) in alone if graph.instances[number].template.is_inner]


def _wanted_name(template: Template, at: int) -> str:
    """`A_u` for `A@ℓ * u@ℓ,0`."""
    step = template.steps[at]
    first = step.operands[0] if step.operands else ""
    inner = _wanted_name(template, first) if isinstance(first, int) else first.family if first else ""
    own = step.use.name if step.use else step.operator.keyword or type(step.operator).__name__.lower()
    return f"{own}_{inner}"


def _take_name(wanted: str, taken: set[str]) -> str:
    """The wanted name, or it with the first number that is free; it is taken then."""
    name = next(name for name in chain([wanted], (f"{wanted}_{at}" for at in count(2))) if name not in taken)
    taken.add(name)
    return name


# Equations that read them


@dataclass
class _Merge:
    """Rewrites the equations of one graph, each after the shared values that it reads."""

    graph: Graph
    numbers: ExpressionNumbers
    shared: dict[int, _Shared]
    revised: list[Revised] = field(default_factory=list[Revised])
    block: list[Revised] = field(default_factory=list[Revised])
    """The terms of a reduction; what they share is written before them."""
    written: set[int] = field(default_factory=set[int])
    families: dict[str, Template] = field(default_factory=dict[str, Template])
    equations: Changed = field(default_factory=Changed)

    def revise(self, number: int) -> None:
        instance, members = self.graph.instances[number], self.graph.members[number]
        template, result = instance.template, instance.template.result
        here = self.numbers.at[number]
        is_alone = all(len(self.numbers.places[e]) == 1 and e not in self.shared for e in here)
        roots = [result] if isinstance(result, int) and not is_alone else []
        changes = self.changes(template, roots, here.__getitem__) if roots else {}
        changed, order = self.equations.change(template, changes)
        origins = tuple(members[at] for at in order)
        self.block.append(Revised(changed, instance.binding, instance.value, origins))
        if not template.is_inner:
            self.revised += self.block
            self.block.clear()

    def write(self, expression: int) -> None:
        if expression in self.written:
            return
        self.written.add(expression)
        number, at = self.numbers.places[expression][0]
        own, found = self.shared[expression], self.numbers.outline((number, at))
        template = self.inner(self.graph.instances[number].template, own, found)
        changes = self.changes(
            template, template.steps[-1].operands, lambda at: self.numbers.at[number][found.steps[at]]
        )
        changed, order = self.equations.change(template, changes)
        origins = tuple(self.graph.members[number][found.steps[at]] for at in order)
        needed = {key for read in changed.reads for key in read.keys(own.binding)}
        is_inside = any(equation.value in needed for equation in self.block)
        value = own.family, tuple(own.binding[name] for name in own.names)
        (self.block if is_inside else self.revised).append(Revised(changed, own.binding, value, origins))

    def inner(self, template: Template, own: _Shared, found: Outline) -> Template:
        if own.family not in self.families:
            columns = iter(own.columns)
            steps = tuple(
                _over(template.steps[at], operands, columns)
                for at, operands in zip(found.steps, found.operands, strict=True)
            )
            ranges = self.graph.program.ranges
            levels = [at for at, name in enumerate(own.names) if name in ranges and ranges[name].kind == "levels"]
            self.families[own.family] = replace(
                template,
                family=own.family,
                left=tuple(Position(name, 0) for name in own.names),
                level=(levels or [0])[0],
                ranges={},
                steps=steps,
                result=len(steps) - 1,
                is_inner=True,
            )
        return self.families[own.family]

    def changes(
        self, template: Template, roots: Iterable[Operand], number_of: Callable[[int], int]
    ) -> dict[int, Step | Operand]:
        """The steps to replace, among those that some operands need: by a shared value, or by an equal step before."""
        first: dict[int, int] = {}
        for at in range(len(template.steps)):
            first.setdefault(number_of(at), at)
        changes: dict[int, Step | Operand] = {}
        stack, seen = list(roots), set[int]()
        while stack:
            at = stack.pop()
            if not isinstance(at, int) or at in seen:
                continue
            seen.add(at)
            expression = number_of(at)
            if expression in self.shared:
                self.write(expression)
                positions = outline_of(template, at, number_of).positions
                changes[at] = self.shared[expression].read(positions, template.steps[at])
            elif first[expression] != at:
                changes[at] = first[expression]
                stack.append(first[expression])
            else:
                stack += template.steps[at].operands
        return changes


def _over(step: Step, operands: tuple[int | Read, ...], columns: Iterable[Position]) -> Step:
    """A step over the index names of a family, which are taken from its columns one after the other."""
    take, use = iter(columns), step.use
    if use is not None:
        positions = tuple(islice(take, len(use.positions)))
        use = Use(use.name, positions, positions, use.span)
    renewed = tuple(
        o if isinstance(o, int) else replace(o, positions=tuple(islice(take, len(o.positions)))) for o in operands
    )
    return replace(step, operands=renewed, use=use)
