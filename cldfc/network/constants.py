"""Numbers that are known before anything is expanded: `let` constants, index ranges, formulas."""

from __future__ import annotations

from dataclasses import dataclass, field

from cldfc.diagnostics import Label, Span
from cldfc.network.formula import Number
from cldfc.network.numbers import Numbers, report_unfit
from cldfc.network.positions import Constant, IndexRange
from cldfc.network.ranges import declared_range
from cldfc.syntax import tree
from cldfc.syntax.format import format_index


@dataclass
class Constants(Numbers):
    """Constants and ranges, worked out when they are first asked for.

    Declarations that need themselves are in `problems.broken` by then (`order`).
    """

    known: dict[str, Constant | None] = field(default_factory=dict[str, "Constant | None"])
    ranges: dict[str, IndexRange | None] = field(default_factory=dict[str, "IndexRange | None"])
    whole_within: set[tuple[str, int, int]] = field(default_factory=set[tuple[str, int, int]])
    """Constants whose values are known to be whole numbers within bounds."""

    # Constants

    def constant(self, name: str) -> Constant | None:
        if name not in self.known:
            self.known[name] = None
            declaration = self.names.declared.get(name)
            if self.names.is_constant(name) and name not in self.problems.broken and isinstance(declaration, tree.Let):
                self.known[name] = self.evaluate(declaration)
                if self.known[name] is None and not self.is_formula(declaration):
                    self.problems.broken.add(name)
        return self.known[name]

    def is_formula(self, let: tree.Let) -> bool:
        """Whether a constant has no table of values: it has several indices, or one whose range differs by level."""
        if len(let.values) > 1 or not let.symbol.tag:
            return False
        range = self.ranges.get(let.symbol.tag[0].name or "")
        return len(let.symbol.tag) > 1 or (range is not None and range.level is not None)

    def evaluate(self, let: tree.Let) -> Constant | None:
        name, tag = let.symbol.name, let.symbol.tag
        if not tag:
            first, *others = let.values
            if others:
                help = f"write `let {name}@ℓ = …` for one value for each level"
                return self.refuse(let.symbol.span, f"`{name}` has {len(let.values)} values and no index", help)
            value = self.number(first)
            return None if value is None else Constant(name, None, 0, (value,), let.symbol.span)
        if any(index.name is None or index.at is not None or index.offset for index in tag):
            message = f"the tag of a constant is made of index names, and not `@{','.join(map(format_index, tag))}`"
            return self.refuse(tag[0].span.to(tag[-1].span), message, f"write `let {name}@ℓ = …`")
        if None in [self.range(index.name or "", index.span) for index in tag]:
            return None
        if self.is_formula(let):
            self.formula_of(name)
            return None
        return self.per_level(let, tag)

    def per_level(self, let: tree.Let, tag: tuple[tree.Index, ...]) -> Constant | None:
        """One value for each value of the index; a single number stands for all of them, a formula is computed."""
        first, index = tag[0], tag[0].name or ""
        range = self.range(index, first.span)
        if range is None:
            return None
        if len(tag) > 1 or range.level is not None:
            name = let.symbol.name
            why = f"`{name}` has several indices and values"
            if len(tag) == 1:
                why = f"the range of `{index}` differs from level to level"
            return self.refuse(first.span, why, "write one value for each level, or a formula")
        assert range.lower is not None and range.upper is not None
        lower, upper = range.lower.value({}), range.upper.value({})
        if len(let.values) == 1:
            return self.computed(let, index, lower, upper)
        values = [self.number(value) for value in let.values]
        numbers = tuple(value for value in values if value is not None)
        if len(numbers) < len(values):
            return None
        wanted, found = upper - lower + 1, f"{len(numbers)} values"
        if len(numbers) != wanted:
            message = f"`{let.symbol.name}` has {found} for {wanted} values of `{index}`"
            help = f"write {wanted} values, or one that stands for all of them"
            place, other = let.values[0].span.to(let.values[-1].span), Label(range.span, f"{index} = {lower}..{upper}")
            return self.problems.report("E0502", message, place, found, help, other)
        return Constant(let.symbol.name, index, lower, numbers, let.symbol.span)

    def computed(self, let: tree.Let, index: str, lower: int, upper: int) -> Constant | None:
        formula = self.formula(let.values[0], {index}, let.symbol.tag)
        if formula is None:
            return None
        name, span = let.symbol.name, let.symbol.span
        if formula.is_fixed():
            value = self.value(formula, {}, let.values[0].span)
            return None if value is None else Constant(name, None, 0, (value,), span)
        values: list[Number] = []
        for at in range(lower, upper + 1):
            value = self.value(formula, {index: at}, let.values[0].span)
            if value is None:
                return None
            values.append(value)
        return Constant(name, index, lower, tuple(values), span, formula)

    def refuse(self, span: Span, message: str, help: str) -> None:
        self.problems.report("E0501", message, span, "cannot be read as a constant", help)

    def all_whole(self, constant: Constant, use: Span, role: str, least: int, most: int) -> bool:
        """Whether all values of a constant are whole numbers within bounds; the first that is not is reported."""
        if (constant.name, least, most) in self.whole_within:
            return True
        declaration = self.names.declared[constant.name]
        assert isinstance(declaration, tree.Let)
        for at, value in enumerate(constant.values):
            if isinstance(value, float) or not least <= value <= most:
                place = declaration.values[min(at, len(declaration.values) - 1)].span
                report_unfit(self.problems, value, place, role, least, most, Label(use, f"used as {role} here"))
                self.problems.broken.add(constant.name)
                self.known[constant.name] = None
                return False
        self.whole_within.add((constant.name, least, most))
        return True

    # Ranges

    def range(self, name: str, span: Span) -> IndexRange | None:
        declaration = self.names.declared.get(name)
        if not isinstance(declaration, tree.Range):
            self.names.report_no_index(name, span)
            return None
        if name not in self.ranges:
            self.ranges[name] = None if name in self.problems.broken else declared_range(self, declaration)
            if self.ranges[name] is None:
                self.problems.broken.add(name)
        return self.ranges[name]
