"""Which normalisation follows each use of a kernel."""

from __future__ import annotations

from dataclasses import dataclass

from cldfc.network.graph import Graph, Node
from cldfc.network.positions import Key
from cldfc.ops import BatchNorm, Kernel, Normalisation


@dataclass(frozen=True, slots=True)
class Norm:
    """One normalisation: where its scale and shift are stored, which may be shared, and where its statistics are."""

    scale: Key
    statistics: Key


def norm_of(node: Node) -> Norm | None:
    if not isinstance(node.operator, Normalisation) or node.parameter is None:
        return None
    return Norm(node.parameter, node.statistics or node.parameter)


def norms_after_kernels(graph: Graph) -> dict[Key, list[Norm | None]]:
    """For each use of each kernel, the batch normalisation that alone reads the result; None where others do."""
    readers = readers_of(graph)
    found: dict[Key, list[Norm | None]] = {}
    for at, node in enumerate(graph.nodes()):
        if isinstance(node.operator, Kernel) and node.parameter is not None:
            read_by = [graph.node(reader) for reader in readers[at]]
            is_alone = len(read_by) == 1 and isinstance(read_by[0].operator, BatchNorm)
            found.setdefault(node.parameter, []).append(norm_of(read_by[0]) if is_alone else None)
    return found


def readers_of(graph: Graph) -> list[list[int]]:
    """For each operation those that read it, once for each operand."""
    found: list[list[int]] = [[] for _ in range(len(graph.net))]
    for at in range(len(graph.net)):
        for operand in graph.operands(at):
            found[operand].append(at)
    return found
