"""Numbers that are known before anything is expanded: `let` constants and index ranges."""

from __future__ import annotations

from dataclasses import dataclass, field

from cldfc.diagnostics import Label, Problems, Span
from cldfc.network.names import Names
from cldfc.network.program import Constant, IndexRange, Lookup, Position
from cldfc.syntax import tree
from cldfc.syntax.format import format_index, format_symbol

Number = int | float
LONGEST_RANGE = 100_000


@dataclass
class Constants:
    """Constants and ranges, worked out when they are first asked for.

    Declarations that need themselves are in `problems.broken` by then (`order`).
    """

    names: Names
    problems: Problems
    known: dict[str, Constant | None] = field(default_factory=dict[str, "Constant | None"])
    ranges: dict[str, IndexRange | None] = field(default_factory=dict[str, "IndexRange | None"])

    # Constants

    def constant(self, name: str) -> Constant | None:
        """A constant by name; None when it is none, or is wrong."""
        if name not in self.known:
            self.known[name] = None
            declaration = self.names.declared.get(name)
            if self.names.is_constant(name) and name not in self.problems.broken and isinstance(declaration, tree.Let):
                self.known[name] = self.evaluate(declaration)
                if self.known[name] is None:
                    self.problems.broken.add(name)
        return self.known[name]

    def evaluate(self, let: tree.Let) -> Constant | None:
        """The values of a `let`."""
        values = [self.number(value) for value in let.values]
        numbers = tuple(value for value in values if value is not None)
        name, tag = let.symbol.name, let.symbol.tag
        if len(numbers) < len(values):
            return None
        if not tag:
            if len(numbers) > 1:
                help = f"write `let {name}@ℓ = …` for one value for each level"
                return self.refuse(let.symbol.span, f"`{name}` has {len(numbers)} values and no index", help)
            return Constant(name, None, 0, numbers, let.symbol.span)
        first, *others = tag
        if others or first.name is None or first.at is not None or first.offset:
            message = f"the tag of a constant is the name of one index, and not `@{','.join(map(format_index, tag))}`"
            return self.refuse(first.span.to(tag[-1].span), message, f"write `let {name}@ℓ = …`")
        return self.per_level(let, first.name, numbers)

    def per_level(self, let: tree.Let, index: str, numbers: tuple[Number, ...]) -> Constant | None:
        """One value for each value of the index; a single one stands for all of them."""
        range = self.range(index, let.symbol.tag[0].span)
        if range is None:
            return None
        if len(numbers) == 1:
            return Constant(let.symbol.name, None, 0, numbers, let.symbol.span)
        if range.level is not None:
            message = f"the range of `{index}` differs from level to level"
            return self.refuse(let.symbol.tag[0].span, message, "write one value for each level")
        lower, upper = range.lower.value({}), range.upper.value({})
        if len(numbers) != upper - lower + 1:
            self.problems.report(
                "E0502",
                f"`{let.symbol.name}` has {len(numbers)} values for {upper - lower + 1} values of `{index}`",
                let.values[0].span.to(let.values[-1].span),
                f"{len(numbers)} values",
                f"write {upper - lower + 1} values, or one that stands for all of them",
                Label(range.span, f"{index} = {lower}..{upper}"),
            )
            return None
        return Constant(let.symbol.name, index, lower, numbers, let.symbol.span)

    def refuse(self, span: Span, message: str, help: str) -> None:
        """Report a constant that cannot be read."""
        self.problems.report("E0501", message, span, "cannot be read as a constant", help)

    # Numbers

    def number(self, expression: tree.Expression) -> Number | None:
        """The value of a number; None, and a report, when it has none."""
        match expression:
            case tree.Number(value):
                return value
            case tree.Sum(terms, signs):
                values = [self.number(term) for term in terms]
                known = [sign * v for sign, v in zip(signs, values, strict=True) if v is not None]
                return sum(known) if len(known) == len(values) else None
            case tree.Symbol(name, tag) if (constant := self.constant(name)) is not None:
                return self.value_at(expression, constant, tag)
            case _:
                self.names.report_kind(expression, "a number")
                return None

    def value_at(self, symbol: tree.Symbol, constant: Constant, tag: tuple[tree.Index, ...]) -> Number | None:
        """The value of a constant where nothing says the level but the tag: `c@1`."""
        if len(tag) > 1:
            return self.names.report_arity(symbol)
        if constant.index is None:
            return constant.values[0]
        if len(tag) == 1 and tag[0].name is None and (value := constant.at(tag[0].offset)) is not None:
            return value
        last = constant.lower + len(constant.values) - 1
        self.problems.report(
            "E0503",
            f"`{format_symbol(symbol)}` is not one number: `{constant.name}` has one for each `{constant.index}`",
            symbol.span,
            "which of them?",
            f"write a value of {constant.index} = {constant.lower}..{last}, as in `{constant.name}@{constant.lower}`",
            Label(constant.span, "declared here"),
        )
        return None

    def whole(self, expression: tree.Expression, role: str, least: int, most: int) -> int | None:
        """A whole number within bounds, or a report that names its role."""
        value = self.number(expression)
        if value is None:
            return None
        if isinstance(value, float) or not least <= value <= most:
            self.report_unfit(value, expression.span, role, least, most)
            return None
        return value

    def all_whole(self, constant: Constant, use: Span, role: str, least: int, most: int) -> bool:
        """Whether each value of a constant is a whole number within bounds, or a report at that value."""
        declaration = self.names.declared[constant.name]
        assert isinstance(declaration, tree.Let)
        for value, expression in zip(constant.values, declaration.values, strict=True):
            if isinstance(value, float) or not least <= value <= most:
                self.report_unfit(value, expression.span, role, least, most, Label(use, f"used as {role} here"))
                self.problems.broken.add(constant.name)
                self.known[constant.name] = None
                return False
        return True

    def report_unfit(self, value: Number, span: Span, role: str, least: int, most: int, *others: Label) -> None:
        """Report a number that cannot play its role."""
        written = f"`{span.text}`" if str(value) == span.text.replace("_", "") else f"`{span.text}`, which is {value},"
        reason = "small" if value < least else "large"
        verb = f"is too {reason} for" if value < least or value > most else "cannot be"
        self.problems.report(
            "E0504",
            f"{written} {verb} {role}",
            span,
            f"expected a whole number from {least:,} to {most:,}",
            f"write a whole number from {least:,} to {most:,}",
            *others,
        )

    # Ranges

    def range(self, name: str, span: Span) -> IndexRange | None:
        """The declared range of an index name, or a report."""
        declaration = self.names.declared.get(name)
        if not isinstance(declaration, tree.Range):
            self.names.report_no_index(name, span)
            return None
        if name not in self.ranges:
            self.ranges[name] = None if name in self.problems.broken else self.declared_range(declaration)
            if self.ranges[name] is None:
                self.problems.broken.add(name)
        return self.ranges[name]

    def declared_range(self, range: tree.Range) -> IndexRange | None:
        """A range with its bounds worked out; a bound may be one number for each level."""
        lower, upper = self.bound(range.lower), self.bound(range.upper)
        if lower is None or upper is None:
            return None
        levels = {b.base.constant.index for b in (lower, upper) if isinstance(b.base, Lookup)}
        if len(levels) > 1:
            self.refuse_range(range, "has bounds that differ by two different indices", "let both differ by one index")
            return None
        if not levels and upper.offset < lower.offset:
            message = f"is empty: it goes from {lower} to {upper}"
            self.refuse_range(range, message, "write the smaller bound first")
            return None
        return IndexRange(range.kind, range.name, lower, upper, next(iter(levels), None), range.span)

    def refuse_range(self, range: tree.Range, message: str, help: str) -> None:
        """Report a range that no index can take."""
        span = range.lower.span.to(range.upper.span)
        self.problems.report("E0505", f"the range of `{range.name}` {message}", span, "cannot be a range", help)

    def bound(self, expression: tree.Expression) -> Position | None:
        """A bound of a range: a number, or a constant that may differ from level to level."""
        role = "a bound of an index"
        if isinstance(expression, tree.Symbol) and (constant := self.constant(expression.name)) is not None:
            own = expression.tag
            is_level = len(own) == 1 and own[0].name == constant.index and not own[0].offset and own[0].at is None
            if constant.index is not None and (not own or is_level):
                if not self.all_whole(constant, expression.span, role, 0, LONGEST_RANGE):
                    return None
                return Position(Lookup(constant, Position(constant.index, 0)), 0)
        value = self.whole(expression, role, 0, LONGEST_RANGE)
        return None if value is None else Position(None, value)
