"""What two networks say and share differently, and the boxes that differ in the picture of the second."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cldfc.network.graph import Graph
from cldfc.network.sharing import Sharing, compare_sharing
from cldfc.show.shapes import DrawnBox, Picture
from cldfc.syntax import tree
from cldfc.syntax.difference import Change, compare_trees


@dataclass(frozen=True, slots=True)
class Difference:
    """What one network says, and what it shares, differently from another."""

    statements: tuple[Change, ...]
    sharing: Mapping[str, tuple[Sharing | None, Sharing | None]]


def difference_of(before: Graph, after: Graph) -> Difference:
    statements = compare_trees(before.program.spec, after.program.spec)
    return Difference(tuple(statements), compare_sharing(before, after))


def sharing_text(family: str, before: Sharing | None, after: Sharing | None) -> str:
    """`A: one per (ℓ, i), 8 kernels → one per ℓ, 4 kernels`."""
    return f"{family}: {before or 'none'} → {after or 'none'}"


def find_marks(difference: Difference, after: Graph, picture: Picture) -> frozenset[int]:
    """The boxes of a picture of the second network that differ from the first.

    Kernels and scalars that are declared or shared differently, and values that another equation defines.
    """
    changed = [change.after for change in difference.statements if change.after is not None]
    declared = {s.symbol.name for s in changed if isinstance(s, tree.KernelStatement | tree.Scalar)}
    names = declared | difference.sharing.keys()
    equations = {statement for statement in changed if isinstance(statement, tree.Equation)}
    return frozenset(at for at, node in enumerate(picture.nodes) if is_marked(after, node, names, equations))


def is_marked(graph: Graph, node: DrawnBox, names: set[str], equations: set[tree.Equation]) -> bool:
    if node.kind != "value":
        return any(name in names for name, _ in node.parameters)
    return node.instance >= 0 and graph.instances[node.instance].template.statement in equations
