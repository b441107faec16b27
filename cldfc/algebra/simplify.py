"""Graph rewrites that leave the forward pass bitwise the same."""

from __future__ import annotations

from collections.abc import Callable

from cldfc.algebra.drop_copies import drop_copies
from cldfc.algebra.drop_zeros import drop_zeros
from cldfc.algebra.merge_equal import merge_equal
from cldfc.network.graph import Graph

_Rewrite = Callable[[Graph], Graph]

REWRITES: tuple[_Rewrite, ...] = (drop_zeros, merge_equal, drop_copies)
"""In their order: a dropped zero leaves equal operations behind, and both leave copies."""


def simplify(graph: Graph) -> Graph:
    for rewrite in REWRITES:
        graph = rewrite(graph)
    return graph
