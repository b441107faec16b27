"""A graph with its equations changed: what every rewrite ends with."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import networkx

from cldfc.network.expand import Instance
from cldfc.network.graph import Graph, Node, validate_graph
from cldfc.network.positions import Key
from cldfc.network.program import Operand, Reads, Step, Template


@dataclass(frozen=True, slots=True)
class Revised:
    """An equation at one choice of its indices, and for each of its steps the old operation that it stands for."""

    template: Template
    binding: dict[str, int]
    value: Key
    origins: tuple[int, ...]


def rebuild_graph(graph: Graph, revised: Sequence[Revised]) -> Graph:
    """The graph of these equations, in their order; shapes are those of the old operations.

    All parameters stay: a rewrite has the same ones, and so the same start and the same saved weights. Raises
    ValueError when it is not a network.
    """
    net: networkx.MultiDiGraph[int] = networkx.MultiDiGraph(name=graph.net.name)
    net.add_node(0, node=graph.node(0))
    values: dict[Key, int] = {(graph.program.input.name, ()): 0}
    instances: list[Instance] = []
    for number, equation in enumerate(revised):
        start = len(net)
        for at, (step, origin) in enumerate(zip(equation.template.steps, equation.origins, strict=True)):
            net.add_node(start + at, node=renew(graph.node(origin), step, number, at))
            sources = [s for o in step.operands for s in sources_of(o, equation.binding, start, values)]
            net.add_edges_from((source, start + at, {"operand": place}) for place, source in enumerate(sources))
        last = equation.template.result
        assert last is not None
        values[equation.value] = sources_of(last, equation.binding, start, values)[0]
        instances.append(Instance(equation.template, equation.binding, equation.value, values[equation.value]))
    rebuilt = Graph(graph.program, net, tuple(instances), values, graph.parameters, graph.as_written)
    validate_graph(rebuilt)
    return rebuilt


def renew(node: Node, step: Step, instance: int, at: int) -> Node:
    """An old operation at its new place; a number that it multiplies with differs from instance to instance."""
    operator = node.operator if step.factor is not None else step.operator
    return Node(
        operator=operator,
        shape=node.shape,
        parameter=None if step.use is None else node.parameter,
        instance=instance,
        step=at,
        statistics=None if step.statistics is None else node.statistics,
    )


def sources_of(operand: Operand, binding: Mapping[str, int], start: int, values: Mapping[Key, int]) -> list[int]:
    if isinstance(operand, int):
        return [start + operand]
    return [values[key] for key in operand.keys(binding)]


def change_template(template: Template, changes: Mapping[int, Step | Operand]) -> tuple[Template, tuple[int, ...]]:
    """The equation with other steps, or operands, in place of some, without what its value no longer needs.

    Also gives the number that each step had before. With `1: Read x` the steps 0: A * x, 1: relu(0), 2: B * 1
    become 0: B * x, which was step 2.
    """

    def found(operand: Operand) -> Operand:
        while isinstance(operand, int) and operand in changes and not isinstance(changes[operand], Step):
            operand = cast(Operand, changes[operand])
        return operand

    def step_at(at: int) -> Step:
        change = changes.get(at)
        return change if isinstance(change, Step) else template.steps[at]

    assert template.result is not None
    kept: set[int] = set()
    stack: list[Operand] = [template.result]
    while stack:
        at = found(stack.pop())
        if isinstance(at, int) and at not in kept:
            kept.add(at)
            stack += step_at(at).operands
    order = sorted(kept)
    places = {at: place for place, at in enumerate(order)}

    def renumber(operand: Operand) -> Operand:
        operand = found(operand)
        return places[operand] if isinstance(operand, int) else operand

    steps = tuple(replace(step_at(at), operands=tuple(map(renumber, step_at(at).operands))) for at in order)
    result = renumber(template.result)
    assert not isinstance(result, Reads)
    return replace(template, steps=steps, result=result, is_rewritten=True), tuple(order)


@dataclass
class Changed:
    """Equations as a rewrite changes them: one that is changed twice in the same way stays one, and so one loop."""

    known: dict[Hashable, tuple[Template, tuple[int, ...]]] = field(
        default_factory=dict[Hashable, tuple[Template, tuple[int, ...]]]
    )

    def change(self, template: Template, changes: Mapping[int, Step | Operand]) -> tuple[Template, tuple[int, ...]]:
        if not changes:
            return template, tuple(range(len(template.steps)))
        key = id(template), tuple(changes.items())
        if key not in self.known:
            self.known[key] = change_template(template, changes)
        return self.known[key]


def keep_needed(revised: Sequence[Revised], output: Key) -> list[Revised]:
    needed = {output}
    kept: list[Revised] = []
    for equation in reversed(revised):
        if equation.value in needed:
            needed.update(key for read in equation.template.reads() for key in read.keys(equation.binding))
            kept.append(equation)
    return kept[::-1]
