"""Graph → the PyTorch module that a careful person would have written."""

from __future__ import annotations

from collections.abc import Sequence

from cldfc.emit import python
from cldfc.emit.constructor import Constructor, initialisers
from cldfc.emit.forward import Forward
from cldfc.emit.loops import Item
from cldfc.emit.naming import ARGUMENTS, Naming, NotFree, Ownership, ParameterUse, assign_owners, places_of
from cldfc.emit.schedule import Execution, arrange, execute
from cldfc.emit.signature import argument, checkers, outputs_class, result_type
from cldfc.emit.solvers import REPORT, has_solvers
from cldfc.emit.statements import describe, describe_class
from cldfc.network.graph import Graph
from cldfc.syntax.spelling import ascii_name


def emit_module(graph: Graph, *remarks: str) -> str:
    """The source of a Python module with one class, the network; beside Python's library it imports torch alone.

    Its docstring ends with the remarks.
    """
    network = _class_lines(graph)
    body = [*initialisers(graph), *checkers("\n".join(network)), *network]
    code = "\n".join(body)
    first, *about = describe(graph)
    lines = ['"""' + first, *about, *remarks, '"""', ""]
    lines += ["from collections.abc import Callable"] if has_solvers(graph) else []
    lines += ["from typing import NamedTuple"] if len(graph.program.outputs) > 1 else []
    lines += [*[""] * (lines[-1] != ""), "import torch"]
    lines += ["import torch.nn.functional as F"] if "F." in code else []
    lines += ["from torch import nn", "", "", *outputs_class(graph.program), *body]
    return "\n".join(lines) + "\n"


def _class_lines(graph: Graph) -> list[str]:
    """The class of a network: `forward` in its loops, `__init__` in those of the network as it is written.

    So a rewrite has the parameters of the network as written, drawn in the same order. `forward` is worked out first,
    because it decides which tables are attributes.
    """
    graph, items = arrange(graph)
    execution = execute(graph, items)
    made = items if graph.written is None else arrange(graph.written)[1]
    places = places_of(made)
    ownership = assign_owners(places)
    if execution.items is not made:
        places = places_of(execution.items)
    refused: set[str] = set()
    while True:
        names = Naming(graph, refused)
        names.name_variables(execution)
        try:
            return _write_class(names, ownership, places, execution, made)
        except NotFree as error:
            refused |= set(error.args)


def _docstring(graph: Graph) -> list[str]:
    text = f'"""{describe_class(graph)}'
    return [text, "", *REPORT, '"""'] if has_solvers(graph) else [f'{text}"""']


def _write_class(
    names: Naming, ownership: Ownership, places: Sequence[ParameterUse], execution: Execution, made: list[Item]
) -> list[str]:
    """The class with these names. Raises NotFree."""
    program = names.graph.program
    arguments = [argument(names, family) for family in program.inputs]
    head = python.call("def forward", ["self", *arguments], f" -> {result_type(program)}:", 1)
    names.sizes.in_forward = True
    writer = Forward(names, ownership, places, execution.items)
    forward, methods = writer.lines(), [*writer.methods.lines(), *writer.recursions.lines()]
    names.sizes.in_forward = False
    init = Constructor(names, ownership, made).lines()
    given = {"in_channels": next(iter(program.shape), 1), "num_classes": program.classes}
    free = [f"{name}: int = {given[name]}" for name in ARGUMENTS if name in names.free.values()]
    return [
        f"class {ascii_name(program.model)}(nn.Module):",
        *python.indent([*_docstring(names.graph), ""]),
        *python.indent(python.call("def __init__", ["self", *(["*"] if free else []), *free], " -> None:", 1)),
        *python.indent([*python.indent(init), ""]),
        *python.indent(methods),
        *python.indent([*head, *python.indent(forward)]),
    ]
