"""The parameters of the residual form under the names that they have in the spec: its `rename` statements.

Kernels and scalars keep their names by themselves. Normalisations are named after their places, which are others
now; which is which is worked out place by place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from cldfc.algebra.residual.derivation import DerivedEquation
from cldfc.algebra.residual.trees import NOWHERE, Indices, substitute_index
from cldfc.algebra.residual.vocabulary import family_of
from cldfc.network.numbers import Tag
from cldfc.network.positions import Lookup, Position
from cldfc.network.program import Program, Template, Use
from cldfc.ops import Kernel, ScaleBy
from cldfc.syntax import tree


def keep_names(entries: Sequence[DerivedEquation], derived: Program, program: Program) -> list[tree.Rename]:
    """What gives each parameter of the residual form its name in the spec; `program` is the spec's.

    The normalisations of an equation are those of its origins, one after the other.
    """
    found: list[tree.Rename] = []
    equations = [s for s in derived.spec.statements if isinstance(s, tree.Equation)]
    for equation, entry in zip(equations, entries, strict=True):
        new = owned_by(equation, derived, {})
        old = [symbol for origin in entry.origins for symbol in owned_by(origin.equation, program, origin.indices)]
        found += [tree.Rename(*pair, NOWHERE) for pair in zip(new, old, strict=True)]
    # A `rename` speaks of all parameters of a name with so many indices: where one has moved, each says where it is.
    moved = {family_of(rename.old) for rename in found if rename.old != rename.new}
    return list(dict.fromkeys(rename for rename in found if family_of(rename.old) in moved))


def owned_by(equation: tree.Equation, program: Program, indices: Indices) -> Iterator[tree.Symbol]:
    """The normalisations with their statistics, and the linear layers of an equation, in their order.

    `indices` are what stands for its index names.
    """
    for template in program.templates:
        if template.statement is equation:
            for step in template.steps:
                for use in [] if isinstance(step.operator, Kernel | ScaleBy) else step.uses():
                    yield tree.Symbol(use.name, tag_of(use, template, indices), NOWHERE)


def tag_of(use: Use, template: Template, indices: Indices) -> Tag:
    """The tag of a parameter: as its equation has it on the left, with `J` rather than 3, if it is the same."""
    if use.positions == template.left and not template.is_inner:
        return tuple(substitute_index(index, indices) for index in template.statement.left.tag)
    return tuple(index_at(position, indices) for position in use.positions)


def index_at(position: Position, indices: Mapping[str, tree.Index]) -> tree.Index:
    match position.base:
        case None:
            return tree.Index(None, None, position.offset, NOWHERE)
        case Lookup(constant, at):
            return tree.Index(constant.name, index_at(at, indices), position.offset, NOWHERE)
        case name:
            return substitute_index(tree.Index(name, None, position.offset, NOWHERE), indices)
