"""Numbers known before anything is expanded: `let` constants, ranges of index names, tags."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field
from itertools import pairwise
from math import prod

from cldfc.diagnostics import Label, Problems, Span
from cldfc.network.names import NUMBERS, TRAINED, Kind, Names, TaggedStatement
from cldfc.network.numbers import Numbers, Tag, fixed_position, level_index, report_unfit
from cldfc.network.positions import (
    LARGEST_SIZE,
    LONGEST_RANGE,
    MOST_NESTING,
    MOST_STEPS,
    Case,
    Constant,
    Formula,
    IndexRange,
    Lookup,
    Number,
    OutOfRange,
    Position,
    Positions,
    bindings_of,
    format_key,
    holding_cases,
    lowest_terms,
)
from cldfc.syntax import tree
from cldfc.syntax.format import by_text, format_index, format_symbol
from cldfc.syntax.helps import HELP_FOR_EQUATIONS
from cldfc.syntax.walk import mentions, nesting

Places = range


def _declared_range(constants: Constants, range: tree.Range) -> IndexRange | None:
    lower, upper = _declared_bound(constants, range.lower), _declared_bound(constants, range.upper)
    if lower is None or upper is None:
        return None
    levels = {b.base.constant.index for b in (lower, upper) if isinstance(b.base, Lookup)}
    if len(levels) > 1:
        _refuse_range(
            constants, range, "has bounds that depend on two different indices", "make both depend on the same index"
        )
        return None
    found = IndexRange(range.kind, range.name, lower, upper, next(iter(levels), None), range.span, by=range.by)
    # Steps 1..0, as with `let ν = 0`, are an empty range; there is always a level.
    shortest = -1 if range.kind == "steps" and not isinstance(range.upper, tree.Number) else 0
    way = 1 if range.by > 0 else -1
    backwards = next((ends for ends in _ends_by_level(found) if (ends[1] - ends[0]) * way < shortest), None)
    if backwards is not None:
        message = f"is empty: it goes from {backwards[0]} to {backwards[1]}{by_text(range.by)}"
        _refuse_range(constants, range, message, _help_for_order(range.by))
        return None
    if not levels and abs(upper.offset - lower.offset) >= LONGEST_RANGE:
        message = f"is longer than {LONGEST_RANGE:,}: it goes from {lower} to {upper}"
        _refuse_range(constants, range, message, f"write a range of at most {LONGEST_RANGE:,} values")
        return None
    return found


def _ends_by_level(range: IndexRange) -> Iterator[tuple[int, int]]:
    """From where to where a range goes, at each level that it depends on."""
    assert range.lower is not None and range.upper is not None
    tables = [end.base.constant for end in (range.lower, range.upper) if isinstance(end.base, Lookup)]
    for at in tables[0].places if tables else [0]:
        binding = {range.level or "": at}
        yield range.lower.value(binding), range.upper.value(binding)


def _help_for_order(by: int) -> str:
    if by < 0:
        return "write the larger bound first, or a step up: `by 2`"
    return "write the smaller bound first, or a step down behind the range: `by -1`"


def _refuse_range(constants: Constants, range: tree.Range, message: str, help: str) -> None:
    span = range.lower.span.to(range.upper.span)
    constants.problems.report("E0505", f"the range of `{range.name}` {message}", span, "cannot be a range", help)


def _declared_bound(constants: Constants, expression: tree.Expression) -> Position | None:
    symbol, _ = _split_shift(expression)
    constant = constants.constant(symbol.name) if symbol is not None else None
    levels = [constant.index] if constant is not None and constant.index is not None else []
    return resolve_bound(constants, expression, frozenset(levels), ())


def resolve_bound(constants: Constants, expression: tree.Expression, bound: Set[str], context: Tag) -> Position | None:
    role = "a bound of an index"
    symbol, shift = _split_shift(expression)
    if symbol is not None and symbol.name in bound and not symbol.tag:
        return Position(symbol.name, shift)
    if symbol is not None and constants.is_per_level(symbol.name):
        constant = constants.constant(symbol.name)
        assert constant is not None
        if not constants.all_whole(constant, symbol.span, role, -LONGEST_RANGE, LONGEST_RANGE):
            return None
        if not context and not symbol.tag and constant.index in bound:
            return Position(Lookup(constant, Position(constant.index, 0)), shift)
        return _bound_at_level(constants, symbol, shift, bound, context)
    formula = constants.formula(expression, bound, context)
    if formula is None:
        return None
    if (position := _as_position(formula)) is not None and position.base is not None:
        return position
    if not formula.is_fixed():
        help = "write an index or a constant, its multiple or a part of it, plus a number: `i-1`, `ν@ℓ`, `2*i-1`"
        message = f"`{expression.span.text}` is too complicated for a bound of an index"
        return constants.problems.report("E0505", message, expression.span, "cannot be a bound", help)
    value = constants.whole(expression, role, -LONGEST_RANGE, LONGEST_RANGE)
    return None if value is None else Position(None, value)


def _as_position(formula: Formula) -> Position | None:
    """A formula as an index or a constant, its multiple, or a part of it, plus a number: `2*k-1`; None for others."""
    if isinstance(formula.leaf, Position):
        return formula.leaf
    if isinstance(formula.leaf, int):
        return Position(None, formula.leaf)
    parts = [_as_position(operand) for operand in formula.operands]
    known = [part for part in parts if part is not None]
    indices = [part for part in known if part.base is not None]
    numbers = [part.offset for part in known if part.base is None and part.divisor == 1]
    if len(indices) > 1 or len(indices) + len(numbers) < len(parts) or not parts:
        return None
    found = indices[0] if indices else Position(None, 0 if formula.sign == "+" else 1)
    if formula.sign == "+":
        return found.shifted(sum(numbers))
    is_part = formula.sign == "/" and len(numbers) == 1 and parts[0] is found and numbers[0] > 0
    if formula.sign == "*" or is_part:
        above, below = (1, numbers[0]) if is_part else (prod(numbers), 1)
        return lowest_terms(found.base, found.offset * above, found.factor * above, found.divisor * below)
    return None


def resolve_clause(clause: tree.Clause, bound: Set[str], context: Tag, constants: Constants) -> IndexRange | None:
    """`i = 1..ν`, `i >= 1`: a range over index names that are bound."""
    if clause.name not in bound:
        help = f"write {' or '.join(f'`{name}`' for name in sorted(bound))}" if bound else "leave out this range"
        if clause.lower is not None and clause.lower == clause.upper and not isinstance(clause.lower, tree.Number):
            help = HELP_FOR_EQUATIONS
            constants.problems.broken.add(clause.name)
        return constants.problems.report(
            "E0206",
            f"`{clause.name}` is not an index here",
            clause.name_span,
            "not an index of the tag on the left",
            help,
        )
    ends = [
        None if end is None else resolve_bound(constants, end, bound, context) for end in (clause.lower, clause.upper)
    ]
    lower, upper = clause.lower, clause.upper
    match lower, upper:
        case tree.Number(first), tree.Number(last) if (last - first) * clause.by < 0:
            message = f"the range of `{clause.name}` is empty: it goes from {lower.span.text} to {upper.span.text}"
            place, help, label = lower.span.to(upper.span), _help_for_order(clause.by), "cannot be a range"
            return constants.problems.report("E0505", message + by_text(clause.by), place, label, help)
        case _:
            pass
    if (clause.lower is not None and ends[0] is None) or (clause.upper is not None and ends[1] is None):
        return None
    return IndexRange("steps", clause.name, ends[0], ends[1], None, clause.span, is_explicit=True, by=clause.by)


def _bound_at_level(
    constants: Constants, symbol: tree.Symbol, shift: int, bound: Set[str], context: Tag
) -> Position | None:
    formula = constants.named_number(symbol, bound, context)
    if formula is None or not isinstance(formula.leaf, Position):
        return None
    if all(not isinstance(p.base, Lookup) or p.base.at.base is None for p in formula.positions()):
        value = constants.value(formula, {}, symbol.span)
        return None if value is None else Position(None, int(value) + shift)
    return formula.leaf.shifted(shift)


def _split_shift(expression: tree.Expression) -> tuple[tree.Symbol | None, int]:
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


@dataclass
class Constants(Numbers):
    """Constants, ranges and the cases of declarations, computed when they are first needed.

    Declarations that depend on themselves are in `problems.broken` by then (`check_order`).
    """

    known: dict[str, Constant | None] = field(default_factory=dict[str, "Constant | None"])
    ranges: dict[str, IndexRange | None] = field(default_factory=dict[str, "IndexRange | None"])
    whole_within: set[tuple[str, int, int]] = field(default_factory=set[tuple[str, int, int]])
    """Constants whose values are known to be whole numbers within bounds."""
    known_cases: dict[str, tuple[Case, ...]] = field(default_factory=dict[str, "tuple[Case, ...]"])

    # Constants

    def constant(self, name: str) -> Constant | None:
        if name not in self.known:
            self.known[name] = None
            declaration = self.names.declared.get(name)
            members = self.names.members.get(name, [declaration])
            if isinstance(declaration, tree.Scalar) and any(
                isinstance(member, tree.Scalar) and len(member.values) > 1 for member in members
            ):
                declaration = tree.Let(declaration.symbol, declaration.values, declaration.span)
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
        if name in self.names.members:
            return self.by_cases(let)
        if not tag:
            first, *others = let.values
            if others:
                word = let.span.text.split()[0]
                help = f"write `{word} {name}@ℓ = …` for one value for each level"
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
        places = range.values({}, None)
        if len(let.values) == 1:
            return self.computed(let, index, places)
        values = [self.number(value) for value in let.values]
        numbers = tuple(value for value in values if value is not None)
        if len(numbers) < len(values):
            return None
        wanted, found = len(places), f"{len(numbers)} values"
        if len(numbers) != wanted:
            message = f"`{let.symbol.name}` has {found} for {wanted} values of `{index}`"
            help = f"write {wanted} values, or one that stands for all of them"
            place, other = let.values[0].span.to(let.values[-1].span), Label(range.span, f"{index} = {range.ends()}")
            return self.problems.report("E0502", message, place, found, help, other)
        return Constant(let.symbol.name, index, places.start, numbers, let.symbol.span, by=places.step)

    def by_cases(self, let: tree.Let) -> Constant | None:
        """A constant that several declarations give, level by level; one without a table has a formula for each."""
        name, cases = let.symbol.name, self.cases(let.symbol.name)
        if not cases or not let.symbol.tag:
            return None
        index = self.names.generic(let.symbol).tag[0].name or ""
        declared = self.ranges.get(index)
        if len(let.symbol.tag) > 1 or declared is None or declared.level is not None:
            self.formula_of(name)
            return None
        tags = sorted({tag[0] for case in cases for tag in self.tags_of(case)})
        if not tags:
            return None
        by = abs(declared.by) if all((at - tags[0]) % declared.by == 0 for at in tags) else 1
        values = [self.value_of_case(name, cases, at) for at in range(tags[0], tags[-1] + 1, by)]
        known = tuple(value for value in values if value is not None)
        return Constant(name, index, tags[0], known, let.symbol.span, by=by) if len(known) == len(values) else None

    def value_of_case(self, name: str, cases: tuple[Case, ...], at: int) -> Number | None:
        holding = holding_cases(cases, (at,))
        if not holding:
            span, key = cases[0].statement.symbol.span, format_key((name, (at,)))
            message, help = f"nothing declares `{key}`", f"write a value for it: `let {key} = …`"
            return self.problems.report("E0215", message, span, "holds for other indices", help)
        case = cases[holding[0]]
        let = case.statement
        assert isinstance(let, tree.Let | tree.Scalar)
        if len(let.values) == 1:
            binding = case.binding((at,)) or {}
            formula = self.formula(let.values[0], binding.keys(), let.symbol.tag)
            return None if formula is None else self.value(formula, binding, let.values[0].span)
        own = self.listed_tags(case, let)
        return None if own is None else self.number(let.values[own.index((at,))])

    def listed_tags(self, case: Case, let: tree.Let | tree.Scalar) -> list[tuple[int, ...]] | None:
        """The tags for which a declaration lists values; None if it lists more or fewer, which is reported."""
        own = list(self.tags_of(case))
        if len(own) == len(let.values):
            return own
        message = f"`{format_symbol(let.symbol)}` has {len(let.values)} values for {len(own)} indices"
        place, found = let.values[0].span.to(let.values[-1].span), f"{len(let.values)} values"
        help = f"write {len(own)} values, or one that stands for all of them"
        return self.problems.report("E0502", message, place, found, help)

    def table_of_case(self, case: Case, scalar: tree.Scalar) -> Constant | None:
        """The initial values that one of several declarations lists; gaps between its tags are never read."""
        if len(scalar.symbol.tag) != 1:
            why = f"`{scalar.symbol.name}` has several indices and values"
            return self.refuse(scalar.symbol.span, why, "write one value, or a formula")
        own, values = self.listed_tags(case, scalar), [self.number(value) for value in scalar.values]
        if own is None or None in values:
            return None
        first, last = min(own)[0], max(own)[0]
        known = {at: value for (at,), value in zip(own, values, strict=True) if value is not None}
        numbers = tuple(known.get(at, known[first]) for at in range(first, last + 1))
        index = next(position.base for position in case.head if isinstance(position.base, str))
        return Constant(scalar.symbol.name, index, first, numbers, scalar.symbol.span)

    def computed(self, let: tree.Let, index: str, places: Places) -> Constant | None:
        formula = self.formula(let.values[0], {index}, let.symbol.tag)
        if formula is None:
            return None
        name, span = let.symbol.name, let.symbol.span
        if formula.is_fixed():
            value = self.value(formula, {}, let.values[0].span)
            return None if value is None else Constant(name, None, 0, (value,), span)
        values: list[Number] = []
        for at in places:
            value = self.value(formula, {index: at}, let.values[0].span)
            if value is None:
                return None
            values.append(value)
        return Constant(name, index, places.start, tuple(values), span, formula, places.step)

    def refuse(self, span: Span, message: str, help: str) -> None:
        self.problems.report("E0501", message, span, "cannot be read as a constant", help)

    def all_whole(self, constant: Constant, use: Span, role: str, least: int, most: int) -> bool:
        """Whether all values of a constant are whole numbers within bounds; the first that is not is reported."""
        if (constant.name, least, most) in self.whole_within:
            return True
        declaration = self.names.declared[constant.name]
        assert isinstance(declaration, tree.Let | tree.Scalar)
        for at, value in enumerate(constant.values):
            if isinstance(value, float) or not least <= value <= most:
                place = declaration.values[min(at, len(declaration.values) - 1)].span
                report_unfit(self.problems, value, place, role, least, most, Label(use, f"used as {role} here"))
                self.problems.broken.add(constant.name)
                self.known[constant.name] = None
                return False
        self.whole_within.add((constant.name, least, most))
        return True

    # Several declarations of one name

    def cases(self, name: str) -> tuple[Case, ...]:
        """All declarations of a name, if it has several, or one that holds only for some tags; otherwise none."""
        if name not in self.known_cases:
            self.known_cases[name] = ()
            members = self.names.members.get(name, ())
            found = [self.case(member) for member in members]
            cases = tuple(case for case in found if case is not None)
            if len(cases) < len(found) or self.report_overlap(cases) or self.report_kinds(cases):
                self.problems.broken.add(name)
            else:
                self.known_cases[name] = cases
        return self.known_cases[name]

    def case(self, statement: TaggedStatement) -> Case | None:
        symbol = statement.symbol
        tag = symbol.tag[:1] if is_transfer(symbol.tag) else symbol.tag
        names = [index.name for index in tag if index.name is not None and not self.names.is_constant(index.name)]
        for index in tag:
            if index.name not in names:
                continue
            if index.at is not None or index.offset or names.count(index.name) > 1:
                return self.refuse_head(index, symbol)
            if self.range(index.name or "", index.span) is None:
                return None
        bound = frozenset(names)
        head = [self.position_in(index, bound, tag) for index in tag]
        clauses = [resolve_clause(clause, bound, tag, self) for clause in statement.clauses]
        if None in head or None in clauses:
            return None
        ranges = tuple(clause for clause in clauses if clause is not None)
        return Case(statement, tuple(position for position in head if position is not None), ranges)

    def refuse_head(self, index: tree.Index, symbol: tree.Symbol) -> None:
        help = f"give it a name without a tag, such as `{symbol.name}{index.offset}`, here and where it is used"
        if index.name is not None:
            help = "write index names alone, each once, or numbers, as in `A@ℓ`, `B@ℓ,i` or `B@ℓ,0`"
        message = f"`{format_index(index)}` cannot appear in the head of a declaration"
        self.problems.report("E0208", message, index.span, "expected an index name", help)

    def tags_of(self, case: Case) -> Iterator[tuple[int, ...]]:
        """The tags for which a declaration holds, as far as `for` and the declared ranges say them."""
        names = [position.base for position in case.head if isinstance(position.base, str)]
        said = {range.name: range for range in case.ranges}
        ranges = {name: said.get(name) or self.ranges.get(name) for name in names}
        known = {name: range for name, range in ranges.items() if range is not None}
        for binding in bindings_of(known, self.ranges, {}):
            try:
                yield tuple([position.value(binding) for position in case.head])
            except OutOfRange:
                continue

    def report_overlap(self, cases: tuple[Case, ...]) -> bool:
        """Whether two declarations with equally many numbers hold for one tag, which is reported."""
        for case in cases:
            if all(other is case or other.numbers != case.numbers for other in cases):
                continue
            for tag in self.tags_of(case):
                holding = holding_cases(cases, tag)
                if len(holding) > 1:
                    self.report_two(cases[holding[0]], cases[holding[1]], tag)
                    return True
        return False

    def report_kinds(self, cases: tuple[Case, ...]) -> bool:
        """Whether the declarations of one name are of different kinds, which is reported."""
        kinds = [(case, kind) for case in cases if (kind := self.kind_of_case(case)) is not None]
        other = next(((case, kind) for case, kind in kinds if kind != kinds[0][1]), None)
        if other is None:
            return False
        first, symbol = kinds[0][0].statement.symbol, other[0].statement.symbol
        message = f"`{format_symbol(symbol)}` is {other[1].value}, and `{format_symbol(first)}` {kinds[0][1].value}"
        label = Label(first.span, kinds[0][1].value)
        self.problems.report("E0203", message, symbol.span, other[1].value, "give one of the two another name", label)
        return True

    def kind_of_case(self, case: Case) -> Kind | None:
        match case.statement:
            case tree.Let(_, values):
                kind = self.names.kind(values[0])
                return kind if kind in (None, *TRAINED) else Kind.NUMBER if kind in NUMBERS else Kind.OPERATOR
            case tree.Scalar(_, _, is_fixed, channels=channels):
                return Kind.NUMBER if is_fixed else Kind.SCALAR if channels is None else Kind.VECTOR
            case tree.KernelStatement():
                return Kind.KERNEL

    def report_two(self, first: Case, second: Case, tag: tuple[int, ...]) -> None:
        key = format_key((first.statement.symbol.name, tag))
        help = "let one of them hold for other indices, with `for`; of two the one with more numbers in its tag wins"
        label = Label(first.statement.symbol.span, f"holds for `{key}`")
        span = second.statement.symbol.span
        self.problems.report("E0203", f"`{key}` is declared twice", span, f"holds for `{key}`, too", help, label)

    # Ranges

    def range(self, name: str, span: Span) -> IndexRange | None:
        declaration = self.names.declared.get(name)
        if not isinstance(declaration, tree.Range):
            self.names.report_no_index(name, span)
            return None
        if name not in self.ranges:
            self.ranges[name] = None if name in self.problems.broken else _declared_range(self, declaration)
            if self.ranges[name] is None:
                self.problems.broken.add(name)
        return self.ranges[name]


_Mention = tree.Symbol | tree.Index
_Ordered = tree.Let | tree.Range | tree.Scalar


@dataclass
class _Order:
    """A walk along what each declaration mentions, with an explicit stack, because chains may be long."""

    names: Names
    problems: Problems
    depths: dict[str, int] = field(default_factory=dict[str, int])
    sizes: dict[str, int] = field(default_factory=dict[str, int])
    open: dict[str, _Mention | None] = field(default_factory=dict[str, "_Mention | None"])

    def visit(self, first: str) -> None:
        stack: list[tuple[str, _Mention | None, bool]] = [(first, None, False)]
        while stack:
            name, mention, is_done = stack.pop()
            if is_done:
                del self.open[name]
                self.close(name)
            elif name in self.open and mention is not None:
                self.report_circle(name, mention)
            elif name not in self.depths and isinstance(self.names.declared.get(name), _Ordered):
                self.open[name] = mention
                stack.append((name, mention, True))
                stack += [(needed.name or "", needed, False) for needed in reversed(self.needs(name))]

    def needs(self, name: str) -> list[_Mention]:
        needed: list[_Mention] = []
        for declaration in self.names.statements_of(name):
            mentioned = mentions(declaration) if isinstance(declaration, _Ordered) else []
            own = declaration.symbol if isinstance(declaration, tree.Let | tree.Scalar) else None
            needed += [found for found in mentioned if found is not own]
        return needed

    def close(self, name: str) -> None:
        """Note how deep a declaration goes and how large it is when expanded; excess is stopped here."""
        declaration = self.names.declared[name]
        assert isinstance(declaration, _Ordered)
        needed = [mention.name or "" for mention in self.needs(name)]
        own = max(nesting(statement) for statement in self.names.statements_of(name) if isinstance(statement, _Ordered))
        self.depths[name] = own + max((self.depths.get(other, 0) for other in needed), default=0)
        self.sizes[name] = sum(self.sizes.get(other, 1) for other in needed)
        if not self.problems.broken.isdisjoint([name, *needed]):
            self.problems.broken.add(name)
        elif self.depths[name] > MOST_NESTING:
            self.refuse(declaration, "E0105", f"nests more than {MOST_NESTING} levels deep")
        elif self.sizes[name] > MOST_STEPS:
            self.refuse(declaration, "E0210", f"expands to more than {MOST_STEPS:,} operations")

    def refuse(self, declaration: _Ordered, code: str, message: str) -> None:
        is_range = isinstance(declaration, tree.Range)
        name = declaration.name if is_range else declaration.symbol.name
        span = declaration.name_span if is_range else declaration.symbol.span
        help = "nest fewer operators, and use equations for partial results"
        self.problems.report(code, f"`{name}` {message}, with the declarations that it needs", span, "too large", help)
        self.problems.broken.add(name)

    def is_recursion(self, circle: Sequence[str]) -> bool:
        """Whether a circle of operators is a recursion over other indices, with a case that may end it."""
        statements = [statement for name in circle for statement in self.names.statements_of(name)]
        if self.names.members.keys().isdisjoint(circle) or not all(isinstance(s, tree.Let) for s in statements):
            return False
        lets = [statement for statement in statements if isinstance(statement, tree.Let)]
        return all(let.symbol.tag and self.names.kind_of_let(let) is Kind.OPERATOR for let in lets)

    def help_for_circle(self, circle: Sequence[str]) -> str:
        lets = [declared for name in circle if isinstance(declared := self.names.declared[name], tree.Let)]
        if len(lets) == len(circle) and all(self.names.is_constant(name) for name in circle):
            ending = " or a list of values, as in `let t@i = 1, 1.618, 2.194`" if lets[0].symbol.tag else ""
            return f"define `{circle[-1]}` by numbers alone: a constant is a formula in its indices{ending}"
        return (
            "define one of them by numbers or built-in operators alone; an operator that is defined by itself at "
            "another index needs a case that ends it, as in `let M@J = S@J`"
        )

    def report_circle(self, name: str, mention: _Mention) -> None:
        circle = list(self.open)[list(self.open).index(name) :]
        if self.is_recursion(circle):
            self.names.recursive.update(circle)
            return
        if not any(self.problems.explain(member) for member in circle):
            shown = [*circle[:4], *["…"] * (len(circle) > 4), name]
            links = [(self.open[at], before, at) for before, at in pairwise(circle[:4])]
            self.problems.report(
                "E0209",
                f"`{name}` is defined in terms of itself: {' ← '.join(shown)}",
                mention.span,
                f"`{circle[-1]}` needs `{name}`" if len(circle) > 1 else "depends on itself",
                self.help_for_circle(circle),
                *[Label(at.span, f"`{before}` needs `{after}`") for at, before, after in links if at is not None],
            )
        self.problems.broken.update(circle)


def check_order(names: Names, problems: Problems) -> None:
    order = _Order(names, problems)
    for name in names.declared:
        order.visit(name)


@dataclass(frozen=True)
class Tags:
    """Resolves tags; `bound` are the index names that have a value at the place."""

    constants: Constants
    problems: Problems

    def positions(self, symbol: tree.Symbol, bound: Set[str]) -> Positions | None:
        found = [self.position(index, symbol, bound) for index in symbol.tag]
        return tuple(p for p in found if p is not None) if None not in found else None

    def position(self, index: tree.Index, symbol: tree.Symbol, bound: Set[str]) -> Position | None:
        if index.name is None:
            return Position(None, index.offset, divisor=index.divisor)
        if index.name in bound and index.at is None:
            return Position(index.name, index.offset, index.factor, index.divisor)
        if self.constants.names.is_constant(index.name):
            constant = self.constants.constant(index.name)
            return None if constant is None else self.constant_position(constant, index, symbol, bound)
        if index.at is not None and index.name in self.constants.names.declared:
            help = f"write `{index.name}`; only a constant has a tag of its own, as in `ν@ℓ`"
            message = f"the index `{index.name}` takes no tag"
            return self.problems.report("E0202", message, index.span, "a tag here", help)
        if self.constants.range(index.name, index.span) is not None:
            self.report_unbound(index, symbol)
        return None

    def constant_position(
        self, constant: Constant, index: tree.Index, symbol: tree.Symbol, bound: Set[str]
    ) -> Position | None:
        """`J`, `ν@ℓ`, or `ν` at the level of its tag (LANGUAGE: `r@ℓ+1,ν` is `r@ℓ+1,ν@ℓ+1`)."""
        if not self.constants.all_whole(constant, index.span, "an index", -LARGEST_SIZE, LARGEST_SIZE):
            return None
        if constant.index is None:
            return fixed_position(index, int(constant.values[0]))
        own = index.at or level_index(symbol.tag, constant.index, self.constants.is_per_level)
        if own is None:
            self.report_no_level(constant, index.span)
            return None
        at = self.position(own, symbol, bound)
        return None if at is None else Position(Lookup(constant, at), index.offset, index.factor, index.divisor)

    def report_no_level(self, constant: Constant, span: Span) -> None:
        message = f"`{constant.name}` has one value for each `{constant.index}`, and nothing here says which"
        help = f"write it as in `{constant.name}@{constant.index}` or `{constant.name}@{constant.lower}`"
        self.problems.report(
            "E0207", message, span, f"at which `{constant.index}`?", help, Label(constant.span, "declared here")
        )

    def report_unbound(self, index: tree.Index, symbol: tree.Symbol) -> None:
        message = f"`{index.name}` has no value {f'in `{format_symbol(symbol)}`' if symbol.name else 'here'}"
        help = f"put `{index.name}` into the tag on the left side, or write a number for it"
        self.problems.report("E0206", message, index.span, "not in the tag on the left side", help)

    def head(self, symbol: tree.Symbol) -> tuple[str, ...] | None:
        """The index names of a declaration's head, `A@ℓ` or `ℬ@ℓ,i`; None when it was reported."""
        names: list[str] = []
        for index in symbol.tag:
            plain = index.name is not None and index.at is None and not index.offset
            if not plain or self.constants.names.is_constant(index.name or "") or index.name in names:
                self.constants.refuse_head(index, symbol)
                return None
            if self.constants.range(index.name or "", index.span) is None:
                return None
            names.append(index.name or "")
        return tuple(names)


def is_transfer(tag: tuple[tree.Index, ...]) -> bool:
    """Whether a head is that of a map from one level to the next: `R@ℓ,ℓ+1`, in LaTeX `R_\\ell^{\\ell+1}`."""
    if len(tag) != 2 or tag[0].name is None or tag[0].at is not None or tag[1].at is not None:
        return False
    return tag[0].name == tag[1].name and tag[1].offset == tag[0].offset + 1
