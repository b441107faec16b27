"""What a picture says of a box when somebody points at it: its shape and what it costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from cldfc.network.cost import Cost, cost_of_operations, count_uses
from cldfc.network.graph import Graph
from cldfc.network.positions import Key, format_key
from cldfc.show.kernels import widths_text
from cldfc.show.labels import operator_word
from cldfc.show.shapes import DrawnBox
from cldfc.syntax.format import format_equation


def describe_boxes(graph: Graph, nodes: Sequence[DrawnBox]) -> list[str]:
    costs, uses = cost_of_operations(graph), count_uses(graph)
    return ["\n".join(filter(None, describe_node(graph, costs, uses, node))) for node in nodes]


def describe_node(graph: Graph, costs: Sequence[Cost], uses: Mapping[Key, int], node: DrawnBox) -> Iterator[str]:
    yield title(graph, node)
    results = [graph.node(at) for at in node.operations]
    yield f"result {'×'.join(map(str, results[-1].shape))}"
    if node.kind == "value":
        return
    if len(node.parameters) == 1 and uses[node.parameters[0]] > 1:
        yield f"{uses[node.parameters[0]]} uses in the network"
    stored = sum({r.parameter: graph.parameters[r.parameter].count() for r in results if r.parameter}.values())
    yield f"{stored:,} parameters" if stored else ""
    work = sum(costs[at].multiply_adds for at in node.operations)
    yield f"{work:,} multiply-adds for an image" if work else ""


def title(graph: Graph, node: DrawnBox) -> str:
    """The first line: a kernel with its widths, operators in the order of use, the equation of a value."""
    if node.parameters:
        name = ", ".join(map(format_key, node.parameters[:4])) + ", …" * (len(node.parameters) > 4)
        return f"{name}: {widths_text(graph, node.parameters)}"
    if node.kind == "value":
        if node.instance < 0:
            return "the input"
        template = graph.instances[node.instance].template
        return "a term of " * template.is_inner + format_equation(template.statement)
    members = [graph.node(at) for at in node.operations if graph.node(at).instance == node.instance]
    return ", then ".join(operator_word(member.operator) for member in members)
