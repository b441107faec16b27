"""Parameters that get no gradient: applied to zeros only, or in terms that cancel."""

from __future__ import annotations

from cldfc.network.graph import Graph
from cldfc.network.positions import Key
from cldfc.ops import Add

_MOST_TERMS = 64
"""The most terms of an expanded sum; a longer one is not expanded."""

_Terms = dict[int, int]
"""Operations with integer factors, whose sum an operation is."""


def find_untrained(graph: Graph) -> dict[Key, str]:
    """The parameters whose gradient is zero whatever the data are, each with the reason.

    `graph` has its zeros dropped and its equal operations merged. A at the last level of Algorithm 2 with ν_J = 1 is
    one: f^J has A^J * u^{J,0} as a term, and the only step subtracts it again, (4.3) and (4.4).
    """
    used = {node.parameter for node in graph.nodes()}
    alive = {graph.node(at).parameter for at in _reach(graph)}
    trained = [key for key, stored in graph.parameters.items() if stored.numbers]
    zeros = {key: "it is applied to nothing but zeros" for key in trained if key not in used}
    cancelled = {key: "its terms cancel" for key in trained if key in used and key not in alive}
    return {**zeros, **cancelled}


def _reach(graph: Graph) -> set[int]:
    """The operations that the outputs depend on, once sums are added up: without a minus, none cancels."""
    subtracts = any(isinstance(node.operator, Add) and -1 in node.operator.signs for node in graph.nodes())
    terms = _expand_sums(graph) if subtracts else None
    reached: set[int] = set()
    stack = [graph.values[key] for key in graph.program.output_keys]
    stack = stack if terms is None else [term for at in stack for term in terms[at]]
    while stack:
        at = stack.pop()
        if at not in reached:
            reached.add(at)
            operands = graph.inputs[at]
            stack += operands if terms is None else [term for operand in operands for term in terms[operand]]
    return reached


def _expand_sums(graph: Graph) -> list[_Terms]:
    """Each operation as a sum of others; one that is not a sum is itself, once."""
    found: list[_Terms] = []
    for at, (node, operands) in enumerate(zip(graph.nodes(), graph.inputs, strict=True)):
        found.append({at: 1})
        if isinstance(node.operator, Add):
            total: _Terms = {}
            for sign, operand in zip(node.operator.signs, operands, strict=True):
                for term, factor in found[operand].items():
                    total[term] = total.get(term, 0) + sign * factor
            if len(total) <= _MOST_TERMS:
                found[at] = {term: factor for term, factor in total.items() if factor}
    return found
