"""What each level of a network costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cldfc.network.cost import Cost, total_cost
from cldfc.network.expand import Instance
from cldfc.network.graph import Graph


@dataclass(frozen=True, slots=True)
class Level:
    """The part of a network that defines the values of one level: its name, the shapes of its values, its cost."""

    name: str
    shapes: tuple[tuple[int, ...], ...]
    cost: Cost


def costs_of_levels(graph: Graph, costs: Sequence[Cost]) -> dict[int | None, Level]:
    """The levels of a network, given the cost of each operation; what has no level comes last.

    What several levels share counts where it is first used, so that all but the depths add up to the network's.
    """
    members: dict[int | None, list[int]] = {}
    for number, instance in enumerate(graph.instances):
        members.setdefault(level_of_instance(instance), []).append(number)
    levels: dict[int | None, Level] = {}
    for at in sorted(members, key=lambda at: (at is None, at)):
        instances = [graph.instances[number] for number in members[at]]
        shapes = dict.fromkeys(graph.node(instance.result).shape for instance in instances)
        operations = (operation for number in members[at] for operation in graph.members[number])
        levels[at] = Level(level_text(graph, instances[0]), tuple(shapes), total_cost(graph, costs, operations))
    return levels


def level_of_instance(instance: Instance) -> int | None:
    """The level of the value that an instance defines; None when that has no index."""
    indices = instance.value[1]
    return indices[instance.template.level] if indices else None


def level_text(graph: Graph, instance: Instance) -> str:
    """`ℓ=2`, or the name of the output."""
    level = level_of_instance(instance)
    if level is None:
        return graph.program.output
    index = next(
        (name for name, range in graph.program.ranges.items() if range.kind == "levels"),
        instance.template.statement.left.name,
    )
    return f"{index}={level}"
