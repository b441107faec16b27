"""The compiler on one page: text → tree → program → operations → shapes → graph → code.

    network = Compilation(read_source(Path("specs/fbresnet.cldf")))
    network.shapes                  # raises CldfError with everything that is wrong
    network.graph("simplified")
    network.code()

Each stage is computed when it is first asked for, and once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal, get_args

from cldfc.algebra.infer import infer_network
from cldfc.algebra.remarks import (
    remark_left_out,
    remark_passed_over,
    remark_softmax,
    remark_unbounded_head,
    remark_unused,
)
from cldfc.diagnostics import CldfError, Diagnostic, Problems, Source, UsageError, one_of
from cldfc.network.constants import check_order
from cldfc.network.cost import check_expectations
from cldfc.network.declarations import collect_names
from cldfc.network.ends import GivenShape
from cldfc.network.positions import LARGEST_SIZE
from cldfc.network.resolve import Changes
from cldfc.network.shapes import Inferred
from cldfc.syntax import tree
from cldfc.syntax.format import format_statement
from cldfc.syntax.parse import collector_paused
from cldfc.syntax.read import change_spec, read_spec
from cldfc.syntax.spelling import ascii_name, canonical_name

if TYPE_CHECKING:
    from cldfc.algebra.fold_norms import Folded
    from cldfc.algebra.residual.derivation import Derivation
    from cldfc.network.cost import Cost
    from cldfc.network.graph import Graph
    from cldfc.network.names import Names
    from cldfc.network.program import Program

AS_WRITTEN = Changes()

Form = Literal["written", "simplified", "residual", "auto"]
"""The network as the spec writes it; without what its equations do for nothing; with residuals in place of
features, by Theorem 1; or whichever of the last two has fewer multiply-adds."""

REMARKS = (remark_unbounded_head, remark_left_out, remark_softmax, remark_passed_over, remark_unused)


@dataclass(frozen=True, slots=True)
class _Reading:
    tree: tree.Tree
    problems: Problems


@dataclass(frozen=True, eq=False)
class Compilation:
    """A spec, what is changed in it, and all that becomes of it. Stages raise CldfError unless the spec is right."""

    source: Source
    changes: Changes = AS_WRITTEN

    # Text → tree

    @cached_property
    @collector_paused()
    def own(self) -> _Reading:
        """The statements of the text after those that it extends."""
        problems = Problems()
        return _Reading(read_spec(self.source, problems), problems)

    @cached_property
    def changed(self) -> _Reading:
        problems = self.own.problems.copy()
        return _Reading(change_spec(self.own.tree, self.changes.statements, problems), problems)

    @property
    def tree(self) -> tree.Tree:
        """The statements, right or wrong: with what they extend, and with the changes."""
        return self.changed.tree

    @cached_property
    def names(self) -> Names:
        """What names stand for, right or wrong; those that need themselves stand for nothing."""
        names = collect_names(self.tree, Problems())
        check_order(names, names.problems)
        return names

    @property
    def text(self) -> str:
        """The text of a spec that stands for itself: with what it extends, and with the changes.

        What a spec expects, it expects of the network that it writes: a changed one has no `expect`.
        """
        is_changed = bool(self.changes.statements)
        if not is_changed and all(statement.span.source is self.source for statement in self.tree.statements):
            return self.source.text
        kept = [s for s in self.tree.statements if not (is_changed and isinstance(s, tree.Expect))]
        return "".join(f"{format_statement(statement)}\n" for statement in kept)

    # Tree → program → operations → shapes

    @cached_property
    @collector_paused()
    def shapes(self) -> Inferred:
        """The operations with their shapes. Everything that can be wrong with a spec is found here."""
        if self.as_written is not self and any(isinstance(s, tree.Expect) for s in self.own.tree.statements):
            # What the spec expects, it expects of itself.
            self.as_written.check()
        return _infer(self.changed, self.changes)

    def check(self) -> Compilation:
        """The same, if nothing is wrong with it. Raises CldfError."""
        _ = self.shapes
        return self

    @property
    def program(self) -> Program:
        return self.shapes.expansion.program

    @property
    def class_name(self) -> str:
        return ascii_name(self.program.model)

    @cached_property
    @collector_paused()
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """What is wrong; or, of a spec that is right, what may go wrong."""
        try:
            return tuple(remark for find in REMARKS for remark in find(self.shapes))
        except CldfError as error:
            return error.diagnostics

    @cached_property
    def is_right(self) -> bool:
        try:
            self.check()
        except CldfError:
            return False
        return True

    # Shapes → graph → code

    @cached_property
    @collector_paused()
    def written(self) -> Graph:
        from cldfc.network.graph import build_graph

        return build_graph(self.shapes)

    @cached_property
    @collector_paused()
    def simplified(self) -> Graph:
        """The same network with less work, and the same bits in its forward pass."""
        from cldfc.algebra.simplify import simplify

        return simplify(self.written)

    @cached_property
    @collector_paused()
    def derivation(self) -> Derivation:
        """The residual form, source to source: Theorem 1. Raises CldfError also when there is none."""
        from cldfc.algebra.residual.residual_form import derive_residual

        return derive_residual(self.check().tree, self.sized(None, None).shapes)

    @cached_property
    def residual(self) -> Compilation:
        """The spec with residuals in place of features. Raises CldfError also when there is none."""
        spec = self.derivation.spec
        return _read_already(spec.source, replace(self.changes, statements=()), _Reading(spec, Problems()))

    @cached_property
    @collector_paused()
    def normal(self) -> Compilation:
        """The spec with the iteration for 𝒜ᵀ𝒜(u) = 𝒜ᵀ(f). Raises CldfError also when there is none."""
        from cldfc.algebra.residual.residual_form import derive_normal

        spec = derive_normal(self.check().tree, self.sized(None, None).shapes)
        return _read_already(spec.source, replace(self.changes, statements=()), _Reading(spec, Problems()))

    @cached_property
    def costs(self) -> list[Cost]:
        from cldfc.network.cost import cost_of_operations

        return cost_of_operations(self.written)

    @cached_property
    def cost(self) -> Cost:
        """Parameters, and multiply-adds, convolutions, depth and bytes kept for one image, as the spec writes it."""
        from cldfc.network.cost import cost_of_network

        return cost_of_network(self.written)

    def graph(self, form: Form = "simplified") -> Graph:
        """The network in one of its forms; `residual` raises CldfError also when there is none."""
        match form:
            case "written":
                return self.written
            case "simplified":
                return self.simplified
            case "residual":
                return self.residual.simplified
            case "auto":
                return self.cheapest

    @cached_property
    def cheapest(self) -> Graph:
        """The residual form, if there is one and it has fewer multiply-adds; else the simplified one."""
        from cldfc.network.cost import cost_of_network

        graph = self.simplified
        try:
            other = self.residual.simplified
        except CldfError:
            return graph
        return min(graph, other, key=lambda graph: cost_of_network(graph).multiply_adds)

    @collector_paused()
    def code(self, form: Form = "simplified") -> str:
        """The source of a PyTorch module, which imports torch alone."""
        from cldfc.emit.torch_module import emit_module

        return emit_module(self.graph(form))

    @collector_paused()
    def folded(self, form: Form = "simplified") -> Folded:
        """The network for inference: with normalisations folded into kernels where that is possible."""
        from cldfc.algebra.fold_norms import fold_norms

        return fold_norms(self.graph(form))

    # The same text, otherwise

    @cached_property
    def as_written(self) -> Compilation:
        return self if self.changes == AS_WRITTEN else _read_already(self.source, AS_WRITTEN, self.own)

    def sized(self, shape: GivenShape | None, classes: int | None) -> Compilation:
        """The same spec for images of another shape, and another number of classes; None is the spec's own."""
        changes = replace(self.changes, shape=shape, classes=classes)
        if changes == self.changes:
            return self
        return self.as_written if changes == AS_WRITTEN else _read_already(self.source, changes, self.own)


