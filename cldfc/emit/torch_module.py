"""Graph → the PyTorch module that a careful person would have written."""

from __future__ import annotations

from cldfc.emit import layout
from cldfc.emit.constructor import Constructor, initialisers
from cldfc.emit.docstring import describe
from cldfc.emit.forward import Forward
from cldfc.emit.naming import Naming
from cldfc.emit.order import arrange
from cldfc.emit.parameters import assign_owners, places_of
from cldfc.network.graph import Graph
from cldfc.syntax.spelling import ascii_name


def emit_module(graph: Graph, *remarks: str) -> str:
    """The source of a Python module with one class, the network; it imports torch alone.

    Its docstring ends with the remarks.
    """
    body = [*initialisers(graph), *class_lines(graph)]
    code = "\n".join(body)
    lines = ['"""' + describe(graph)[0], *describe(graph)[1:], *remarks, '"""', "", "import torch"]
    lines += ["import torch.nn.functional as F"] if "F." in code else []
    lines += ["from torch import nn", "", "", *body]
    return "\n".join(lines) + "\n"


def class_lines(graph: Graph) -> list[str]:
    """The class of a network: `forward` in its loops, `__init__` in those of the network as it is written.

    A rewrite then has the parameters of the network as written, drawn in the same order. `forward` is worked out
    first, for it decides which tables are attributes.
    """
    graph, items = arrange(graph)
    names = Naming(graph)
    made = items if graph.written is None else arrange(graph.written)[1]
    ownership = assign_owners(places_of(made))
    argument = names.locals.given[graph.program.input.name, 0]
    head = layout.call("def forward", ["self", f"{argument}: torch.Tensor"], " -> torch.Tensor:", 1)
    names.sizes.in_forward = True
    forward = Forward(names, ownership, places_of(items), items).lines()
    names.sizes.in_forward = False
    init = Constructor(names, ownership, made).lines()
    return [
        f"class {ascii_name(graph.program.model)}(nn.Module):",
        *layout.indent(["def __init__(self) -> None:", *layout.indent(init), ""]),
        *layout.indent([*head, *layout.indent(forward)]),
    ]
