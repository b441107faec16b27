"""Terms of a reduction that are only another name for a value: the reduction reads that value."""

from __future__ import annotations

from dataclasses import replace

from cldfc.network.graph import Changed, Graph, Revised, keep_needed, rebuild_graph
from cldfc.network.positions import Binding, Key
from cldfc.network.program import Operand, Read, Step, Template


def drop_copies(graph: Graph) -> Graph:
    """The same network without them; equations of the spec stay, also those that only rename.

    Such terms are what dropped zeros and merged expressions leave behind.

    Before::

        steps i = 1..2
        w = 0
        u@0 = f
        u@i = relu(A * sum(j = 0..i-1 : u@j + w))
        h = linear(avgpool(u@2))

    After::

        u@0 = f
        u@i = relu(A * sum(u@j for j = 0..i-1))
        h = linear(avgpool(u@2))
    """
    copies = {
        instance.value: instance.template
        for instance in graph.instances
        if instance.template.is_inner and isinstance(instance.template.result, Read)
    }
    if not copies:
        return graph
    equations, revised = Changed(), list[Revised]()
    for number, instance in enumerate(graph.instances):
        template = instance.template
        changes: dict[int, Step | Operand] = {}
        for at, step in enumerate(template.steps):
            operands = tuple(_behind(operand, instance.binding, copies) for operand in step.operands)
            if operands != step.operands:
                changes[at] = replace(step, operands=operands)
        changed, order = equations.change(template, changes)
        origins = tuple(graph.members[number][at] for at in order)
        revised.append(Revised(changed, instance.binding, instance.value, origins))
    return rebuild_graph(graph, keep_needed(revised, graph.program.output_keys))


def _behind(operand: Operand, binding: Binding, copies: dict[Key, Template]) -> Operand:
    """The value that an operand only renames; the operand itself unless that holds for all it reads, in one way."""
    if isinstance(operand, int):
        return operand
    templates = {id(copies.get(key)): copies.get(key) for key in operand.keys(binding)}
    template = next(iter(templates.values()))
    if len(templates) > 1 or template is None or not isinstance(template.result, Read):
        return operand
    indices = zip(template.left, operand.positions, strict=True)
    scope = {at.base: index for at, index in indices if isinstance(at.base, str)}
    positions = tuple(position.substitute(scope) for position in template.result.positions)
    return replace(operand, family=template.result.family, positions=positions)
