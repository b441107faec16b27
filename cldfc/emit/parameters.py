"""Which line of `__init__` makes which parameters: each identity once, in the loops of the network.

A place in an equation *owns* the parameters that are made for it. Other places that use the same
ones, as A@ℓ+1 in the pooling and A@ℓ in every step, call the module that is there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cldfc.emit.loops import Item, Route, Site, sites, turns
from cldfc.network.graph import Graph, Node
from cldfc.network.positions import Key, Lookup, Position, Positions
from cldfc.ops import BatchNorm, Convolution, Linear, Operator, Pointwise, Pool, Statistics


@dataclass(frozen=True)
class ParameterUse:
    """A parameter where it is used, over the loop variables of its site."""

    site: Site
    step: int
    operator: Operator
    name: str
    positions: Positions

    def keys(self, route: Route) -> list[Key]:
        """The parameters that it stands for, turn by turn."""
        return [(self.name, tuple(p.value(turn) for p in self.positions)) for turn in turns(route)]

    def depth(self) -> int:
        """How many of the loops around it its tag depends on."""
        needed = {variable for position in self.positions for variable in variables(position)}
        inner = [at + 1 for at, hop in enumerate(self.site.route) if hop.loop.variable in needed]
        return max(inner, default=0)


def variables(position: Position) -> Iterator[str]:
    """The loop variables in a position."""
    match position.base:
        case str(name):
            yield name
        case Lookup(_, at):
            yield from variables(at)
        case None:
            return


@dataclass(frozen=True, slots=True)
class ParameterLine:
    """A line that makes parameters, in the loops of `route`, before the item of this index."""

    place: ParameterUse
    route: Route
    index: int


@dataclass
class Ownership:
    """Who makes each parameter, and for which operator; `alone` are made one by one."""

    declarations: list[ParameterLine] = field(default_factory=list[ParameterLine])
    made_for: dict[Key, Operator] = field(default_factory=dict[Key, Operator])
    alone: list[Key] = field(default_factory=list[Key])

    def fits(self, place: ParameterUse) -> bool:
        """Whether every module that a place calls was made for an operator like its own."""
        return all(self.made_for[key] == place.operator for key in place.keys(place.site.route))


def places_of(items: Sequence[Item]) -> list[ParameterUse]:
    """All places of a schedule."""
    return [
        ParameterUse(site, at, operator, use.name, tuple(p.substitute(site.leaf.binding()) for p in use.positions))
        for site in sites(items)
        for at, step in enumerate(site.leaf.template.steps)
        for operator, use in ((step.operator, step.use), (Statistics(), step.statistics))
        if use is not None
    ]


def assign_owners(places: Sequence[ParameterUse]) -> Ownership:
    """An owner for each parameter, among the places of a schedule."""
    ownership = Ownership()
    by_name: dict[str, list[ParameterUse]] = {}
    for place in places:
        by_name.setdefault(place.name, []).append(place)
    for same_name in by_name.values():
        assign(same_name, ownership)
    return ownership


def assign(places: list[ParameterUse], ownership: Ownership) -> None:
    """Owners for the parameters of one name: the place with the most of them first."""
    for place in sorted(places, key=lambda place: -len(set(place.keys(place.site.route)))):
        route = place.site.route[: place.depth()]
        keys = place.keys(route)
        used = set(place.keys(place.site.route))
        if len(keys) == len(used) and set(keys) == used and not used & ownership.made_for.keys():
            ownership.made_for.update((key, place.operator) for key in keys)
            ownership.declarations.append(ParameterLine(place, route, place.site.indices[len(route)]))
    for place in places:
        for key in place.keys(place.site.route):
            if key not in ownership.made_for:
                ownership.made_for[key] = place.operator
                ownership.alone.append(key)


ARGUMENTS = ("in_channels", "num_classes")
"""The arguments of a generated class, where the network allows any other value."""


def free_sizes(graph: Graph) -> dict[tuple[Key, str], str]:
    """The sizes of parameters that are the input's channels or the classes, where nothing else depends on those."""
    nodes = graph.nodes()
    users: dict[Key, list[int]] = {}
    readers: list[list[int]] = [[] for _ in nodes]
    for at, node in enumerate(nodes):
        for key in node.stored:
            users.setdefault(key, []).append(at)
        for operand in graph.operands(at):
            readers[operand].append(at)
    head = nodes[graph.values[graph.program.output, ()]]
    free: dict[tuple[Key, str], str] = {}
    if isinstance(head.operator, Linear) and head.operator.outputs is None and head.parameter is not None:
        if len(users[head.parameter]) == 1 and not readers[graph.values[graph.program.output, ()]]:
            free[head.parameter, "out"] = "num_classes"
    return free | dict.fromkeys(input_sizes(graph, nodes, users, readers), "in_channels")


def input_sizes(
    graph: Graph, nodes: Sequence[Node], users: Mapping[Key, Sequence[int]], readers: Sequence[Sequence[int]]
) -> list[tuple[Key, str]]:
    """The sizes that the input's channels give; none if something else depends on them.

    They reach as far as the first kernels, through what leaves channels apart.
    """
    reached, found = [0], dict[tuple[Key, str], None]()
    for at in reached:
        for reader in readers[at]:
            node = nodes[reader]
            key = node.parameter
            if isinstance(node.operator, Convolution) and key is not None:
                declared = graph.program.parameters[key[0]].attributes
                if "in" in declared or graph.parameters[key].sizes.get("groups", 1) != 1:
                    return []
                found[key, "in"] = None
            elif isinstance(node.operator, Pointwise | Pool) and len(graph.operands(reader)) == 1 and not node.stored:
                if len(node.shape) != len(nodes[0].shape):
                    return []
                reached += [] if reader in reached else [reader]
            elif type(node.operator) is BatchNorm and key is not None:
                found[key, "channels"] = None
                reached += [] if reader in reached else [reader]
            else:
                return []
    inside = set(reached)
    own = all(inside.issuperset(graph.operands(user)) for key, _ in found for user in users[key])
    return list(found) if own else []
