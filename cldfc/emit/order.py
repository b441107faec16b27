"""The equations of a network in an order that makes loops."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import heapify, heappop, heappush
from itertools import groupby

from cldfc.emit.loops import Hop, Item, Leaf, Route, executed, turns
from cldfc.emit.schedule import length, schedule
from cldfc.emit.storage import Family, History, Slots, choose_slots, find_histories
from cldfc.network.expand import Instance
from cldfc.network.graph import Graph
from cldfc.network.positions import Key
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


@dataclass(frozen=True)
class Execution:
    """What `forward` computes: its loops, the equations in the order of their execution, and where values live."""

    items: list[Item]
    instances: list[Instance]
    slots: Slots
    histories: dict[Family, History]

    @property
    def kept(self) -> list[Family]:
        """The families that need a dictionary."""
        return [family for family, slot in self.slots.items() if slot and family not in self.histories]


def execute(graph: Graph, items: list[Item]) -> Execution:
    """The loops of a network with its neighbouring equations in the order that needs the fewest dictionaries.

    u@2,0 that needs u@1,3, and then u@2,-1 that needs u@1,2, are computed the other way round: u@2,1 finds u@2,0
    where later steps find the one before them.
    """
    execution = live(items, list(graph.instances))
    if not execution.kept or depends_on_order(graph):
        return execution
    unsettled = {family for family, _ in execution.kept}
    other = by_tags(items, (), unsettled)
    if other == items:
        return execution
    waiting = {leaf: iter(instances) for leaf, instances in leaf_instances(items, graph.instances).items()}
    changed = live(other, [next(waiting[id(leaf)]) for leaf in executed(other)])
    return changed if len(changed.kept) < len(execution.kept) else execution


def live(items: list[Item], instances: list[Instance]) -> Execution:
    """Where values live when these loops are executed."""
    slots = choose_slots(instances)
    histories = find_histories(list(executed(items)), instances, slots) if any(slots.values()) else {}
    return Execution(items, instances, slots, histories)


def leaf_instances(items: Sequence[Item], instances: Sequence[Instance]) -> dict[int, list[Instance]]:
    """The equations that each leaf computes, by its id."""
    found: dict[int, list[Instance]] = {}
    for leaf, instance in zip(executed(items), instances, strict=True):
        found.setdefault(id(leaf), []).append(instance)
    return found


def by_tags(items: Sequence[Item], route: Route, unsettled: set[str]) -> list[Item]:
    """The schedule with those neighbours first that write no unsettled family, and then by their tags."""
    found: list[Item] = []
    for is_leaf, some in groupby(items, lambda item: isinstance(item, Leaf)):
        run = list(some)
        if is_leaf and len(run) > 1:
            run = sort_leaves([item for item in run if isinstance(item, Leaf)], turns(route), unsettled)
        found += run
    return [
        item
        if isinstance(item, Leaf)
        else replace(
            item,
            body=tuple(by_tags(item.body, (*route, Hop(item, False)), unsettled)),
            rest=tuple(by_tags(item.rest, (*route, Hop(item, True)), unsettled)),
        )
        for item in found
    ]


def sort_leaves(leaves: list[Leaf], at: Sequence[Mapping[str, int]], unsettled: set[str]) -> list[Item]:
    """Equations that follow each other, each after those that it needs."""
    bindings = [[{n: p.value(turn) for n, p in leaf.binding().items()} for turn in at] for leaf in leaves]
    writes = [
        [(leaf.template.family, tuple(p.value(binding) for p in leaf.template.left)) for binding in some]
        for leaf, some in zip(leaves, bindings, strict=True)
    ]
    reads: list[list[set[Key]]] = [
        [{key for read in leaf.template.reads() for key in read.keys(binding)} for binding in some]
        for leaf, some in zip(leaves, bindings, strict=True)
    ]
    left = list(range(len(leaves)))
    order: list[Item] = []
    while left:
        ready = [
            one
            for one in left
            if not any(writes[other][t] in reads[one][t] for other in left if other != one for t in range(len(at)))
        ]
        best = min(ready, key=lambda one: (leaves[one].template.family in unsettled, writes[one][0][1], one))
        order.append(leaves[best])
        left.remove(best)
    return order
