"""The whole compiler on one page: text → tree → program → operations → shapes → graph → code."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from cldfc.diagnostics import Problems, Source
from cldfc.network.expand import expand_program
from cldfc.network.resolve import Task, resolve_spec
from cldfc.network.shapes import Inferred, infer_shapes
from cldfc.syntax.parse import parse_spec

if TYPE_CHECKING:
    from cldfc.network.graph import Graph

AS_WRITTEN = Task()

SIMPLIFICATIONS: tuple[Callable[[Graph], Graph], ...] = ()
"""Rewrites of the graph, in their order; each is a function in `cldfc.algebra`."""


def analyse(source: Source, task: Task = AS_WRITTEN) -> Inferred:
    """Everything that can be wrong with a spec is found here. Raises CldfError."""
    problems = Problems()
    spec = parse_spec(source, problems)
    program = resolve_spec(spec, task, problems)
    expansion = expand_program(program, problems)
    return infer_shapes(expansion, problems)


def build(source: Source, task: Task = AS_WRITTEN) -> Graph:
    """The network as a graph. Raises CldfError.

    networkx is loaded here, for `cldfc check` answers sooner without it.
    """
    from cldfc.network.graph import build_graph

    graph = build_graph(analyse(source, task))
    for simplify in SIMPLIFICATIONS:
        graph = simplify(graph)
    return graph


def compile_source(source: Source, task: Task = AS_WRITTEN) -> str:
    """The source of a PyTorch module for a spec. Raises CldfError."""
    from cldfc.emit.torch_module import emit_module

    return emit_module(build(source, task))
