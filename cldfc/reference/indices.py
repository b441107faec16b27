"""Numbers and indices of a spec at one choice of its index names, exact where the spec is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import torch

from cldfc.reference.operators import POINTWISE
from cldfc.syntax import tree
from cldfc.syntax.walk import mentions

Key = tuple[str, tuple[int, ...]]
"""A value or a parameter: its name and the values of its tag."""

Binding = Mapping[str, int]
Tag = tuple[tree.Index, ...]
"""As written; of an equation's left side or an operator's head it says the level for constants without a tag."""

_Tagged = tree.Let | tree.KernelStatement | tree.Scalar
Steps = range
"""The values of an index, in order."""


@dataclass
class Declarations:
    """The statements of a spec by name; equations by name and number of indices, in the order of the text."""

    inputs: dict[str, tree.InputStatement] = field(default_factory=dict[str, tree.InputStatement])
    outputs: dict[str, tree.Output] = field(default_factory=dict[str, tree.Output])
    lets: dict[str, tree.Let] = field(default_factory=dict[str, tree.Let])
    ranges: dict[str, tree.Range] = field(default_factory=dict[str, tree.Range])
    kernels: dict[str, tree.KernelStatement] = field(default_factory=dict[str, tree.KernelStatement])
    scalars: dict[str, tree.Scalar] = field(default_factory=dict[str, tree.Scalar])
    cases: dict[str, list[_Tagged]] = field(default_factory=lambda: defaultdict[str, "list[_Tagged]"](list))
    """All declarations of a name, of which the most general one stands above."""
    ties: dict[str, tree.Tie] = field(default_factory=dict[str, tree.Tie])
    renames: list[tree.Rename] = field(default_factory=list[tree.Rename])
    equations: dict[tuple[str, int], list[tree.Equation]] = field(
        default_factory=lambda: defaultdict[tuple[str, int], list[tree.Equation]](list)
    )

    def has_cases(self, name: str) -> bool:
        """Whether what a name stands for depends on its indices."""
        statements = self.cases.get(name, ())
        return len(statements) > 1 or any(s.clauses or self.numbers_in(s.symbol.tag) for s in statements)

    def numbers_in(self, tag: Tag) -> int:
        return sum(index.name not in self.ranges for index in tag)

    def names(self) -> set[str]:
        return {*self.inputs, *self.lets, *self.ranges, *self.kernels, *self.scalars}

    def is_value(self, symbol: tree.Symbol) -> bool:
        given = self.inputs.get(symbol.name)
        is_input = given is not None and len(given.symbol.tag) == len(symbol.tag)
        return is_input or (symbol.name, len(symbol.tag)) in self.equations


def sort_statements(spec: tree.Tree) -> Declarations:
    found = Declarations()
    for statement in spec.statements:
        match statement:
            case tree.Let():
                found.cases[statement.symbol.name].append(statement)
            case tree.Range():
                found.ranges[statement.name] = statement
            case tree.KernelStatement() | tree.Scalar():
                found.cases[statement.symbol.name].append(statement)
            case tree.Tie():
                found.ties[statement.symbol.name] = statement
            case tree.Rename():
                found.renames.append(statement)
            case tree.InputStatement():
                found.inputs[statement.name] = statement
            case tree.Output():
                found.outputs[statement.name] = statement
            case tree.Equation():
                found.equations[statement.left.name, len(statement.left.tag)].append(statement)
            case _:
                pass
    for name, statements in found.cases.items():
        general = min(statements, key=lambda statement: found.numbers_in(statement.symbol.tag))
        match general:
            case tree.Let():
                found.lets[name] = general
            case tree.KernelStatement():
                found.kernels[name] = general
            case tree.Scalar():
                found.scalars[name] = general
    return found


FUNCTIONS = ("exp", "log", "sqrt", "sigmoid", "softplus", "tanh", "cos", "sin", "abs")
"""The operators that give a number for a number."""
Exact = int | float | Fraction


class _NoValue(Exception):
    """A constant at a level that it has no value for: what needs it does not hold there."""


class ReferenceNumbers:
    """Computes numbers; `binding` gives the index names their values, `tag` says the level."""

    def __init__(self, known: Declarations) -> None:
        self.known = known
        self.tables: dict[str, bool] = {}
        self.constants: dict[str, bool] = {}
        self.values: dict[tuple[str, tuple[tuple[str, int], ...]], Exact] = {}
        """Constants at their indices: each may need the one before it twice."""

    # What is a number

    def is_number(self, expression: tree.Expression, binding: Binding) -> bool:
        match expression:
            case tree.Number():
                return True
            case tree.Quotient(one, other) | tree.Power(one, other):
                return self.is_number(one, binding) and self.is_number(other, binding)
            case tree.Symbol(name):
                return name in binding or self.is_constant(name)
            case tree.Star(left, _, right):
                return right is not None and self.is_number(left, binding) and self.is_number(right, binding)
            case tree.Sum(parts) | tree.Product(parts) | tree.Listing(_, parts):
                return all(self.is_number(part, binding) for part in parts)
            case tree.Apply(tree.Symbol(name), inner) | tree.Compose(tree.Symbol(name), inner):
                return name in FUNCTIONS and self.is_number(inner, binding)
            case _:
                return False

    def is_constant(self, name: str) -> bool:
        if name in self.known.scalars:
            return self.known.scalars[name].is_fixed
        let = self.known.lets.get(name)
        if name not in self.constants:
            self.constants[name] = False  # for an operator that is defined by itself
            ranges = dict.fromkeys(self.known.ranges, 0)
            self.constants[name] = let is not None and self.is_number(let.values[0], ranges)
        return self.constants[name]

    def is_table(self, name: str) -> bool:
        """Whether a name is a constant that has one value for each value of one index."""
        if name not in self.tables:
            self.tables[name] = False
            let = self.known.lets.get(name) or self.known.scalars.get(name)
            head: Tag = let.symbol.tag if let is not None and self.is_constant(name) else ()
            if let is not None and len(head) == 1:
                is_plain = all(self.level_of(index.name or "") is None for index in head)
                first, *others = let.values
                self.tables[name] = is_plain and (bool(others) or self.varies(first) or self.known.has_cases(name))
        return self.tables[name]

    def varies(self, expression: tree.Expression) -> bool:
        return any(m.name in self.known.ranges or self.is_table(m.name or "") for m in mentions(expression))

    # Several declarations of one name

    def case_at(self, name: str, indices: tuple[int, ...]) -> tuple[_Tagged, dict[str, int]]:
        """The declaration of a name that holds for a tag, and what its index names are there. Raises NoValue.

        Of those that hold, the one with most numbers in its tag.
        """
        found: list[tuple[int, _Tagged, dict[str, int]]] = []
        for statement in self.known.cases[name]:
            tag = statement.symbol.tag[: len(indices)]  # of `R@ℓ,ℓ+1` the first
            binding = self.solve(tree.Symbol(name, tag, statement.symbol.span), indices)
            if binding is not None and all(self.holds(clause, binding, tag) for clause in statement.clauses):
                found.append((self.known.numbers_in(tag), statement, binding))
        if not found:
            raise _NoValue
        _, statement, binding = max(found, key=lambda one: one[0])
        return statement, binding

    # Numbers

    def number(self, expression: tree.Expression, binding: Binding, tag: Tag) -> Exact:
        """The value of a number. Raises NoValue."""
        match expression:
            case tree.Number(value):
                return value
            case tree.Symbol(name) if name in binding:
                return binding[name]
            case tree.Symbol():
                return self.constant(expression, binding, tag)
            case tree.Sum(terms, signs):
                parts = zip(signs, terms, strict=True)
                return sum(sign * self.number(term, binding, tag) for sign, term in parts)
            case tree.Star(left, _, right) if right is not None:
                return self.number(left, binding, tag) * self.number(right, binding, tag)
            case tree.Apply(tree.Symbol(name), inner) | tree.Compose(tree.Symbol(name), inner):
                number = torch.tensor(float(self.number(inner, binding, tag)), dtype=torch.float64, device="cpu")
                return POINTWISE[name](number).item()
            case tree.Listing(reducer, parts):
                numbers = [self.number(part, binding, tag) for part in parts]
                return sum(numbers) if reducer == "sum" else max(numbers) if reducer == "max" else min(numbers)
            case tree.Quotient(numerator, denominator):
                above = _as_fraction(self.number(numerator, binding, tag))
                return above / _as_fraction(self.number(denominator, binding, tag))
            case tree.Power(base, exponent):
                return _as_fraction(self.number(base, binding, tag)) ** self.number(exponent, binding, tag)
            case _:
                raise TypeError(f"{expression} is not a number")

    def constant(self, symbol: tree.Symbol, binding: Binding, tag: Tag) -> Exact:
        """A constant or fixed scalar: at its own tag, or at the level that `tag` says. Raises NoValue."""
        let, scalar = self.known.lets.get(symbol.name), self.known.scalars.get(symbol.name)
        if scalar is not None:
            head, values = scalar.symbol.tag, scalar.values
        else:
            assert let is not None
            head, values = let.symbol.tag, let.values
        if self.is_table(symbol.name):
            return self.entry(symbol, values, head, binding, tag)
        if self.known.has_cases(symbol.name):
            found, at = self.case_at(symbol.name, tuple(self.index(index, binding, tag) for index in symbol.tag))
            return self.number(_value_of(found), at, found.symbol.tag)
        own = {name.name or "": at for name, at in zip(head, symbol.tag, strict=False)}
        needed = own if self.varies(values[0]) else {}
        at = {name: self.index(index, binding, tag) for name, index in needed.items()}
        key = (symbol.name, tuple(at.items()))
        if key not in self.values:
            self.values[key] = self.number(values[0], at, head)
        return self.values[key]

    def entry(
        self, symbol: tree.Symbol, values: tuple[tree.Expression, ...], head: Tag, binding: Binding, tag: Tag
    ) -> Exact:
        name = next(index.name or "" for index in head)
        own = next(iter(symbol.tag), None) or self.level_index(tag, name)
        at = binding[name] if own is None else self.index(own, binding, tag)
        if self.known.has_cases(symbol.name):
            found, inner = self.case_at(symbol.name, (at,))
            if isinstance(found, tree.Let | tree.Scalar) and len(found.values) > 1:
                return self.number(found.values[self.place_of(found, at)], {}, ())
            return self.number(_value_of(found), inner, found.symbol.tag)
        places = self.range(name, 0)
        if at not in places:
            raise _NoValue
        first, *others = values
        return self.number(values[places.index(at)], {}, ()) if others else self.number(first, {name: at}, head)

    def place_of(self, let: tree.Let | tree.Scalar, at: int) -> int:
        """Which of the values of a declaration with one value for each is that at a value of the index."""
        name = let.symbol.tag[0].name or ""
        clause = next(iter(let.clauses), None)
        if clause is None:
            return self.range(name, 0).index(at)
        along = self.along(clause, self.known.ranges.get(name))
        return [one for one in along if self.holds(clause, {name: one}, ())].index(at)

    def along(self, clause: tree.Clause, declared: tree.Range | None) -> Steps:
        """The values of an index from where a clause starts, or its declared range, to the end, one by one."""
        ends = [end for end in (clause.lower, clause.upper) if end is not None]
        ends += [declared.lower, declared.upper] if declared is not None and len(ends) < 2 else []
        numbers = [self.bound(end, {}, ()) for end in ends]
        is_open = clause.lower is None or clause.upper is None
        by = declared.by if declared is not None and is_open and abs(clause.by) == 1 else clause.by
        return range(min(numbers), max(numbers) + 1) if by > 0 else range(max(numbers), min(numbers) - 1, -1)

    def level_index(self, tag: Tag, level: str) -> tree.Index | None:
        """The index of a tag that says the level: the one with that name, or the first that is not a table itself."""
        others = [index for index in tag if not self.is_table(index.name or "")]
        return next((index for index in others if index.name == level), others[0] if others else None)

    # Indices

    def index(self, index: tree.Index, binding: Binding, tag: Tag) -> int:
        """One index of a tag. Raises NoValue; KeyError for an index name without a value."""
        if index.name is None:
            number = 0
        elif index.name in binding and index.at is None:
            number = binding[index.name]
        elif not self.is_constant(index.name):
            raise KeyError(index.name)
        else:
            symbol = tree.Symbol(index.name, (index.at,) if index.at else (), index.span)
            number = int(self.constant(symbol, binding, tag))
        value = Fraction(index.factor * number + index.offset, index.divisor)
        if value.denominator > 1:
            raise _NoValue
        return int(value)

    def indices(self, symbol: tree.Symbol, binding: Binding) -> tuple[int, ...]:
        """The values of a whole tag: `r@ℓ+1,ν` is `r@ℓ+1,ν@ℓ+1`."""
        return tuple([self.index(index, binding, symbol.tag) for index in symbol.tag])

    def bound(self, expression: tree.Expression, binding: Binding, tag: Tag) -> int:
        return int(self.number(expression, binding, tag))

    # Ranges

    def level_of(self, name: str) -> str | None:
        """The index that the declared range of an index name depends on: the level of `1..ν`."""
        declared = self.known.ranges.get(name)
        if declared is None:
            return None
        found = [m for bound in (declared.lower, declared.upper) for m in mentions(bound)]
        symbols = [m for m in found if isinstance(m, tree.Symbol) and self.is_table(m.name)]
        varying = [symbol.name for symbol in symbols if not symbol.tag or symbol.tag[0].name is not None]
        return next((index.name for name in varying for index in self.known.lets[name].symbol.tag), None)

    def range(self, name: str, level: int) -> Steps:
        """The declared range of an index name, at a level if it depends on that. Raises NoValue."""
        declared, over = self.known.ranges[name], self.level_of(name)
        return self.steps(declared, {} if over is None else {over: level}, ())

    def steps(self, range_: tree.Range | tree.Reduction, binding: Binding, tag: Tag) -> Steps:
        """From the first end of a range to the other, both included."""
        first, last = self.bound(range_.lower, binding, tag), self.bound(range_.upper, binding, tag)
        return range(first, last + (1 if range_.by > 0 else -1), range_.by)

    # Where equations hold

    def match(self, equation: tree.Equation, indices: tuple[int, ...]) -> dict[str, int] | None:
        """The values of an equation's index names with which its left side is the value at `indices`, if any.

        An index name ranges over its declared range, cut so that every index on the left stays inside
        it, or over what `for` says.
        """
        binding = self.solve(equation.left, indices)
        try:
            return None if binding is None or not self.inside(equation, indices, binding) else binding
        except _NoValue:
            return None

    def bindings(self, equation: tree.Equation) -> list[dict[str, int]]:
        """All choices of index names for which an equation holds."""
        left = equation.left
        names = dict.fromkeys(index.name or "" for index, _ in self.free(left.tag, (0,) * len(left.tag)))
        found: list[dict[str, int]] = [{}]
        for name in names:
            found = [{**one, name: at} for one in found for at in self.candidates(name, equation)]
        return [one for one in found if self.holds_for(equation, one)]

    def holds_for(self, equation: tree.Equation, binding: dict[str, int]) -> bool:
        try:
            return self.match(equation, self.indices(equation.left, binding)) == binding
        except _NoValue:
            return False

    def candidates(self, name: str, equation: tree.Equation) -> range:
        """Values between which all of an index name in an equation are."""
        left = equation.left
        ends = [end for c in equation.clauses if c.name == name for end in (c.lower, c.upper) if end is not None]
        ends += [
            end for declared in (self.known.ranges.get(name),) if declared for end in (declared.lower, declared.upper)
        ]
        numbers: list[int] = []
        for end in ends:
            mentioned = {m.name or "" for m in mentions(end)}
            heads = [self.known.lets[m].symbol.tag for m in mentioned if self.is_table(m)]
            over = (mentioned & self.known.ranges.keys()) | {index.name or "" for head in heads for index in head}
            turns: list[dict[str, int]] = [{}]
            for other in over:
                turns = [{**turn, other: at} for turn in turns for at in range(*self.extent(other))]
            for turn in turns:
                try:
                    numbers.append(self.bound(end, turn, tuple(tree.Index(o, None, 0, left.span) for o in over)))
                except _NoValue:
                    continue
        return range(min(numbers, default=0) - 1, max(numbers, default=-1) + 2)

    def extent(self, name: str) -> tuple[int, int]:
        """From where to before where the values of an index are, at any level."""
        over = self.level_of(name)
        levels = [0] if over is None else list(range(*self.extent(over)))
        found = [at for level in levels for at in self.range(name, level)] or [0]
        return min(found), max(found) + 1

    def solve(self, symbol: tree.Symbol, indices: tuple[int, ...]) -> dict[str, int] | None:
        """The values of the index names in a tag with which it is `indices`, if any."""
        binding: dict[str, int] = {}
        for index, value in self.free(symbol.tag, indices):
            if binding.setdefault(index.name or "", value - index.offset) != value - index.offset:
                return None
        try:
            return binding if self.indices(symbol, binding) == indices else None
        except _NoValue:
            return None

    def free(self, tag: Tag, indices: tuple[int, ...]) -> list[tuple[tree.Index, int]]:
        pairs = zip(tag, indices, strict=True)
        return [(index, value) for index, value in pairs if index.name and not self.is_constant(index.name)]

    def inside(self, equation: tree.Equation, indices: tuple[int, ...], binding: Binding) -> bool:
        clauses = {clause.name: clause for clause in equation.clauses}
        level = indices[self.level_place(equation, clauses)] if indices else 0
        for index, value in self.free(equation.left.tag, indices):
            name = index.name or ""
            clause = clauses.get(name)
            if clause is not None and not self.holds(clause, binding, equation.left.tag):
                return False
            if clause is not None and name not in self.known.ranges:
                continue
            if clause is None:
                if binding[name] not in self.range(name, level) or value not in self.range(name, level):
                    return False
            elif None in (clause.lower, clause.upper) and not self.completes(clause, binding[name], value, level):
                return False
        return True

    def completes(self, clause: tree.Clause, at: int, value: int, level: int) -> bool:
        """Whether an index is within the declared range where a clause has no end, and a value, too."""
        declared = self.range(clause.name, level)
        if not declared or (abs(clause.by) == 1 and (at - declared.start) % declared.step):
            return False
        is_open_below = clause.lower is None if clause.by > 0 else clause.upper is None
        if is_open_below:
            return min(declared) <= min(at, value)
        return max(at, value) <= max(declared)

    def holds(self, clause: tree.Clause, binding: Binding, tag: Tag) -> bool:
        value, way = binding[clause.name], 1 if clause.by > 0 else -1
        if clause.lower is not None:
            ahead = (value - self.bound(clause.lower, binding, tag)) * way
            if ahead < 0 or ahead % abs(clause.by):
                return False
        return clause.upper is None or (self.bound(clause.upper, binding, tag) - value) * way >= 0

    def level_place(self, equation: tree.Equation, clauses: Mapping[str, tree.Clause]) -> int:
        """Which index on the left is the level of ranges such as `1..ν`: the one with its name, or the first."""
        tag = equation.left.tag
        levels = {index.name: self.level_of(index.name or "") for index in tag if index.name not in clauses}
        level = next((level for level in levels.values() if level is not None), None)
        by_name = [at for at, index in enumerate(tag) if index.name == level and level is not None]
        others = [
            at
            for at, index in enumerate(tag)
            if levels.get(index.name) is None and index.name not in clauses and not self.is_table(index.name or "")
        ]
        return next(iter([*by_name, *others]), 0)


def _value_of(statement: _Tagged) -> tree.Expression:
    assert not isinstance(statement, tree.KernelStatement)
    return statement.values[0]


def _as_fraction(value: Exact) -> Exact:
    """A whole number as a fraction, so that quotients and powers of it are exact."""
    return Fraction(value) if isinstance(value, int) else value
