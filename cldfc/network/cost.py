"""What a network costs: parameters, multiply-adds, convolutions."""

from __future__ import annotations

from collections import Counter

from cldfc.network.graph import Graph
from cldfc.ops import Kernel, Sizes


def count_uses(graph: Graph) -> Counter[tuple[str, tuple[int, ...]]]:
    """How often the spec uses each parameter."""
    return Counter(node.parameter for node in graph.as_written.nodes() if node.parameter is not None)


def count_unshared(graph: Graph) -> int:
    """Parameters if every use had its own."""
    return sum(graph.parameters[key].count() * uses for key, uses in count_uses(graph).items())


def multiply_adds(graph: Graph, at: int) -> int:
    """Multiply-adds of one operation, for one image."""
    node = graph.node(at)
    operands = [graph.node(operand).shape for operand in graph.operands(at)]
    sizes: Sizes = graph.parameters[node.parameter].sizes if node.parameter else {}
    return node.operator.multiply_adds(operands, node.shape, sizes)


def count_multiply_adds(graph: Graph) -> int:
    """Multiply-adds of convolutions and linear maps, for one image."""
    return sum(multiply_adds(graph, at) for at in range(len(graph.net)))


def count_convolutions(graph: Graph) -> int:
    """How many convolutions are computed."""
    return sum(isinstance(node.operator, Kernel) for node in graph.nodes())
