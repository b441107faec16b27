"""A zero that is convolved, added or subtracted disappears: `u@1,0 = 0` of Algorithm 2 costs nothing."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from cldfc.network.expand import Instance
from cldfc.network.graph import Changed, Graph, Node, Revised, keep_needed, rebuild_graph
from cldfc.network.positions import Key
from cldfc.network.program import Operand, Read, Step
from cldfc.ops import Add, Concat, Kernel, Total, Zero


def drop_zeros(graph: Graph) -> Graph:
    """The same network without sums and linear maps of zeros; what is computed keeps every bit.

    A zero that something else needs, a normalisation or a concatenation, is left alone.

    Before::

        steps i = 1..2
        u@0 = 0
        u@i = u@i-1 + relu(B * (f - A * u@i-1))
        h = linear(avgpool(u@2))

    After::

        u@i = relu(B * f) for i = 1
        u@i = u@i-1 + relu(B * (f - A * u@i-1)) for i = 2
        h = linear(avgpool(u@2))
    """
    if not any(isinstance(node.operator, Zero) for node in graph.nodes()):
        return graph
    work = _Zeros(graph)
    revised = [work.revise(number, instance) for number, instance in enumerate(graph.instances)]
    return rebuild_graph(graph, keep_needed(revised, graph.program.output_keys))


@dataclass
class _Zeros:
    """Revises equations, which must come in their order; `values` are those found to be zero so far."""

    graph: Graph
    values: set[Key] = field(default_factory=set[Key])
    equations: Changed = field(default_factory=Changed)

    def revise(self, number: int, instance: Instance) -> Revised:
        template, members = instance.template, self.graph.members[number]
        if not self.may_have_zeros(instance):
            return Revised(template, instance.binding, instance.value, tuple(members))
        zeros: set[int] = set()
        changes: dict[int, Step | Operand] = {}
        for at, step in enumerate(template.steps):
            are_zero = [self.is_zero(operand, zeros, instance) for operand in step.operands]
            if self.gives_zero(self.graph.node(members[at]), are_zero):
                zeros.add(at)
                changes[at] = Step(Zero(dimension=step.operator.dimension), (), None, step.span)
            elif isinstance(step.operator, Add) and any(are_zero) and self.keeps_shape(members[at], are_zero):
                changes[at] = _without_zero_terms(step, step.operator, are_zero)
        assert template.result is not None
        if self.is_zero(template.result, zeros, instance):
            self.values.add(instance.value)
        changed, order = self.equations.change(template, changes)
        return Revised(changed, instance.binding, instance.value, tuple(members[at] for at in order))

    def may_have_zeros(self, instance: Instance) -> bool:
        """Whether an equation reads a zero, or has a step that reads nothing, which may be one."""
        template = instance.template
        return any(self.is_zero(read, set(), instance) for read in template.reads) or any(
            not step.operands for step in template.steps
        )

    def is_zero(self, operand: Operand, zeros: set[int], instance: Instance) -> bool:
        """Whether an operand is known to be zero; the terms of a reduction are not looked at."""
        if isinstance(operand, int):
            return operand in zeros
        return isinstance(operand, Read) and operand.keys(instance.binding)[0] in self.values

    def keeps_shape(self, at: int, are_zero: list[bool]) -> bool:
        """Whether some term of a sum that is not zero has the shape of the sum."""
        shapes = [self.graph.node(operand).shape for operand in self.graph.operands(at)]
        kept = [shape for shape, is_zero in zip(shapes, are_zero, strict=True) if not is_zero]
        return self.graph.node(at).shape in kept

    def gives_zero(self, node: Node, are_zero: list[bool]) -> bool:
        operator = node.operator
        if isinstance(operator, Kernel) and node.parameter is not None:
            keeps = not self.graph.parameters[node.parameter].sizes.get("bias", 0)
        else:
            keeps = (operator.linear and not isinstance(operator, Concat | Total)) or operator.keeps_zero
        return keeps and all(are_zero)


def _without_zero_terms(step: Step, add: Add, are_zero: list[bool]) -> Step | Operand:
    """A sum without the terms that are zero; what is left of it may be a single one."""
    left = [at for at, is_zero in enumerate(are_zero) if not is_zero]
    signs: tuple[Literal[1, -1], ...] = tuple(
        sign for sign, is_zero in zip(add.signs, are_zero, strict=True) if not is_zero
    )
    if signs == (1,):
        return step.operands[left[0]]
    operands, terms = (tuple(all_of[at] for at in left) for all_of in (step.operands, step.terms))
    spread = tuple(add.spread[at] for at in left) if add.spread else ()
    return replace(step, operator=Add(signs, spread=spread if any(spread) else ()), operands=operands, terms=terms)
