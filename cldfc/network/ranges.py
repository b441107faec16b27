"""Ranges of index names and their bounds: `1..J`, `1..ν`, `0..i-1`."""

from __future__ import annotations

from collections.abc import Iterator, Set
from typing import TYPE_CHECKING

from cldfc.network.limits import LONGEST_RANGE
from cldfc.network.numbers import Tag
from cldfc.network.positions import IndexRange, Lookup, Position
from cldfc.syntax import tree

if TYPE_CHECKING:
    from cldfc.network.constants import Constants


def declared_range(constants: Constants, range: tree.Range) -> IndexRange | None:
    lower, upper = declared_bound(constants, range.lower), declared_bound(constants, range.upper)
    if lower is None or upper is None:
        return None
    levels = {b.base.constant.index for b in (lower, upper) if isinstance(b.base, Lookup)}
    if len(levels) > 1:
        refuse_range(
            constants, range, "has bounds that depend on two different indices", "make both depend on the same index"
        )
        return None
    found = IndexRange(range.kind, range.name, lower, upper, next(iter(levels), None), range.span)
    # Steps 1..0, as with `let ν = 0`, are an empty range; there is always a level.
    shortest = -1 if range.kind == "steps" and not isinstance(range.upper, tree.Number) else 0
    backwards = next((ends for ends in ends_by_level(found) if ends[1] < ends[0] + shortest), None)
    if backwards is not None:
        message = f"is empty: it goes from {backwards[0]} to {backwards[1]}"
        refuse_range(constants, range, message, "write the smaller bound first")
        return None
    if not levels and upper.offset - lower.offset >= LONGEST_RANGE:
        message = f"is longer than {LONGEST_RANGE:,}: it goes from {lower} to {upper}"
        refuse_range(constants, range, message, f"write a range of at most {LONGEST_RANGE:,} values")
        return None
    return found


def ends_by_level(range: IndexRange) -> Iterator[tuple[int, int]]:
    """From where to where a range goes, at each level that it depends on."""
    assert range.lower is not None and range.upper is not None
    tables = [end.base.constant for end in (range.lower, range.upper) if isinstance(end.base, Lookup)]
    for at, _ in enumerate(tables[0].values, tables[0].lower) if tables else [(0, 0)]:
        binding = {range.level or "": at}
        yield range.lower.value(binding), range.upper.value(binding)


def refuse_range(constants: Constants, range: tree.Range, message: str, help: str) -> None:
    span = range.lower.span.to(range.upper.span)
    constants.problems.report("E0505", f"the range of `{range.name}` {message}", span, "cannot be a range", help)


def declared_bound(constants: Constants, expression: tree.Expression) -> Position | None:
    symbol, _ = split_shift(expression)
    constant = constants.constant(symbol.name) if symbol is not None else None
    levels = [constant.index] if constant is not None and constant.index is not None else []
    return resolve_bound(constants, expression, frozenset(levels), ())


def resolve_bound(constants: Constants, expression: tree.Expression, bound: Set[str], context: Tag) -> Position | None:
    role = "a bound of an index"
    symbol, shift = split_shift(expression)
    if symbol is not None and symbol.name in bound and not symbol.tag:
        return Position(symbol.name, shift)
    if symbol is not None and constants.is_per_level(symbol.name):
        constant = constants.constant(symbol.name)
        assert constant is not None
        if not constants.all_whole(constant, symbol.span, role, -LONGEST_RANGE, LONGEST_RANGE):
            return None
        if not context and not symbol.tag and constant.index in bound:
            return Position(Lookup(constant, Position(constant.index, 0)), shift)
        return bound_at_level(constants, symbol, shift, bound, context)
    formula = constants.formula(expression, bound, context)
    if formula is None:
        return None
    if not formula.is_fixed():
        help = "write an index or a constant, plus or minus a whole number, as in `i-1` or `ν@ℓ`"
        message = f"`{expression.span.text}` is too complicated for a bound of an index"
        return constants.problems.report("E0505", message, expression.span, "cannot be a bound", help)
    value = constants.whole(expression, role, -LONGEST_RANGE, LONGEST_RANGE)
    return None if value is None else Position(None, value)


def bound_at_level(
    constants: Constants, symbol: tree.Symbol, shift: int, bound: Set[str], context: Tag
) -> Position | None:
    formula = constants.named_number(symbol, bound, context)
    if formula is None or not isinstance(formula.leaf, Position):
        return None
    if all(not isinstance(p.base, Lookup) or p.base.at.base is None for p in formula.positions()):
        value = constants.value(formula, {}, symbol.span)
        return None if value is None else Position(None, int(value) + shift)
    return formula.leaf.shifted(shift)


def split_shift(expression: tree.Expression) -> tuple[tree.Symbol | None, int]:
    """`i-1` as the symbol and -1; None for anything but a symbol plus or minus whole numbers."""
    if isinstance(expression, tree.Symbol):
        return expression, 0
    if not isinstance(expression, tree.Sum):
        return None, 0
    symbol: tree.Symbol | None = None
    shift = 0
    for sign, term in zip(expression.signs, expression.terms, strict=True):
        if isinstance(term, tree.Symbol) and sign > 0 and symbol is None:
            symbol = term
        elif isinstance(term, tree.Number) and isinstance(term.value, int):
            shift += sign * term.value
        else:
            return None, 0
    return symbol, shift
