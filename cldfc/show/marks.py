"""What is marked in the picture of a network that is compared with another: the boxes that differ."""

from __future__ import annotations

from cldfc.network.graph import Graph
from cldfc.show.comparison import Difference
from cldfc.show.shapes import DrawnBox, Picture
from cldfc.syntax import tree


def find_marks(difference: Difference, after: Graph, picture: Picture) -> frozenset[int]:
    """The boxes of a picture of the second network that differ from the first.

    Kernels and scalars that are declared or shared differently, and values that another equation defines.
    """
    changed = [change.after for change in difference.statements if change.after is not None]
    names = {s.symbol.name for s in changed if isinstance(s, tree.KernelStatement | tree.Scalar)} | set(
        difference.sharing
    )
    equations = {statement for statement in changed if isinstance(statement, tree.Equation)}
    return frozenset(at for at, node in enumerate(picture.nodes) if differs(after, node, names, equations))


def differs(graph: Graph, node: DrawnBox, names: set[str], equations: set[tree.Equation]) -> bool:
    if node.kind != "value":
        return any(name in names for name, _ in node.parameters)
    return node.instance >= 0 and graph.instances[node.instance].template.statement in equations
