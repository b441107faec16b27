"""A zero that is convolved, added or subtracted disappears: `u@1,0 = 0` of Algorithm 2 costs nothing."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from cldfc.network.expand import Instance
from cldfc.network.graph import Changed, Graph, Revised, keep_needed, rebuild_graph
from cldfc.network.positions import Binding
from cldfc.network.program import Operand, Read, Reads, Step, Template
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


_Facts = tuple[bool, tuple[bool, ...]]
"""Of an operation: whether it gives zero for zeros, and if it is a sum, which terms have its shape."""
_Change = tuple[Template, tuple[int, ...], bool]
"""What becomes of an equation, the steps that are left, and whether its value is zero."""


@dataclass
class _Zeros:
    """Revises equations, which must come in their order; `values` are the tags found to be zero so far, by family."""

    graph: Graph
    values: dict[str, set[tuple[int, ...]]] = field(default_factory=dict[str, set[tuple[int, ...]]])
    equations: Changed = field(default_factory=Changed)
    alike: dict[Hashable, _Change] = field(default_factory=dict[Hashable, _Change])
    sources: dict[int, bool] = field(default_factory=dict[int, bool])
    """Whether an equation has a step that reads nothing, by the id of its template."""

    def revise(self, number: int, instance: Instance) -> Revised:
        template, members = instance.template, self.graph.members[number]
        zeros = tuple([self.is_zero(read, instance.binding) for read in template.reads])
        if True not in zeros and not self.has_source(template):
            return Revised(template, instance.binding, instance.value, tuple(members))
        facts = [self.facts(at) for at in members]
        kind = id(template), zeros, *facts
        if kind not in self.alike:
            self.alike[kind] = self.change(template, zeros, facts)
        changed, order, is_zero = self.alike[kind]
        if is_zero:
            family, tag = instance.value
            self.values.setdefault(family, set()).add(tag)
        return Revised(changed, instance.binding, instance.value, tuple([members[at] for at in order]))

    def is_zero(self, read: Read | Reads, binding: Binding) -> bool:
        """Whether a value is known to be zero; the terms of a reduction are not looked at."""
        values = self.values.get(read.family)
        return values is not None and isinstance(read, Read) and read.tag_at(binding) in values

    def has_source(self, template: Template) -> bool:
        """Whether some step reads nothing, and so may be a zero."""
        found = self.sources.get(id(template))
        if found is None:
            found = self.sources[id(template)] = not all(step.operands for step in template.steps)
        return found

    def facts(self, at: int) -> _Facts:
        node = self.graph.node(at)
        operator = node.operator
        if isinstance(operator, Kernel) and node.parameter is not None:
            keeps = not self.graph.parameters[node.parameter].sizes.get("bias", 0)
        else:
            keeps = (operator.linear and not isinstance(operator, Concat | Total)) or operator.keeps_zero
        terms = self.graph.inputs[at] if isinstance(operator, Add) else ()
        return keeps, tuple([self.graph.node(term).shape == node.shape for term in terms])

    def change(self, template: Template, zeros: Sequence[bool], facts: Sequence[_Facts]) -> _Change:
        """What becomes of an equation; `zeros` says which of its reads are zero, `facts` are those of its steps."""
        zero_reads = {id(read) for read, is_zero in zip(template.reads, zeros, strict=True) if is_zero}
        zero_steps: set[int] = set()

        def is_zero(operand: Operand) -> bool:
            return operand in zero_steps if isinstance(operand, int) else id(operand) in zero_reads

        changes: dict[int, Step | Operand] = {}
        for at, (step, (keeps, whole)) in enumerate(zip(template.steps, facts, strict=True)):
            are_zero = [is_zero(operand) for operand in step.operands]
            if keeps and all(are_zero):
                zero_steps.add(at)
                changes[at] = Step(Zero(dimension=step.operator.dimension), (), None, step.span)
            elif (
                isinstance(step.operator, Add) and any(are_zero) and (True, False) in zip(whole, are_zero, strict=True)
            ):
                changes[at] = _without_zero_terms(step, step.operator, are_zero)
        assert template.result is not None
        return *self.equations.change(template, changes), is_zero(template.result)


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
