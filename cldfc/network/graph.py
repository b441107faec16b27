"""The network as a graph: a networkx MultiDiGraph whose nodes are pydantic models."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import networkx
from pydantic import BaseModel, ConfigDict, PositiveInt, SerializeAsAny

from cldfc.network.expand import Instance
from cldfc.network.positions import Key, format_key
from cldfc.network.program import Program
from cldfc.network.shapes import Inferred, Stored
from cldfc.ops import Operator


class Node(BaseModel):
    """One operation: what it does, the shape of its result, and the place that it comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    operator: SerializeAsAny[Operator]
    shape: tuple[PositiveInt, ...]
    parameter: tuple[str, tuple[int, ...]] | None
    instance: int
    """The equation at one choice of its indices; -1 for the input."""
    step: int
    """The place in that equation."""
    statistics: tuple[str, tuple[int, ...]] | None = None
    """The running statistics of this use of a shared normalisation."""

    @property
    def stored(self) -> list[Key]:
        return [key for key in (self.parameter, self.statistics) if key is not None]


@dataclass(frozen=True)
class Graph:
    """A network: operations 0, 1, … in an order in which they can be computed.

    `net` has one node for each operation, under the attribute `node`, and one edge for each operand,
    with its place among the operands under `operand`.
    """

    program: Program
    net: networkx.MultiDiGraph[int]
    instances: tuple[Instance, ...]
    values: dict[Key, int]
    parameters: dict[Key, Stored]
    written: Graph | None = None
    """The network that the spec writes, where this one is a rewrite of it; it has the same parameters."""

    @property
    def as_written(self) -> Graph:
        return self.written or self

    def node(self, at: int) -> Node:
        return self.net.nodes[at]["node"]

    def nodes(self) -> list[Node]:
        """All operations, operands before what uses them."""
        return [self.node(at) for at in range(self.net.number_of_nodes())]

    def operands(self, at: int) -> list[int]:
        return list(self.inputs[at])

    @cached_property
    def inputs(self) -> list[list[int]]:
        """The operands of every operation; asking networkx for those of one takes long."""
        places: list[dict[int, int]] = [{} for _ in range(len(self.net))]
        edges: Iterable[tuple[int, int, int]] = self.net.edges(data="operand")
        for source, target, place in edges:
            places[target][place] = source
        return [[sources[place] for place in range(len(sources))] for sources in places]

    @cached_property
    def members(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {number: [] for number in range(-1, len(self.instances))}
        for at, node in enumerate(self.nodes()):
            found[node.instance].append(at)
        return found

    def shape(self, value: Key) -> tuple[int, ...]:
        return self.node(self.values[value]).shape


def build_graph(inferred: Inferred) -> Graph:
    """The graph of a network whose shapes are known. Raises ValueError when it is not a network."""
    expansion = inferred.expansion
    net: networkx.MultiDiGraph[int] = networkx.MultiDiGraph(name=expansion.program.model)
    for at, (operation, shape) in enumerate(zip(expansion.operations, inferred.shapes, strict=True)):
        node = Node(
            operator=operation.operator,
            shape=shape,
            parameter=operation.parameter,
            instance=operation.instance,
            step=operation.step,
            statistics=operation.statistics,
        )
        net.add_node(at, node=node)
        net.add_edges_from((operand, at, {"operand": place}) for place, operand in enumerate(operation.operands))
    graph = Graph(expansion.program, net, tuple(expansion.instances), dict(expansion.values), dict(inferred.parameters))
    validate_graph(graph)
    return graph


def validate_graph(graph: Graph) -> None:
    """Raise ValueError unless operands come first and every parameter is stored; a rewrite may leave some unused."""
    for source, target in graph.net.edges():
        if source >= target:
            raise ValueError(f"operation {target} uses operation {source}, which comes later")
    used = {key for node in graph.nodes() for key in node.stored}
    wrong = used - graph.parameters.keys() if graph.written else used ^ graph.parameters.keys()
    if wrong:
        raise ValueError(f"parameters used and stored differ: {', '.join(sorted(map(format_key, wrong)))}")
