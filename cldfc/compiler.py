"""The whole compiler on one page: text → tree → program → operations → shapes → graph → code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from cldfc.algebra.left_out import remark_left_out
from cldfc.algebra.nonnegative import prove_constraints
from cldfc.algebra.unbounded_head import remark_unbounded_head
from cldfc.collector import collector_paused
from cldfc.diagnostics import CldfError, Diagnostic, Problems, Source
from cldfc.network.expand import expand_program
from cldfc.network.expect import check_expectations
from cldfc.network.renames import check_renamed
from cldfc.network.resolve import Task, resolve_spec
from cldfc.network.shapes import Inferred, infer_shapes
from cldfc.syntax import tree
from cldfc.syntax.extend import change_spec, read_spec
from cldfc.syntax.lines import format_statement

if TYPE_CHECKING:
    from cldfc.algebra.residual.derivation import Derivation
    from cldfc.network.graph import Graph

AS_WRITTEN = Task()

Form = Literal["written", "simplified", "residual", "auto"]
"""The network as the spec writes it; without what its equations do for nothing; with residuals in the place of
features, by Theorem 1; or whichever of the last two has fewer multiply-adds."""


@collector_paused()
def analyse(source: Source, task: Task = AS_WRITTEN) -> Inferred:
    """Everything that can be wrong with a spec is found here. Raises CldfError."""
    problems = Problems()
    spec = read_spec(source, problems)
    if task == AS_WRITTEN:
        return analyse_spec(spec, task, problems)
    if any(isinstance(statement, tree.Expect) for statement in spec.statements):
        analyse_spec(spec, AS_WRITTEN, problems)
    return analyse_spec(change_spec(spec, task.changes, problems), task, problems)


def analyse_spec(spec: tree.Spec, task: Task, problems: Problems) -> Inferred:
    """The network of a tree, with every shape. Raises CldfError."""
    program = resolve_spec(spec, task, problems)
    expansion = expand_program(program, problems)
    check_renamed(expansion, problems)
    prove_constraints(spec, expansion, problems)
    inferred = infer_shapes(expansion, problems)
    if task == AS_WRITTEN:
        check_expectations(spec, inferred, problems)
    problems.stop_if_any()
    return inferred


REMARKS = (remark_unbounded_head, remark_left_out)
"""What is worth a remark in a spec that is not wrong."""


def remarks_on(inferred: Inferred) -> list[Diagnostic]:
    """Remarks on a network whose spec is not wrong."""
    return [remark for find in REMARKS for remark in find(inferred)]


def whole_text(source: Source, task: Task = AS_WRITTEN) -> str:
    """The text of a spec that stands for itself: with what it extends, and with the task's changes.

    What a spec expects, it expects of the network that it writes: a changed one has no `expect`.
    """
    spec = change_spec(read_spec(source, Problems()), task.changes, Problems())
    is_alone = not task.changes and all(statement.span.source is source for statement in spec.statements)
    if is_alone:
        return source.text
    kept = [s for s in spec.statements if not (task.changes and isinstance(s, tree.Expect))]
    return "".join(f"{format_statement(statement)}\n" for statement in kept)


@collector_paused()
def build(source: Source, task: Task = AS_WRITTEN, form: Form = "simplified") -> Graph:
    """The network as a graph. Raises CldfError.

    networkx is loaded here, for `cldfc check` answers sooner without it.
    """
    from cldfc.network.graph import build_graph

    if form == "auto":
        return build_cheapest(source, task)
    if form == "residual":
        source, task = derive(source, task).spec.source, Task(task.shape, task.classes)
    graph = build_graph(analyse(source, task))
    return graph if form == "written" else simplify(graph)


def build_cheapest(source: Source, task: Task) -> Graph:
    """The residual form, if there is one and it has fewer multiply-adds; else the simplified one. Raises CldfError."""
    from cldfc.network.cost import cost_of_network

    graph = build(source, task)
    try:
        other = build(source, task, "residual")
    except CldfError:
        return graph
    return min(graph, other, key=lambda graph: cost_of_network(graph).multiply_adds)


def derive(source: Source, task: Task = AS_WRITTEN) -> Derivation:
    """The residual form of a spec, source to source: Theorem 1. Raises CldfError, also when it has none."""
    from cldfc.algebra.residual.residual_form import derive_residual

    analyse(source, task)
    return derive_residual(change_spec(read_spec(source, Problems()), task.changes, Problems()))


def simplify(graph: Graph) -> Graph:
    """The same network with less work, and the same bits in its forward pass."""
    from cldfc.algebra.drop_copies import drop_copies
    from cldfc.algebra.drop_zeros import drop_zeros
    from cldfc.algebra.merge_equal import merge_equal

    for rewrite in (drop_zeros, merge_equal, drop_copies):
        graph = rewrite(graph)
    return graph


@collector_paused()
def compile_source(source: Source, task: Task = AS_WRITTEN, form: Form = "simplified") -> str:
    """The source of a PyTorch module for a spec. Raises CldfError."""
    from cldfc.emit.torch_module import emit_module

    return emit_module(build(source, task, form))
