"""What a network costs: parameters, multiply-adds, convolutions, depth, activation memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cldfc.collector import collector_paused
from cldfc.network.memory import Memory, kept_by_operation
from cldfc.ops import Kernel, Operator, Shape

if TYPE_CHECKING:
    from cldfc.network.graph import Graph
    from cldfc.network.positions import Key
    from cldfc.network.shapes import Stored


@dataclass(frozen=True, slots=True)
class Cost:
    """What an operation, a level or a whole network costs.

    `multiply_adds` and `convolutions` are those of one image; `unshared` are the parameters if every use
    had its own; `depth` is the longest chain of layers with weights; `kept` is what the backward pass needs.
    """

    parameters: int = 0
    unshared: int = 0
    multiply_adds: int = 0
    convolutions: int = 0
    depth: int = 0
    kept: Memory = field(default_factory=Memory)


def count_uses(graph: Graph) -> Counter[Key]:
    """How often the spec uses each parameter."""
    return Counter(key for node in graph.as_written.nodes() for key in node.stored)


def count_unshared(graph: Graph) -> int:
    return sum(graph.parameters[key].count() * uses for key, uses in count_uses(graph).items())


def count_multiply_adds(operator: Operator, operands: list[Shape], result: Shape, parameter: Stored | None) -> int:
    """Multiply-adds of one operation, for one image."""
    return operator.multiply_adds(operands, result, parameter.sizes if parameter is not None else {})


def is_convolution(operator: Operator) -> bool:
    """Whether an operation counts as a convolution; a transposed one does."""
    return isinstance(operator, Kernel)


def cost_of_network(graph: Graph) -> Cost:
    return total_cost(graph, cost_of_operations(graph))


@collector_paused()
def cost_of_operations(graph: Graph) -> list[Cost]:
    """The cost of each operation; what several share counts where it is first used."""
    known: set[Key] = set()
    costs: list[Cost] = []
    for at, (node, kept) in enumerate(zip(graph.nodes(), kept_by_operation(graph), strict=True)):
        key = node.parameter
        parameter = graph.parameters[key] if key is not None else None
        numbers = parameter.count() if parameter is not None else 0
        shapes = [graph.node(operand).shape for operand in graph.operands(at)]
        cost = Cost(
            parameters=0 if key in known else numbers,
            unshared=numbers,
            multiply_adds=count_multiply_adds(node.operator, shapes, node.shape, parameter),
            convolutions=int(is_convolution(node.operator)),
            depth=int(node.operator.is_layer),
            kept=kept,
        )
        costs.append(cost)
        known |= {key} if key is not None else set()
    return costs


def total_cost(graph: Graph, costs: Sequence[Cost], operations: Iterable[int] | None = None) -> Cost:
    chosen = range(len(costs)) if operations is None else sorted(operations)
    return Cost(
        parameters=sum(costs[at].parameters for at in chosen),
        unshared=sum(costs[at].unshared for at in chosen),
        multiply_adds=sum(costs[at].multiply_adds for at in chosen),
        convolutions=sum(costs[at].convolutions for at in chosen),
        depth=longest_chain(graph, costs, chosen),
        kept=sum((costs[at].kept for at in chosen), Memory()),
    )


def longest_chain(graph: Graph, costs: Sequence[Cost], operations: Sequence[int]) -> int:
    """The most layers with weights that follow one another inside some operations, given in their order."""
    depths: dict[int, int] = {}
    for at in operations:
        depths[at] = costs[at].depth + max((depths.get(operand, 0) for operand in graph.operands(at)), default=0)
    return max(depths.values(), default=0)
