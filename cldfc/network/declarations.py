"""`kernel`, `scalar` and `tie` statements, resolved."""

from __future__ import annotations

from collections.abc import Mapping, Set
from itertools import groupby

from cldfc.diagnostics import Label
from cldfc.network.advice import Kind
from cldfc.network.constants import Constants
from cldfc.network.formula import Formula
from cldfc.network.limits import LARGEST_FLOAT, LARGEST_SIZE
from cldfc.network.numbers import report_unfit
from cldfc.network.positions import IndexRange, Lookup
from cldfc.network.program import Attribute, Declaration, TieRule
from cldfc.network.ranges import resolve_bound
from cldfc.network.tags import Tags, is_transfer
from cldfc.syntax import tree
from cldfc.syntax.format import format_symbol

LARGEST_KERNEL = 255


def resolve_parameters(tags: Tags) -> dict[str, Declaration]:
    found: dict[str, Declaration] = {}
    for name, statement in tags.constants.names.declared.items():
        if isinstance(statement, tree.KernelStatement):
            declaration = resolve_kernel(statement, tags)
        elif isinstance(statement, tree.Scalar) and not statement.is_fixed:
            declaration = resolve_scalar(statement, tags)
        else:
            continue
        if declaration is None:
            tags.problems.broken.add(name)
        else:
            found[name] = declaration
    return found


def resolve_kernel(kernel: tree.KernelStatement, tags: Tags) -> Declaration | None:
    constants = tags.constants
    is_map = is_transfer(kernel.symbol.tag)
    own = kernel.symbol.tag[:1] if is_map else kernel.symbol.tag
    head = tags.head(tree.Symbol(kernel.symbol.name, own, kernel.symbol.span))
    height = constants.whole(kernel.height, "the size of a kernel", 1, LARGEST_KERNEL)
    width = constants.whole(kernel.width, "the size of a kernel", 1, LARGEST_KERNEL)
    if head is None or height is None or width is None:
        return None
    if height != width:
        message = f"`{format_symbol(kernel.symbol)}` is {height}×{width}"
        help = "write a square, as in `3×3`"
        return tags.problems.report(
            "E0401", message, kernel.height.span.to(kernel.width.span), "expected a square", help
        )
    wanted = {
        "in": (kernel.channels_in, "a number of channels", LARGEST_SIZE),
        "out": (kernel.channels_out, "a number of channels", LARGEST_SIZE),
        "groups": (kernel.groups, "a number of groups", LARGEST_SIZE),
        "dilation": (kernel.dilation, "a dilation", LARGEST_KERNEL),
    }
    attributes = {"size": Attribute(Formula(height), "the size of a kernel", 1, LARGEST_KERNEL, kernel.height.span)}
    for name, (expression, role, most) in wanted.items():
        if expression is not None:
            attribute = resolve_attribute(expression, role, most, kernel.symbol.tag, constants)
            if attribute is None:
                return None
            attributes[name] = attribute
    if kernel.has_bias:
        attributes["bias"] = Attribute(Formula(1), "a bias", 0, 1, kernel.span)
    return Declaration(kernel.symbol.name, head, attributes, kernel, 0 if is_map or is_next(attributes["out"]) else 1)


def is_next(channels: Attribute) -> bool:
    """Whether channels are those of the next level, `c@ℓ+1`: the kernel's index is the level that it starts from."""
    tables = [p.base.at for p in channels.formula.positions() if isinstance(p.base, Lookup)]
    return any(at.offset == 1 for at in tables)


def resolve_attribute(
    expression: tree.Expression, role: str, most: int, head: tuple[tree.Index, ...], constants: Constants
) -> Attribute | None:
    names = {index.name for index in head if index.name is not None}
    formula = constants.formula(expression, names, head)
    if formula is None:
        return None
    if formula.is_fixed():
        if constants.whole(expression, role, 1, most) is None:
            return None
    if isinstance(expression, tree.Symbol) and (constant := constants.constant(expression.name)) is not None:
        if not constants.all_whole(constant, expression.span, role, 1, most):
            return None
    return Attribute(formula, role, 1, most, expression.span)


