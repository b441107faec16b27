"""Numbers in a spec: formulas over index names, and their values."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Set
from dataclasses import dataclass, field, replace
from typing import cast

from cldfc.diagnostics import Label, Problems, Span
from cldfc.network.names import Kind, Names, is_function
from cldfc.network.positions import (
    MOST_IN_A_FORMULA,
    MOST_WORK,
    Case,
    Choice,
    Constant,
    Formula,
    Lookup,
    NoNumber,
    Number,
    OutOfRange,
    Position,
    Sign,
    lowest_terms,
)
from cldfc.syntax import tree
from cldfc.syntax.format import format_symbol

_NONE: Set[str] = frozenset()
Tag = tuple[tree.Index, ...]


@dataclass
class Numbers(ABC):
    """Builds formulas and computes them, and reports what it cannot."""

    names: Names
    problems: Problems
    formulas: dict[str, Formula | None] = field(default_factory=dict[str, "Formula | None"])
    work: int = 0
    """Numbers and signs that have been computed."""

    @abstractmethod
    def constant(self, name: str) -> Constant | None:
        """A constant with its values; None when it is not a constant, has a formula only, or is wrong."""

    @abstractmethod
    def cases(self, name: str) -> tuple[Case, ...]:
        """All declarations of a name, if it has several, or one that holds only for some tags; otherwise none."""

    def number(self, expression: tree.Expression) -> Number | None:
        formula = self.formula(expression, _NONE, ())
        return None if formula is None else self.value(formula, {}, expression.span)

    def value(self, formula: Formula, binding: dict[str, int], span: Span) -> Number | None:
        self.work += formula.parts
        if self.work > MOST_WORK:
            self.work = 0
            help = "write shorter formulas, or for fewer values of an index"
            message = "the formulas take too long to compute"
            return self.problems.report("E0210", message, span, "too many by here", help)
        try:
            return formula.value(binding)
        except NoNumber as error:
            help = "write a formula that gives a number, such as `64 * 2^(ℓ-1)`"
            message = f"`{span.text}` is not a number{_describe_binding(binding)}: {error}"
            self.problems.report("E0506", message, span, "cannot be computed", help)
        except OutOfRange as error:
            message = f"`{span.text}` needs {error.missing}, which has no value{_describe_binding(binding)}"
            if error.missing == f"`{span.text}`":
                message = f"{error.missing} has no value"
            report_missing_value(self.problems, error, message, span)
        return None

    def formula(self, expression: tree.Expression, bound: Set[str], context: Tag) -> Formula | None:
        """A number over the bound index names; `context` is the tag that says the level."""
        match expression:
            case tree.Number(value):
                return Formula(value)
            case tree.Symbol():
                return self.named_number(expression, bound, context)
            case tree.Sum(terms, signs):
                operands = self.all_formulas(terms, bound, context)
                if operands is None:
                    return None
                signed = zip(signs, operands, strict=True)
                summed = Formula.of("+", tuple(term if sign > 0 else _negative(term) for sign, term in signed))
                return self.within_limits(summed, expression.span)
            case tree.Star(left, 1, right, _, False) if right is not None:
                return self.combined("*", (left, right), bound, context, expression.span)
            case tree.Quotient(numerator, denominator):
                return self.combined("/", (numerator, denominator), bound, context, expression.span)
            case tree.Apply(tree.Symbol(name), inner) | tree.Compose(tree.Symbol(name), inner) if is_function(name):
                return self.combined(cast(Sign, name), (inner,), bound, context, expression.span)
            case tree.Listing("sum" | "max" | "min" as reducer, parts):
                sign: Sign = "+" if reducer == "sum" else reducer
                return self.combined(sign, parts, bound, context, expression.span)
            case tree.Power(base, exponent):
                return self.combined("^", (base, exponent), bound, context, expression.span)
            case _:
                return self.names.report_kind(expression, Kind.NUMBER)

    def combined(
        self, sign: Sign, parts: tuple[tree.Expression, ...], bound: Set[str], context: Tag, span: Span
    ) -> Formula | None:
        operands = self.all_formulas(parts, bound, context)
        return None if operands is None else self.within_limits(Formula.of(sign, operands), span)

    def within_limits(self, formula: Formula, span: Span) -> Formula | None:
        """The formula, unless it has become too large to be computed at each use; that is reported."""
        if formula.parts <= MOST_IN_A_FORMULA:
            return formula
        message = f"this formula expands to more than {MOST_IN_A_FORMULA:,} numbers and signs"
        help = "write its values, as in `let c@ℓ = 64, 128`, or a shorter formula"
        return self.problems.report("E0210", message, span, "too many here", help)

    def all_formulas(
        self, parts: tuple[tree.Expression, ...], bound: Set[str], context: Tag
    ) -> tuple[Formula, ...] | None:
        found = [self.formula(part, bound, context) for part in parts]
        return tuple(f for f in found if f is not None) if None not in found else None

    def named_number(self, symbol: tree.Symbol, bound: Set[str], context: Tag) -> Formula | None:
        name = symbol.name
        if symbol.settings:
            return self.report_brackets(symbol)
        if name in bound:
            return self.report_power(symbol) if symbol.tag else Formula(Position(name, 0))
        if not self.names.is_constant(name):
            if isinstance(self.names.declared.get(name), tree.Range):
                return self.report_unbound(symbol)
            return self.names.report_kind(symbol, Kind.NUMBER)
        constant = self.constant(name)
        if constant is None:
            return self.applied(symbol, bound, context)
        if len(symbol.tag) > 1:
            return self.names.report_arity(symbol)
        if constant.index is None:
            is_plain = not isinstance(declared := self.names.declared[name], tree.Let) or not declared.symbol.tag
            return self.report_power(symbol) if is_plain and _is_power(symbol) else Formula(constant.values[0])
        own = symbol.tag[0] if symbol.tag else level_index(context, constant.index, self.is_per_level)
        if own is not None and symbol.tag and isinstance(self.names.declared.get(own.name or ""), tree.Range):
            if own.name not in bound and (bound or context):
                return self.report_unbound(tree.Symbol(own.name or "", (), own.span))
        if own is None or (own.name is not None and own.name not in bound and not self.names.is_constant(own.name)):
            return self.report_which(symbol, constant)
        at = self.position_in(own, bound, context)
        return None if at is None else Formula(Position(Lookup(constant, at), 0))

    def position_in(self, index: tree.Index, bound: Set[str], context: Tag) -> Position | None:
        if index.name is None:
            return Position(None, index.offset, divisor=index.divisor)
        if index.name in bound and index.at is None:
            return Position(index.name, index.offset, index.factor, index.divisor)
        inner = tree.Symbol(index.name, (index.at,) if index.at else (), index.span)
        formula = self.named_number(inner, bound, context)
        if formula is None:
            return None
        if isinstance(formula.leaf, Position):
            return Position("", index.offset, index.factor, index.divisor).substitute({"": formula.leaf})
        if formula.leaf is None or isinstance(formula.leaf, Choice):
            return None
        return fixed_position(index, int(formula.leaf))

    def applied(self, symbol: tree.Symbol, bound: Set[str], context: Tag) -> Formula | None:
        declaration = self.names.declared[symbol.name]
        formula = self.formula_of(symbol.name)
        if formula is None or not isinstance(declaration, tree.Let | tree.Scalar):
            return None
        tag = declaration.symbol.tag
        head = _places(tag) if self.cases(symbol.name) else [index.name or "" for index in tag]
        if len(head) != len(symbol.tag):
            return self.names.report_arity(symbol)
        positions = [self.position_in(index, bound, context) for index in symbol.tag]
        known = [position for position in positions if position is not None]
        if len(known) < len(head):
            return None
        return formula.substitute(dict(zip(head, known, strict=True)))

    def formula_of(self, name: str) -> Formula | None:
        if name not in self.formulas:
            declaration = self.names.declared[name]
            assert isinstance(declaration, tree.Let | tree.Scalar)
            self.formulas[name] = None if name in self.problems.broken else self.declared_formula(declaration)
            if self.formulas[name] is None:
                self.problems.broken.add(name)
        return self.formulas[name]

    def declared_formula(self, declaration: tree.Let | tree.Scalar) -> Formula | None:
        symbol, cases = declaration.symbol, self.cases(declaration.symbol.name)
        if not cases:
            bound = {index.name or "" for index in symbol.tag}
            return self.formula(_number_of(declaration), bound, symbol.tag)
        formulas: list[Formula] = []
        for case in cases:
            assert isinstance(case.statement, tree.Let | tree.Scalar)
            bound = {position.base for position in case.head if isinstance(position.base, str)}
            formula = self.formula(_number_of(case.statement), bound, case.statement.symbol.tag)
            if formula is None:
                return None
            formulas.append(formula)
        at = tuple(Position(place, 0) for place in _places(symbol.tag))
        parts = 1 + max(formula.parts for formula in formulas)
        return Formula(Choice(symbol.name, cases, tuple(formulas), at), parts=parts)

    def is_per_level(self, name: str) -> bool:
        constant = self.constant(name)
        return constant is not None and constant.index is not None

    def report_brackets(self, symbol: tree.Symbol) -> None:
        message = f"`{symbol.name}` is a number, so it takes no brackets"
        help = f"leave them out: `{format_symbol(replace(symbol, settings=()))}`; an index is written after `@`"
        self.problems.report("E0507", message, symbol.span, "brackets here", help)

    def report_power(self, symbol: tree.Symbol) -> None:
        tag = symbol.span.text[len(symbol.name) :] if _is_power(symbol) else "^2"
        message = f"`{symbol.name}` has no index, so it takes no tag"
        help = f"write `{symbol.name}`, or in parentheses for a power: `({symbol.name}){tag}`"
        self.problems.report("E0202", message, symbol.span, "a tag here, not a power", help)

    def report_unbound(self, symbol: tree.Symbol) -> None:
        message = f"`{symbol.name}` has no value here"
        help = f"put `{symbol.name}` into the tag on the left side, or write a number for it"
        self.problems.report("E0206", message, symbol.span, "not in the tag on the left side", help)

    def report_which(self, symbol: tree.Symbol, constant: Constant) -> None:
        self.problems.report(
            "E0503",
            f"`{format_symbol(symbol)}` is not one number: `{constant.name}` has one for each `{constant.index}`",
            symbol.span,
            "which of them?",
            f"write a value of {constant.range_text()}, as in `{constant.name}@{constant.lower}`, "
            f"or declare one for each, with `@{constant.index}` on the left",
            Label(constant.span, "declared here"),
        )

    def whole(self, expression: tree.Expression, role: str, least: int, most: int) -> int | None:
        value = self.number(expression)
        if value is None:
            return None
        if isinstance(value, float) or not least <= value <= most:
            report_unfit(self.problems, value, expression.span, role, least, most)
            return None
        return value


def fixed_position(index: tree.Index, value: int) -> Position:
    """What an index stands for where its name has one value."""
    return lowest_terms(None, index.factor * value + index.offset, 1, index.divisor)


def _number_of(declaration: tree.Let | tree.Scalar) -> tree.Expression:
    return declaration.values[0]


def _places(tag: Tag) -> list[str]:
    """What the indices of a constant with several declarations are called in its formula: they have no common names."""
    return [str(place) for place in range(len(tag))]


def reciprocal(expression: tree.Expression) -> tree.Quotient:
    """One over a number or a scalar."""
    return tree.Quotient(tree.Number(1, expression.span), expression, expression.span)


def report_missing_value(problems: Problems, error: OutOfRange, message: str, span: Span, *others: Label) -> None:
    """Report that a per-level constant is needed at a level that it has no value for."""
    constant = error.constant
    help = f"`{constant.name}` has values for {constant.range_text()}; stay inside, or declare more levels"
    places = (Label(constant.span, "declared here"), *others)
    problems.report("E0305", message, span, f"needs {error.missing}", help, *places)


def report_unfit(
    problems: Problems,
    value: Number,
    span: Span,
    role: str,
    least: float,
    most: float,
    *others: Label,
    kind: str = "whole number",
) -> None:
    written = (
        f"`{span.text}`"
        if str(value) == span.text.replace("_", "")
        else f"`{span.text}`, which is {_describe_number(value)},"
    )
    reason = "small" if value < least else "large"
    verb = f"is too {reason} for" if value < least or value > most else "cannot be"
    wanted = f"a {kind} from {least:,} to {most:,}"
    problems.report("E0504", f"{written} {verb} {role}", span, f"expected {wanted}", f"write {wanted}", *others)


def _describe_number(value: Number) -> str:
    """A number in a message; of very large ones the order of magnitude."""
    if isinstance(value, float):
        return f"{value:,.6g}"
    return f"{value:,}" if abs(value) < 10**15 else f"about 10^{len(str(abs(value))) - 1}"


def level_index(context: Tag, level: str, is_per_level: Callable[[str], bool]) -> tree.Index | None:
    """The index of a tag that says the level: the one of that name, or the first that is not a constant with levels."""
    others = [index for index in context if index.name is None or not is_per_level(index.name)]
    levels = [index for index in others if index.name == level]
    return next(iter([*levels, *others]), None)


def _is_power(symbol: tree.Symbol) -> bool:
    """Whether a number has a tag like `^2`, which in LaTeX could as well be a power."""
    return len(symbol.tag) == 1 and symbol.tag[0].name is None and "^" in symbol.span.text


def _negative(formula: Formula) -> Formula:
    return Formula.of("*", (Formula(-1), formula))


def _describe_binding(binding: dict[str, int]) -> str:
    """` at ℓ = 2`, or nothing."""
    return f" at {', '.join(f'{name} = {value}' for name, value in binding.items())}" if binding else ""
