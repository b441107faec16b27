"""What stands in several equations is computed once: `A@ℓ+1 * u@ℓ+1,0` of (4.4) and of the first step (4.3)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field, replace

from cldfc.algebra.columns import name_columns
from cldfc.algebra.expressions import ExpressionNumbers, Outline, Place, outline
from cldfc.network.graph import Graph
from cldfc.network.positions import Key, Position
from cldfc.network.program import Operand, Read, Step, Template, Use
from cldfc.network.rebuild import Changed, Revised, rebuild_graph


def merge_equal(graph: Graph) -> Graph:
    """The same network with equal expressions computed once; what is computed keeps every bit.

    Equal are expressions of the same operators and parameters over the same values, by name and place.
    Batch normalisation counts its uses and dropout draws, so what contains them is left alone. An expression of
    several equations becomes a value of its own, if it has a convolution or another matrix product in it; those of
    one form are a family: `A_u@ℓ` for `A@ℓ * u@ℓ,0`.
    """
    numbers = ExpressionNumbers(graph)
    if all(len(places) == 1 for places in numbers.places.values()):
        return graph
    work = Merge(graph, numbers, name_families(graph, numbers))
    for number in range(len(graph.instances)):
        work.revise(number)
    return rebuild_graph(graph, work.revised)


# Which expressions become values


@dataclass(frozen=True, slots=True)
class Shared:
    """An expression that is computed once, as a value of a family.

    `columns` are its indices over the index names of the family, `names`, which it has the values `binding` of.
    """

    family: str
    names: tuple[str, ...]
    columns: tuple[Position, ...]
    binding: dict[str, int]

    @property
    def value(self) -> Key:
        """Its value."""
        return self.family, tuple(self.binding[name] for name in self.names)

    def read(self, positions: tuple[Position, ...], step: Step) -> Read:
        """It as an operand, where its indices are written so."""
        written = dict(zip(self.columns, positions, strict=True))
        return Read(self.family, tuple(written[Position(name, 0)] for name in self.names), step.span)


def name_families(graph: Graph, numbers: ExpressionNumbers) -> dict[int, Shared]:
    """Families for the expressions that several equations share, by their numbers."""
    kinds: dict[Hashable, dict[int, list[tuple[Place, Outline]]]] = defaultdict(dict)
    shared = find_shared(graph, numbers)
    for expression in [*shared, *find_terms(graph, numbers)]:
        found = [(place, numbers.outline(place)) for place in numbers.places[expression]]
        kind = found[0][1].kind
        if kind is not None and (kind in kinds or len(found) > 1):
            kinds[kind][expression] = found
    taken = {instance.value[0] for instance in graph.instances} | {graph.program.input.name}
    families: dict[int, Shared] = {}
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
        family = free_name(wanted_name(graph.instances[number].template, at), taken)
        names = tuple(dict.fromkeys(c.base for c in columns if isinstance(c.base, str)))
        for expression, row in rows.items():
            values = dict(zip(columns, row, strict=True))
            binding = {name: values[Position(name, 0)] for name in names}
            families[expression] = Shared(family, names, tuple(columns), binding)
    return families


def find_shared(graph: Graph, numbers: ExpressionNumbers) -> list[int]:
    """Expressions that are reached from two equations or more, not through a larger one that is shared."""
    several = {e: places for e, places in numbers.places.items() if len({number for number, _ in places}) > 1}
    candidates = {e for e, places in several.items() if is_costly(graph, numbers.outline(places[0]), places[0])}
    readers: dict[int, set[Hashable]] = defaultdict(set)
    results = [(number, instance.template.result) for number, instance in enumerate(graph.instances)]
    stack: list[tuple[Hashable, Place]] = [(number, (number, at)) for number, at in results if isinstance(at, int)]
    seen: set[tuple[Hashable, Place]] = set()
    while stack:
        reader, (number, at) = entry = stack.pop()
        expression = numbers.at[number, at]
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


def find_terms(graph: Graph, numbers: ExpressionNumbers) -> list[int]:
    """Expressions in the terms of reductions; where some of a kind are shared, the others join them, in one loop."""
    inner = {number for number, instance in enumerate(graph.instances) if instance.template.is_inner}
    return [e for e, places in numbers.places.items() if len(places) == 1 and places[0][0] in inner]


def is_costly(graph: Graph, found: Outline, place: Place) -> bool:
    """Whether there is a convolution or another matrix product in an expression."""
    steps = graph.instances[place[0]].template.steps
    return any(steps[at].operator.is_layer for at in found.steps)


def wanted_name(template: Template, at: int) -> str:
    """`A_u` for `A@ℓ * u@ℓ,0`."""
    step = template.steps[at]
    first = step.operands[0] if step.operands else ""
    inner = wanted_name(template, first) if isinstance(first, int) else first.family if first else ""
    own = step.use.name if step.use else step.operator.keyword or type(step.operator).__name__.lower()
    return f"{own}_{inner}"


def free_name(wanted: str, taken: set[str]) -> str:
    """The wanted name, or it with the first number that is free; it is taken then."""
    numbered = (f"{wanted}_{number}" if number > 1 else wanted for number in range(1, len(taken) + 2))
    name = next(name for name in numbered if name not in taken)
    taken.add(name)
    return name


# Equations that read them


@dataclass
class Merge:
    """Writes the equations of one graph anew, each after the shared values that it reads."""

    graph: Graph
    numbers: ExpressionNumbers
    shared: dict[int, Shared]
    revised: list[Revised] = field(default_factory=list[Revised])
    block: list[Revised] = field(default_factory=list[Revised])
    """The terms of a reduction, in front of which goes what they share."""
    written: set[int] = field(default_factory=set[int])
    families: dict[str, Template] = field(default_factory=dict[str, Template])
    equations: Changed = field(default_factory=Changed)

    def revise(self, number: int) -> None:
        """An equation that reads what is shared instead of computing it."""
        instance, members = self.graph.instances[number], self.graph.members[number]
        template, result = instance.template, instance.template.result
        roots = [result] if isinstance(result, int) else []
        changes = self.changes(template, roots, lambda at: self.numbers.at[number, at])
        changed, order = self.equations.change(template, changes)
        origins = tuple(members[at] for at in order)
        self.block.append(Revised(changed, instance.binding, instance.value, origins))
        if not template.is_inner:
            self.revised += self.block
            self.block.clear()

    def write(self, expression: int) -> None:
        """The equation of a shared value, unless it is there."""
        if expression in self.written:
            return
        self.written.add(expression)
        number, at = self.numbers.places[expression][0]
        own, found = self.shared[expression], self.numbers.outline((number, at))
        template = self.inner(self.graph.instances[number].template, own, found)
        changes = self.changes(
            template, template.steps[-1].operands, lambda at: self.numbers.at[number, found.steps[at]]
        )
        changed, order = self.equations.change(template, changes)
        origins = tuple(self.graph.members[number][found.steps[at]] for at in order)
        needed = {key for read in changed.reads() for key in read.keys(own.binding)}
        is_inside = any(equation.value in needed for equation in self.block)
        (self.block if is_inside else self.revised).append(Revised(changed, own.binding, own.value, origins))

    def inner(self, template: Template, own: Shared, found: Outline) -> Template:
        """The equation of a family: the expression, over the index names of the family."""
        key = own.family
        if key not in self.families:
            columns = iter(own.columns)
            steps = tuple(
                over(template.steps[at], operands, columns)
                for at, operands in zip(found.steps, found.operands, strict=True)
            )
            left = tuple(Position(name, 0) for name in own.names)
            ranges = self.graph.program.ranges
            levels = [at for at, name in enumerate(own.names) if name in ranges and ranges[name].kind == "levels"]
            whole = replace(
                template,
                family=own.family,
                left=left,
                level=(levels or [0])[0],
                ranges={},
                steps=steps,
                result=len(steps) - 1,
                is_inner=True,
            )
            self.families[key] = whole
        return self.families[key]

    def changes(
        self, template: Template, roots: Iterable[Operand], number_of: Callable[[int], int]
    ) -> dict[int, Step | Operand]:
        """What is read or has been computed before, by steps, among what some operands need."""
        first: dict[int, int] = {}
        for at in range(len(template.steps)):
            first.setdefault(number_of(at), at)
        changes: dict[int, Step | Operand] = {}
        stack = list(roots)
        while stack:
            at = stack.pop()
            if not isinstance(at, int) or at in changes:
                continue
            expression = number_of(at)
            if expression in self.shared:
                self.write(expression)
                positions = outline(template, at, number_of).positions
                changes[at] = self.shared[expression].read(positions, template.steps[at])
            elif first[expression] != at:
                changes[at] = first[expression]
                stack.append(first[expression])
            else:
                stack += template.steps[at].operands
        return changes


def over(step: Step, operands: tuple[int | Read, ...], columns: Iterable[Position]) -> Step:
    """A step over the index names of a family, which are taken from its columns one after the other."""
    take = iter(columns)
    use = None
    if step.use is not None:
        positions = tuple(next(take) for _ in step.use.positions)
        use = Use(step.use.name, positions, positions, step.use.span)
    renewed = tuple(
        operand
        if isinstance(operand, int)
        else replace(operand, positions=tuple(next(take) for _ in operand.positions))
        for operand in operands
    )
    return replace(step, operands=renewed, use=use)