def resolve_scalar(scalar: tree.Scalar, tags: Tags) -> Declaration | None:
    head = tags.head(scalar.symbol)
    bound: Set[str] = frozenset(head or ())
    formula = None if head is None else tags.constants.formula(scalar.value, bound, scalar.symbol.tag)
    if head is None or formula is None:
        return None
    if formula.is_fixed():
        value = tags.constants.number(scalar.value)
        if value is None or abs(value) > LARGEST_FLOAT:
            limits = (-LARGEST_FLOAT, LARGEST_FLOAT)
            span, role = scalar.value.span, "an initial value"
            if value is not None:
                report_unfit(tags.problems, value, span, role, *limits, kind="number")
            return None
    attribute = Attribute(formula, "an initial value", -LARGEST_FLOAT, LARGEST_FLOAT, scalar.value.span)
    return Declaration(scalar.symbol.name, head, {"init": attribute}, scalar)


# Ties


def resolve_ties(ties: list[tree.Tie], parameters: Mapping[str, Declaration], tags: Tags) -> dict[str, TieRule]:
    found: dict[str, TieRule] = {}
    for name, same in groupby(sorted(ties, key=lambda tie: tie.symbol.name), key=lambda tie: tie.symbol.name):
        statements = list(same)
        declaration = parameters.get(name)
        if declaration is None:
            if not tags.problems.explain(name):
                tags.constants.names.report_kind(statements[0].symbol, Kind.PARAMETER)
            continue
        rules = [resolve_tie(tie, declaration, tags) for tie in statements]
        known = [rule for rule in rules if rule is not None]
        if len(known) == len(rules) and len(known) > 1:
            first, second = statements[0].symbol, statements[1].symbol
            message = f"`{name}` is tied twice"
            help = "keep one of the two; a `for` may have several clauses: `tie B@ℓ for ℓ >= 2, i >= 1`"
            tags.problems.report("E0203", message, second.span, "tied again", help, Label(first.span, "tied first"))
        elif known:
            found[name] = known[0]
    return found


def resolve_tie(tie: tree.Tie, declaration: Declaration, tags: Tags) -> TieRule | None:
    kept: list[int] = []
    for index in tie.symbol.tag:
        name = index.name or ""
        if name not in declaration.indices or index.offset or index.at is not None:
            text = format_symbol(tags.constants.names.head_of(declaration.name)[0])
            return tags.problems.report(
                "E0208",
                f"`{index.span.text.strip()}` is not an index of `{text}`",
                index.span,
                "expected one of its indices",
                f"write indices of `{text}`, such as `tie {declaration.name}@{declaration.indices[0]}`"
                if declaration.indices
                else f"`{text}` is already shared across the whole network: remove the `tie`",
                Label(declaration.statement.symbol.span, "declared here"),
            )
        kept.append(declaration.indices.index(name))
    clauses = [resolve_clause(clause, frozenset(declaration.indices), tie.symbol.tag, tags) for clause in tie.clauses]
    known = tuple(clause for clause in clauses if clause is not None)
    return TieRule(tuple(kept), declaration.indices, known) if len(known) == len(clauses) else None


def resolve_clause(
    clause: tree.Clause, bound: Set[str], context: tuple[tree.Index, ...], tags: Tags
) -> IndexRange | None:
    """`i = 1..ν`, `i >= 1`: a range over index names that are bound."""
    if clause.name not in bound:
        return tags.problems.report(
            "E0206",
            f"`{clause.name}` is not an index here",
            clause.name_span,
            "not an index of the tag on the left",
            f"write {' or '.join(f'`{name}`' for name in sorted(bound))}" if bound else "leave out this range",
        )
    ends = [
        None if end is None else resolve_bound(tags.constants, end, bound, context)
        for end in (clause.lower, clause.upper)
    ]
    lower, upper = clause.lower, clause.upper
    if isinstance(lower, tree.Number) and isinstance(upper, tree.Number) and upper.value < lower.value:
        message = f"the range of `{clause.name}` is empty: it goes from {lower.span.text} to {upper.span.text}"
        place = lower.span.to(upper.span)
        return tags.problems.report("E0505", message, place, "cannot be a range", "write the smaller bound first")
    if (clause.lower is not None and ends[0] is None) or (clause.upper is not None and ends[1] is None):
        return None
    return IndexRange("steps", clause.name, ends[0], ends[1], None, clause.span, is_explicit=True)
