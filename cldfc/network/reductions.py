"""`sum(j = 0..i-1 : …)` and `concat(…)`: reductions over an index of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cldfc.network.limits import MOST_STEPS
from cldfc.network.positions import IndexRange, Position
from cldfc.network.program import Read, Reads, Template
from cldfc.network.ranges import resolve_bound
from cldfc.network.words import Scope
from cldfc.ops import Concat, Total
from cldfc.syntax import tree
from cldfc.syntax.walk import mentions

if TYPE_CHECKING:
    from cldfc.network.elaborate import Elaboration, Value


def reduce_values(work: Elaboration, reduction: tree.Reduction, scope: Scope) -> Value | None:
    """`sum(j = 0..i-1 : …)`: its terms are values, if need be of an equation of their own."""
    bounds = bounds_of(work, reduction, scope)
    name = f"{reduction.name}_2" if reduction.name in work.indices else reduction.name
    inside = scope.inside(reduction.name, Position(name, 0))
    body = reduction.body
    if isinstance(body, tree.Symbol) and work.words.names.is_value(body):
        read = work.read(body, inside)
    else:
        lower, upper = bounds or (None, None)
        known = IndexRange("steps", name, lower, upper, None, reduction.name_span, is_explicit=True)
        read = terms(work, reduction, known, inside)
    if bounds is None or not isinstance(read, Read):
        return None
    operand = Reads(read.family, read.positions, read.span, name, *bounds)
    operator = Total() if reduction.reducer == "sum" else Concat()
    return work.step(operator, (operand,), None, reduction.span)


def terms(work: Elaboration, reduction: tree.Reduction, known: IndexRange, scope: Scope) -> Read | None:
    owner = (work.statement.left.name, len(work.statement.left.tag)) if work.statement else ("", 0)
    family = work.words.families.claim("terms", "", owner, work.reductions)
    inner = work.inner(family, known)
    result = inner.value(reduction.body, scope)
    if result is None or work.statement is None:
        return None
    steps, left = tuple(inner.steps), inner.left
    work.words.inner.append(
        Template(work.statement, family, left, work.level, inner.ranges, steps, result, is_inner=True)
    )
    return Read(family, left, reduction.body.span)


def bounds_of(work: Elaboration, reduction: tree.Reduction, scope: Scope) -> tuple[Position, Position] | None:
    if reduction.name in scope.values:
        message = f"`{reduction.name}` has a value here already"
        help = "choose another name for the index of the reduction"
        return work.words.problems.report("E0204", message, reduction.name_span, "already taken", help)
    constants, level = work.words.tags.constants, tag_of_terms(reduction) or scope.tag
    found = [resolve_bound(constants, b, scope.values.keys(), level) for b in (reduction.lower, reduction.upper)]
    if found[0] is None or found[1] is None:
        return None
    return found[0].substitute(scope.values), found[1].substitute(scope.values)


def unroll(work: Elaboration, reduction: tree.Reduction, operand: Value | None, scope: Scope) -> Value | None:
    """A reduction of operators, between bounds that are plain numbers."""
    bounds = bounds_of(work, reduction, scope)
    if bounds is None:
        return None
    span = reduction.lower.span.to(reduction.upper.span)
    if any(bound.base is not None for bound in bounds):
        message = "a reduction of operators has bounds that differ from place to place"
        help = "write numbers, or reduce values: apply each operator inside, as in `sum(j = 1..i : K@j * x)`"
        return work.words.problems.report("E0213", message, span, "expected numbers", help)
    turns = range(bounds[0].offset, bounds[1].offset + 1)
    if not turns:
        message, help = f"the range of `{reduction.name}` is empty", "write the smaller bound first"
        return work.words.problems.report("E0505", message, span, "no index", help)
    if len(turns) > MOST_STEPS:
        return work.report_size(reduction.span)
    parts = [work.apply(reduction.body, operand, scope.inside(reduction.name, Position(None, j))) for j in turns]
    members = (reduction.body,) * len(turns)
    return work.combine(tree.Listing(reduction.reducer, members, reduction.span), parts)


def tag_of_terms(reduction: tree.Reduction) -> tuple[tree.Index, ...]:
    """The tag that says the level of `concat(j = 0..ν : x@ℓ,j)`: the first in its body that the index stands in."""
    symbols = [found for found in mentions(reduction.body) if isinstance(found, tree.Symbol)]
    own = (symbol.tag for symbol in symbols if any(index.name == reduction.name for index in symbol.tag))
    return next((tag for tag in own if len(tag) > 1), ())