def _read_already(source: Source, changes: Changes, own: _Reading) -> Compilation:
    compilation = Compilation(source, changes)
    compilation.__dict__["own"] = own
    return compilation


def _infer(reading: _Reading, changes: Changes) -> Inferred:
    problems = reading.problems.copy()
    inferred = infer_network(reading.tree, changes, problems)
    if changes == AS_WRITTEN:
        check_expectations(reading.tree, inferred, problems)
    problems.stop_if_any()
    return inferred


_NEXT_INPUT = re.compile(r"[\s,;]+(?=[^\s,;=]+=)")
"""Between `f=1x64x64` and `g=1x64x64`."""
_SHAPE = re.compile(r"\s*[0-9]{1,9}(?:\s*[x×,]\s*[0-9]{1,9}){0,3}\s*")


def read_changes(
    lets: Sequence[str] | None = None,
    ties: Sequence[str] | None = None,
    input: str | None = None,
    classes: int | None = None,
) -> Changes:
    """What the command line asks for instead of what the spec says. Raises UsageError."""
    changes = [*(change("let", text) for text in lets or ()), *(change("tie", text) for text in ties or ())]
    if classes is not None and not 1 <= classes <= LARGEST_SIZE:
        raise UsageError(f"{classes:,} classes are not possible", f"write a number from 1 to {LARGEST_SIZE:,}")
    if input is None or "=" not in input:
        return Changes(None if input is None else _read_shape(input), classes, tuple(changes))
    named = [part.partition("=") for part in _NEXT_INPUT.split(input.strip())]
    shapes = tuple((canonical_name(name.strip()), _read_shape(shape)) for name, _, shape in named)
    return Changes(None, classes, tuple(changes), shapes)


def change(word: str, text: str) -> Source:
    """One statement of the command line, on one line; it may name its first word again."""
    statement = " ".join(text.split("\n")).strip()
    if not statement.startswith(f"{word} "):
        statement = f"{word} {statement}"
    return Source(f"--{word}", statement, is_command=True)


def read_form(text: str) -> Form:
    """`written`, `simplified`. Raises UsageError."""
    forms: tuple[Form, ...] = get_args(Form)
    return one_of(text, forms, "form of a network", "the forms are")


def _read_shape(text: str) -> GivenShape:
    """`3x224x224`. Raises UsageError."""
    sizes = tuple(int(size) for size in re.findall("[0-9]+", text)) if _SHAPE.fullmatch(text) else ()
    if not sizes or not all(1 <= size <= LARGEST_SIZE for size in sizes):
        raise UsageError(
            f"`{text}` is not a valid shape for an input",
            "write channels and sizes: `--input 3x32x32`, or of one input by its name, `--input f=3x32x32`",
        )
    return sizes
