"""Expressions inside equations: which are equal, and which of their indices tell them apart."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from cldfc.network.graph import Graph
from cldfc.network.positions import Binding, Lookup, Position
from cldfc.network.program import Operand, Read, Reads, Step, Template
from cldfc.ops import Operator, Unknown, Zero

Place = tuple[int, int]
"""A step of an instance: both by their numbers."""


@dataclass
class ExpressionNumbers:
    """A number for each different expression of a network, over values: `A@2 * u@2,0` has the same everywhere.

    Operators that draw random numbers, or update statistics at each use, are never the same twice.
    """

    graph: Graph
    at: list[list[int]] = field(default_factory=list[list[int]])
    """For each instance, the numbers of its steps."""
    places: list[list[Place]] = field(default_factory=list[list[Place]])
    """For each number, where its expression stands."""
    outlines: dict[tuple[int, ...], Outline] = field(default_factory=dict[tuple[int, ...], "Outline"])

    def __post_init__(self) -> None:
        known: dict[Hashable, int] = {}
        same = _comparable_operators(self.graph)
        varies: dict[int, tuple[bool, ...]] = {}
        for number, instance in enumerate(self.graph.instances):
            steps = instance.template.steps
            if id(instance.template) not in varies:
                varies[id(instance.template)] = tuple(map(_varies, steps))
            here: list[int] = []
            self.at.append(here)
            each = zip(steps, self.graph.members[number], varies[id(instance.template)], strict=True)
            for at, (step, member, alone) in enumerate(each):
                node = self.graph.node(member)
                operator = same.get(id(node.operator))
                if alone or operator is None:
                    signature: Hashable = (number, at)
                else:
                    operands = [_operand_signature(o, here, number, instance.binding) for o in step.operands]
                    signature = operator, node.parameter, *operands
                expression = known.setdefault(signature, len(known))
                here.append(expression)
                if expression == len(self.places):
                    self.places.append([(number, at)])
                else:
                    self.places[expression].append((number, at))

    def outline(self, place: Place) -> Outline:
        number, root = place
        template, here = self.graph.instances[number].template, self.at[number]
        kind = id(template), root, *map(here.index, here)  # which of its steps are equal
        if kind not in self.outlines:
            self.outlines[kind] = outline_of(template, root, here.__getitem__)
        return self.outlines[kind]


def may_repeat(graph: Graph) -> bool:
    """False if no two operations do the same with the same operands, so that no two expressions are equal."""
    same, seen, inputs = _comparable_operators(graph), set[Hashable](), len(graph.program.input_keys)
    for node, operands in zip(graph.nodes()[inputs:], graph.inputs[inputs:], strict=True):
        operator = same.get(id(node.operator))
        if operator is not None:
            signature = operator, node.parameter, operands
            if signature in seen:
                return True
            seen.add(signature)
    return False


def _comparable_operators(graph: Graph) -> dict[int, int]:
    """A number for each operator by its id, the same for equal ones; not for those that are never the same twice."""
    numbers: dict[tuple[type, Operator], int] = {}
    return {
        id(operator): numbers.setdefault((type(operator), operator), len(numbers))
        for operator in graph.operators
        if operator.repeatable and not isinstance(operator, Zero | Unknown)
    }


def _varies(step: Step) -> bool:
    """Whether a setting of a step may differ from instance to instance."""
    formulas = [*step.channels, *(formula for _, formula in step.settings), *([step.factor] if step.factor else [])]
    return not all(formula.is_fixed() for formula in formulas)


def _operand_signature(operand: Operand, here: Sequence[int], number: int, binding: Binding) -> Hashable:
    """The same for two equal operands, and for no others; `here` are the numbers of the instance's steps so far."""
    match operand:
        case int():
            return here[operand]
        case Read():
            return operand.keys(binding)[0]
        case Reads():
            return number, tuple(operand.keys(binding))


@dataclass(frozen=True, slots=True)
class Outline:
    """An expression of a template: its steps, operands before what uses them, each different one once.

    `kind` is what it is apart from its indices; None if it contains a reduction over an index.
    `positions` are the indices: those of the parameters and of the values that it reads, step by step.
    """

    kind: Hashable
    steps: tuple[int, ...]
    positions: tuple[Position, ...]
    operands: tuple[tuple[int | Read, ...], ...]
    """For each step, where among `steps` its operands are, or what it reads."""


