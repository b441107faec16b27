"""The equations of a network in an order that makes loops."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from heapq import heapify, heappop, heappush

from cldfc.emit.loops import Item
from cldfc.emit.schedule import length, schedule
from cldfc.network.expand import Instance
from cldfc.network.graph import Graph
from cldfc.network.rebuild import Revised, rebuild_graph


def arrange(graph: Graph) -> tuple[Graph, list[Item]]:
    """A network and its loops, in the order of demand, or by levels and steps where that makes fewer lines.

    x@i that needs y@i-1, and y@i that needs x@i-1, are asked for in zigzag: x@1, y@1, y@2, x@2, x@3, y@3. What
    draws at random, or has statistics that several places share, stays in the order of demand.
    """
    items = schedule(graph.instances, graph.program.ranges)
    if length(items) == len({id(instance.template) for instance in graph.instances}) or depends_on_order(graph):
        return graph, items
    revised = [graph_part(graph, number) for number in by_steps(graph.instances)]
    other = replace(rebuild_graph(graph, revised), written=graph.written)
    others = schedule(other.instances, graph.program.ranges)
    return (other, others) if length(others) < length(items) else (graph, items)


def depends_on_order(graph: Graph) -> bool:
    """Whether the order makes a difference: of random draws, or of updates of the same statistics."""
    uses = Counter(node.parameter for node in graph.nodes() if not node.operator.repeatable)
    return None in uses or any(count > 1 for count in uses.values())


def graph_part(graph: Graph, number: int) -> Revised:
    """An equation as it is."""
    instance = graph.instances[number]
    return Revised(instance.template, instance.binding, instance.value, tuple(graph.members[number]))


def by_steps(instances: Sequence[Instance]) -> list[int]:
    """The equations by level and step, as far as each comes after those that it needs; else in the order given."""
    number_of = {instance.value: number for number, instance in enumerate(instances)}
    waits: list[int] = []
    readers: list[list[int]] = [[] for _ in instances]
    for number, instance in enumerate(instances):
        keys = {key for read in instance.template.reads() for key in read.keys(instance.binding)}
        needed = [number_of[key] for key in keys if key in number_of]
        waits.append(len(needed))
        for other in needed:
            readers[other].append(number)
    first = {instance.value[0]: number for number, instance in reversed([*enumerate(instances)])}
    places = [(*place(instance), first[instance.value[0]]) for instance in instances]
    ready = [(places[number], number) for number, count in enumerate(waits) if not count]
    heapify(ready)
    order: list[int] = []
    while ready:
        number = heappop(ready)[1]
        order.append(number)
        for reader in readers[number]:
            waits[reader] -= 1
            if not waits[reader]:
                heappush(ready, (places[reader], reader))
    return order


def place(instance: Instance) -> tuple[int, ...]:
    """The tag of a value, its level first."""
    tag, level = instance.value[1], instance.template.level
    return (*tag[level : level + 1], *tag[:level], *tag[level + 1 :])
