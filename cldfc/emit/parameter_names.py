"""What the parameters of a network are called in its generated module."""

from __future__ import annotations

from cldfc.emit.naming import Naming
from cldfc.network.graph import Graph
from cldfc.network.positions import Key


def parameter_names(graph: Graph) -> dict[Key, str]:
    """`A.1`, `bn_f.1_2`, `theta`: the part of the names in `state_dict` that stands for each parameter."""
    names = Naming(graph)
    return {key: names.path(key) for key in graph.parameters}