def outline_of(template: Template, root: int, number_of: Callable[[int], int]) -> Outline:
    """The outline of an expression; `number_of` says which steps are equal."""
    order: dict[int, int] = {}
    steps: list[int] = []
    stack = [root]
    while stack:
        at = stack[-1]
        inner = [o for o in template.steps[at].operands if isinstance(o, int) and number_of(o) not in order]
        if inner and number_of(at) not in order:
            stack += reversed(inner)
            continue
        stack.pop()
        if number_of(at) not in order:
            order[number_of(at)] = len(steps)
            steps.append(at)
    kinds: list[Hashable] = []
    positions: list[Position] = []
    operands: list[tuple[int | Read, ...]] = []
    for at in steps:
        step = template.steps[at]
        used = step.use.positions if step.use else ()
        reads = [o for o in step.operands if not isinstance(o, int)]
        positions += [*used, *(position for read in reads for position in read.positions)]
        inside = [order[number_of(o)] if isinstance(o, int) else o for o in step.operands]
        operands.append(tuple(o for o in inside if not isinstance(o, Reads)))
        kind = tuple(o if isinstance(o, int) else (o.family, len(o.positions)) for o in inside)
        parameter = step.use and (step.use.name, len(step.use.positions))
        kinds.append((type(step.operator), step.operator, step.factor, step.channels, step.settings, parameter, kind))
    is_plain = not any(isinstance(o, Reads) for at in steps for o in template.steps[at].operands)
    return Outline(tuple(kinds) if is_plain else None, tuple(steps), tuple(positions), tuple(operands))


_Row = tuple[int, ...]


def name_columns(rows: Sequence[_Row], written: Sequence[Sequence[Position]]) -> list[Position] | None:
    """Each index of the expressions over as few index names as possible; None when there are no good names.

    `rows` has the values of the indices, a row for each expression; `written` says for each index how the
    equations write it. The names are theirs, so that a loop over them is one that the spec knows.
    For A@1 * u@1,0, A@2 * u@2,0 and A@3 * u@3,0, rows (1, 1, 0), (2, 2, 0), (3, 3, 0), they are ℓ, ℓ and 0.
    """
    columns = list(zip(*rows, strict=True))
    found: list[Position] = []
    named: dict[str, tuple[int, ...]] = {}
    for column, ways in zip(columns, written, strict=True):
        position = _constant(column) or _shifted_column(column, named) or _looked_up(column, ways, named)
        position = position or _multiple(column, ways, named)
        if position is None:
            free = [way.base for way in ways if isinstance(way.base, str) and way.base not in named]
            if not free:
                return None
            position = Position(free[0], 0)
            named[free[0]] = column
        found.append(position)
    return found


def _constant(column: _Row) -> Position | None:
    return Position(None, column[0]) if len(set(column)) == 1 else None


def _shifted_column(column: _Row, named: Mapping[str, _Row]) -> Position | None:
    """An index that has a name already, plus a number."""
    for name, values in named.items():
        differences = {value - base for value, base in zip(column, values, strict=True)}
        if len(differences) == 1:
            return Position(name, differences.pop())
    return None


def _multiple(column: _Row, ways: Sequence[Position], named: dict[str, _Row]) -> Position | None:
    """`2*k-1` or `i/2`, as an equation writes it; its name gets its values, if it has none yet."""
    for way in ways:
        values = [way.base_at(value) for value in column]
        known = tuple(value for value in values if value is not None)
        if isinstance(way.base, str) and not way.is_shifted and len(known) == len(values):
            if named.setdefault(way.base, known) == known:
                return way
    return None


def _looked_up(column: _Row, ways: Sequence[Position], named: Mapping[str, _Row]) -> Position | None:
    """A constant of the spec at such an index, `ν` at ℓ."""
    for constant in {
        way.base.constant.name: way.base.constant for way in ways if isinstance(way.base, Lookup)
    }.values():
        for name, values in named.items():
            for shift in (0, 1, -1):
                at = Position(Lookup(constant, Position(name, shift)), 0)
                if all(constant.at(base + shift) == value for value, base in zip(column, values, strict=True)):
                    return at
    return None
