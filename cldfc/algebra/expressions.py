"""Expressions inside equations: which are equal, and what one is apart from its indices."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from cldfc.network.graph import Graph
from cldfc.network.positions import Position
from cldfc.network.program import Read, Reads, Template
from cldfc.ops import Zero

Place = tuple[int, int]
"""A step of an instance: both by their numbers."""


@dataclass
class ExpressionNumbers:
    """A number for each different expression of a network, over values: `A@2 * u@2,0` has the same everywhere.

    What draws at random, or counts how often it is used, is never the same twice.
    """

    graph: Graph
    known: dict[Hashable, int] = field(default_factory=dict[Hashable, int])
    at: dict[Place, int] = field(default_factory=dict[Place, int])
    places: dict[int, list[Place]] = field(default_factory=dict[int, list[Place]])

    def __post_init__(self) -> None:
        for number, instance in enumerate(self.graph.instances):
            for step in range(len(instance.template.steps)):
                place = number, step
                self.at[place] = self.known.setdefault(self.signature(place), len(self.known))
                self.places.setdefault(self.at[place], []).append(place)

    def signature(self, place: Place) -> Hashable:
        """What two equal expressions have in common, and no others."""
        number, at = place
        instance = self.graph.instances[number]
        step, node = instance.template.steps[at], self.graph.node(self.graph.members[number][at])
        varies = step.factor is not None and not step.factor.is_fixed()
        if varies or isinstance(node.operator, Zero) or not node.operator.repeatable:
            return place
        operands: list[Hashable] = []
        for operand in step.operands:
            match operand:
                case int():
                    operands.append(self.at[number, operand])
                case Read():
                    operands.append(operand.keys(instance.binding)[0])
                case Reads():
                    operands.append((number, tuple(operand.keys(instance.binding))))
        return type(node.operator), node.operator, node.parameter, tuple(operands)

    def outline(self, place: Place) -> Outline:
        number, root = place
        return outline_of(self.graph.instances[number].template, root, lambda at: self.at[number, at])


@dataclass(frozen=True, slots=True)
class Outline:
    """An expression of a template: its steps, operands before what uses them, each different one once.

    `kind` is what it is apart from its indices; None where a reduction over an index stands in it.
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
        kinds.append((type(step.operator), step.operator, step.factor, parameter, kind))
    is_plain = not any(isinstance(o, Reads) for at in steps for o in template.steps[at].operands)
    return Outline(tuple(kinds) if is_plain else None, tuple(steps), tuple(positions), tuple(operands))
