"""Indices over the index names of an equation, numbers that follow from them, and how large these may be."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import islice
from operator import itemgetter
from typing import Literal, get_args

from cldfc.diagnostics import Problems, Span
from cldfc.syntax import tree

LARGEST_SIZE = 2**20
"""Of an input, of channels and of classes; of the height and the width of each map."""

LARGEST_VALUE = 2**40
"""Numbers of one value, for one image, and of one parameter."""

LARGEST_FLOAT = (2 - 2**-23) * 2.0**127
"""The largest number of float32."""

LONGEST_RANGE = 100_000
"""Values of an index."""

MOST_NESTING = 200
"""Levels of declarations and operators, one inside the other."""

MOST_STEPS = 20_000
"""Operations of one equation, once its operators are expanded."""

MOST_IN_A_CHAIN = 500
"""Operations of one equation in one chain of dependencies."""

MOST_IN_ITSELF = 24
"""Uses of an operator inside itself, each at another index."""

MOST_IN_A_FORMULA = 1_000
"""Numbers and signs of one formula, once the formulas that it names are put in."""

MOST_WORK = 500_000
"""Numbers and signs that are computed before the network is expanded."""

PARTS_FOR_FREE = 8
"""Numbers and signs of a factor that take no longer than its operation; more count as further operations."""

MOST_OPERATIONS = 200_000
"""Operations of a network, and of all its equations."""


def report_size(span: Span, problems: Problems) -> None:
    help = "make the ranges of levels and steps smaller, or the equations shorter"
    problems.report("E0306", f"the network has more than {MOST_OPERATIONS:,} operations", span, "too large", help)


Binding = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Constant:
    """A compile-time number, or one for each value of an index, from `lower` on."""

    name: str
    index: str | None
    lower: int
    values: tuple[int | float, ...]
    span: Span
    formula: Formula | None = field(default=None, compare=False)
    """What the values are computed from, over the index."""
    by: int = 1

    @property
    def places(self) -> range:
        """The values of the index, one for each of its own."""
        return range(self.lower, self.lower + self.by * len(self.values), self.by)

    def at(self, position: int) -> int | float | None:
        """The value at a position; None outside the range."""
        if self.index is None:
            return self.values[0]
        return self.values[(position - self.lower) // self.by] if position in self.places else None

    def range_text(self) -> str:
        """`ℓ = 1..4`."""
        return f"{self.index} = {_ends_text(str(self.lower), str(self.places[-1]), self.by)}"


@dataclass(frozen=True, slots=True)
class Lookup:
    """A per-level constant at a position: `ν@ℓ+1`."""

    constant: Constant
    at: Position


@dataclass(frozen=True, slots=True)
class Position:
    """One index of a tag: (factor · base + offset) / divisor. The base is an index name, a constant or nothing."""

    base: str | Lookup | None
    offset: int
    factor: int = 1
    divisor: int = 1

    @property
    def is_shifted(self) -> bool:
        """Whether it is its base plus a number, or a number: not a multiple, or a part."""
        return self.factor == 1 and self.divisor == 1

    def value(self, binding: Binding) -> int:
        """The integer that it stands for. KeyError: an index name without a value.

        Raises OutOfRange when a constant has no value there, NotWhole when it is between two integers.
        """
        base = self.base
        if isinstance(base, str):
            number = self.factor * binding[base] + self.offset
        elif base is None:
            number = self.offset
        else:
            position = base.at.value(binding)
            value = base.constant.at(position)
            if value is None:
                raise OutOfRange(base.constant, position)
            number = self.factor * int(value) + self.offset
        if self.divisor == 1:
            return number
        if number % self.divisor:
            raise NotWhole(self, Fraction(number, self.divisor))
        return number // self.divisor

    def substitute(self, values: Mapping[str, Position]) -> Position:
        match self.base:
            case str(name) if name in values:
                inner = values[name]
                if self.is_shifted:
                    return inner.shifted(self.offset)
                offset = self.factor * inner.offset + self.offset * inner.divisor
                return lowest_terms(inner.base, offset, self.factor * inner.factor, self.divisor * inner.divisor)
            case Lookup(constant, at):
                return replace(self, base=Lookup(constant, at.substitute(values)))
            case _:
                return self

    def shifted(self, by: int) -> Position:
        return replace(self, offset=self.offset + by * self.divisor)

    def base_of(self, position: Position) -> Position:
        """The base for which the position is another one: if `2*k-1` is i, then k is `(i+1)/2`."""
        offset = self.divisor * position.offset - self.offset * position.divisor
        return lowest_terms(position.base, offset, self.divisor * position.factor, self.factor * position.divisor)

    def base_at(self, value: int) -> int | None:
        """The base for which the position has a value, if that is an integer."""
        number = value * self.divisor - self.offset
        return None if number % self.factor else number // self.factor

    def __str__(self) -> str:
        match self.base:
            case None:
                return str(Fraction(self.offset, self.divisor))
            case str(name):
                base = name
            case Lookup(constant, _):
                base = constant.name
        base = base if self.factor == 1 else f"{self.factor}*{base}"
        text = f"{base}{self.offset:+d}" if self.offset else base
        return text if self.divisor == 1 else f"({text})/{self.divisor}" if self.offset else f"{text}/{self.divisor}"


def lowest_terms(base: str | Lookup | None, offset: int, factor: int, divisor: int) -> Position:
    """(factor · base + offset) / divisor without a common divisor of the three."""
    common = math.gcd(0 if base is None else factor, offset, divisor)
    return Position(base, offset // common, 1 if base is None else factor // common, divisor // common)


class OutOfRange(Exception):
    """A per-level constant was asked for a level that it has no value for."""

    def __init__(self, constant: Constant, position: int) -> None:
        super().__init__(constant, position)
        self.constant = constant
        self.missing = f"`{constant.name}@{position}`"


class NotWhole(Exception):
    """An index, such as `i/2`, is between two integers."""

    def __init__(self, position: Position, value: Fraction) -> None:
        super().__init__(position, value)
        self.position = position
        self.value = value


Positions = tuple[Position, ...]


def tag_function(positions: Positions) -> Callable[[Binding], tuple[int, ...]]:
    """What gives the values of some positions, which are asked for at many choices of index names.

    It raises what `value` raises.
    """
    if not positions:
        return _no_tag
    each = list(map(_value_function, positions))
    if len(each) == 1:
        (only,) = each
        return lambda binding: (only(binding),)
    return lambda binding: tuple([value(binding) for value in each])


def _no_tag(_: Binding) -> tuple[int, ...]:
    return ()


def _value_function(position: Position) -> Callable[[Binding], int]:
    base, offset = position.base, position.offset
    if isinstance(base, str) and position.is_shifted:
        return (lambda binding: binding[base] + offset) if offset else itemgetter(base)
    return position.value


def bind(positions: Positions, indices: tuple[int, ...]) -> dict[str, int] | None:
    """The values of the index names for which positions stand for these indices; None when there are none.

    `ℓ+1,0` stands for `2,0` at ℓ = 1, and for `2,1` nowhere.
    """
    binding: dict[str, int] = {}
    for position, index in zip(positions, indices, strict=True):
        if isinstance(position.base, str):
            value = position.base_at(index)
            if value is None or binding.setdefault(position.base, value) != value:
                return None
    try:
        for position, index in zip(positions, indices, strict=True):
            if not isinstance(position.base, str) and position.value(binding) != index:
                return None
    except (OutOfRange, NotWhole):
        return None
    return binding


def left_function(
    left: Positions, ranges: Mapping[str, IndexRange], level: int, declared: Mapping[str, IndexRange | None]
) -> Callable[[tuple[int, ...]], dict[str, int] | None]:
    """What gives the index names for which the left side of an equation stands for indices within its ranges.

    It is asked for each value of a network, so plain index names between numbers are compared without further calls.
    """
    names = [position.base for position in left if position.base is not None]
    is_plain = len({*names}) == len(names) and all(position.is_shifted for position in left)
    places: list[tuple[str | None, int, float, float]] = []
    for position in left if is_plain else ():
        base = position.base
        if base is None:
            places.append((None, position.offset, -math.inf, math.inf))
        elif isinstance(base, str) and (ends := _fixed_ends(ranges.get(base), position.offset)) is not None:
            places.append((base, position.offset, *ends))

    def within(indices: tuple[int, ...]) -> dict[str, int] | None:
        binding = bind(left, indices)
        is_inside = binding is not None and is_left_inside(left, ranges, level, binding, declared)
        return binding if is_inside else None

    def between(indices: tuple[int, ...]) -> dict[str, int] | None:
        binding: dict[str, int] = {}
        for (name, offset, least, most), index in zip(places, indices, strict=True):
            value = index - offset
            if name is None:
                if value:
                    return None
            elif least <= value <= most:
                binding[name] = value
            else:
                return None
        return binding

    return between if is_plain and len(places) == len(left) else within


def _fixed_ends(range: IndexRange | None, offset: int) -> tuple[float, float] | None:
    """The least and the largest value of an index name at a place of a tag, where two numbers say that."""
    if range is None:
        return -math.inf, math.inf
    least, most = range.least, range.most
    if least is None or most is None or least.base is not None or most.base is not None or abs(range.by) > 1:
        return None
    if least.divisor > 1 or most.divisor > 1:
        return None
    if range.is_explicit:
        return least.offset, most.offset
    return max(least.offset, least.offset - offset), min(most.offset, most.offset - offset)


Key = tuple[str, tuple[int, ...]]
"""A value or a parameter: its name and the values of its tag."""


def key_text(indices: Sequence[object]) -> str:
    """What stands for a tag in the name of a module: `2_0`; without an index, beside others that have one, `all`."""
    return "_".join(map(str, indices)) or "all"


def format_key(key: Key) -> str:
    """`r@2,0`."""
    name, indices = key
    return f"{name}@{','.join(map(str, indices))}" if indices else name


@dataclass(frozen=True, slots=True)
class IndexRange:
    """`levels ℓ = 1..J`: the values that an index name takes; they may depend on the level.

    `is_explicit` ranges come from a `for`; their ends may be open, and depend on any index. A range that goes down,
    `J..1 by -1`, has its larger end as `lower`: it starts there.
    """

    kind: str
    name: str
    lower: Position | None
    upper: Position | None
    level: str | None
    span: Span
    is_explicit: bool = False
    by: int = 1

    @property
    def least(self) -> Position | None:
        return self.lower if self.by > 0 else self.upper

    @property
    def most(self) -> Position | None:
        return self.upper if self.by > 0 else self.lower

    def contains(self, value: int, binding: Binding) -> bool:
        """Whether the index takes a value, given the values of the indices that the range depends on."""
        least = value if self.least is None else self.least.value(binding)
        if not least <= value <= (value if self.most is None else self.most.value(binding)):
            return False
        return self.lower is None or abs(self.by) == 1 or (value - self.lower.value(binding)) % self.by == 0

    def completed(self, declared: IndexRange | None) -> IndexRange:
        """The range with its open ends taken from the declared one, and then also its steps."""
        if declared is None or (self.lower is not None and self.upper is not None):
            return self
        least, most = self.least or declared.least, self.most or declared.most
        by = self.by if abs(self.by) > 1 else declared.by
        return replace(self, lower=least if by > 0 else most, upper=most if by > 0 else least, by=by)

    def values(self, binding: Binding, declared: IndexRange | None) -> range:
        """The values that the index takes; where an end is open, up to that of the declared range.

        Raises KeyError where an index that an end depends on has no value.
        """
        whole = self.completed(declared)
        if whole.lower is None or whole.upper is None:
            return range(0)
        start, end = whole.lower.value(binding), whole.upper.value(binding)
        if declared is not None and declared.lower is not None and abs(whole.by) > abs(self.by):
            start += (declared.lower.value(binding) - start) % whole.by
        return range(start, end + (1 if whole.by > 0 else -1), whole.by)

    def ends(self) -> str:
        """`1..ν`, `9..1 by -2`."""
        return _ends_text(str(self.lower), str(self.upper), self.by)


def _ends_text(lower: str, upper: str, by: int) -> str:
    return f"{lower}..{upper}" + (f" by {by}" if by != 1 else "")


def bindings_of(
    ranges: Mapping[str, IndexRange], declared: Mapping[str, IndexRange | None], known: Binding
) -> Iterator[dict[str, int]]:
    """All choices of index names within their ranges, beside those that are known; at most MOST_OPERATIONS."""
    found = _choices(list(ranges.values()), declared, dict(known))
    yield from islice(found, MOST_OPERATIONS)


def _choices(
    ranges: list[IndexRange], declared: Mapping[str, IndexRange | None], known: dict[str, int]
) -> Iterator[dict[str, int]]:
    if not ranges:
        yield dict(known)
    for at, range in enumerate(ranges):
        try:
            values = range.values(known, declared.get(range.name))
        except KeyError:
            continue
        except (OutOfRange, NotWhole):
            return
        for value in values:
            yield from _choices([*ranges[:at], *ranges[at + 1 :]], declared, {**known, range.name: value})
        return


def is_left_inside(
    left: Positions,
    ranges: Mapping[str, IndexRange],
    level: int,
    binding: Binding,
    declared: Mapping[str, IndexRange | None],
) -> bool:
    """Whether each index name on the left of an equation is in its range; without a `for`, also each index there.

    Where a `for` leaves an end open, the declared range ends it. `level` is the place of the level.
    """
    try:
        at = left[level].value(binding) if left else 0
        return all(_is_inside(position, ranges, binding, at, declared) for position in left)
    except (OutOfRange, NotWhole):
        return False


def _is_inside(
    position: Position,
    ranges: Mapping[str, IndexRange],
    binding: Binding,
    level: int,
    declared: Mapping[str, IndexRange | None],
) -> bool:
    if not isinstance(position.base, str) or position.base not in ranges:
        return True
    range, value = ranges[position.base], binding[position.base]
    if not range.is_explicit:
        return _covers(range, position, value, level)
    known = declared.get(position.base)
    if range.contains(value, binding) and known is not None and not known.is_explicit:
        ends = (known.least if range.least is None else None, known.most if range.most is None else None)
        if ends != (None, None) and abs(range.by) == 1 < abs(known.by):
            start = known.lower.value({known.level: level} if known.level else {}) if known.lower else 0
            if (value - start) % known.by:
                return False
        return _covers(replace(known, lower=ends[0], upper=ends[1], by=1), position, value, level)
    return range.contains(value, binding)


def _covers(range: IndexRange, position: Position, value: int, level: int) -> bool:
    outer = {range.level: level} if range.level else {}
    return range.contains(value, outer) and (not position.offset or range.contains(value + position.offset, outer))


@dataclass(frozen=True, slots=True)
class Case:
    """One of several declarations of a name, and for which tags it holds: `K@1`, `K@ℓ for ℓ = 2..J`."""

    statement: tree.Let | tree.KernelStatement | tree.Scalar
    head: Positions
    ranges: tuple[IndexRange, ...]
    """What `for` says."""

    @property
    def numbers(self) -> int:
        """Of two declarations that hold the one with more numbers wins."""
        return sum(not isinstance(position.base, str) for position in self.head)

    def binding(self, tag: tuple[int, ...]) -> dict[str, int] | None:
        """The values of its index names for a tag; None where it does not hold."""
        found = bind(self.head, tag) if len(tag) == len(self.head) else None
        if found is None or not all(range.contains(found[range.name], found) for range in self.ranges):
            return None
        return found


def holding_cases(cases: Sequence[Case], tag: tuple[int, ...]) -> list[int]:
    """Which declarations hold for a tag: one, none, or several that nothing decides between."""
    found = [at for at, case in enumerate(cases) if case.binding(tag) is not None]
    most = max((cases[at].numbers for at in found), default=0)
    return [at for at in found if cases[at].numbers == most]


Number = int | float
_Exact = int | float | Fraction
Function = Literal["exp", "log", "sqrt", "sigmoid", "softplus", "tanh", "cos", "sin", "abs"]
"""The built-in operators that give a number for a number."""
FUNCTIONS: tuple[Function, ...] = get_args(Function)
Sign = Literal["+", "*", "/", "^", "max", "min"] | Function
_MOST_BITS = 4096
"""Bits of a whole number during a computation."""


class NoNumber(Exception):
    """A formula that has no value, and why."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A constant that several declarations give, at a tag: the formula of each."""

    name: str
    cases: tuple[Case, ...]
    formulas: tuple[Formula, ...]
    at: Positions

    def exact(self, binding: Binding) -> _Exact:
        """The number. Raises NoNumber, OutOfRange."""
        tag = tuple([position.value(binding) for position in self.at])
        holding = holding_cases(self.cases, tag)
        if not holding:
            raise NoNumber(f"nothing declares `{format_key((self.name, tag))}`")
        return self.formulas[holding[0]].exact(self.cases[holding[0]].binding(tag) or {})


@dataclass(frozen=True, slots=True)
class Formula:
    """A number, an index, a per-level constant, one of several declarations, or a sign with its operands."""

    leaf: _Exact | Position | Choice | None
    sign: Sign = "+"
    operands: tuple[Formula, ...] = ()
    parts: int = 1
    """Of how many it is made: what its value takes to compute."""

    @staticmethod
    def of(sign: Sign, operands: tuple[Formula, ...]) -> Formula:
        return Formula(None, sign, operands, 1 + sum(operand.parts for operand in operands))

    def value(self, binding: Binding) -> Number:
        """The number at a choice of indices. Raises NoNumber, OutOfRange."""
        try:
            exact = self.exact(binding)
        except OverflowError:
            raise NoNumber("it is too large") from None
        except ValueError as error:
            is_outside = "domain" in str(error)
            raise NoNumber("a function has no value there" if is_outside else "it is too large") from None
        except ZeroDivisionError:
            raise NoNumber("it divides by zero") from None
        except NotWhole as error:
            raise NoNumber(f"the index `{error.position}` is {error.value}, which is not whole") from None
        if isinstance(exact, complex):
            raise NoNumber("it is a root of a negative number")
        if isinstance(exact, float):
            if not math.isfinite(exact):
                raise NoNumber("it is too large")
            return exact
        return int(exact) if exact.denominator == 1 else float(exact)

    def exact(self, binding: Binding) -> _Exact:
        """The same as a fraction, where nothing in it is a decimal number."""
        if isinstance(self.leaf, Position):
            return _position_value(self.leaf, binding)
        if isinstance(self.leaf, Choice):
            return self.leaf.exact(binding)
        if self.leaf is not None:
            return self.leaf
        values = [operand.exact(binding) for operand in self.operands]
        result = values[0]
        for value in values[1:]:
            result = _bounded(_SIGNS[self.sign](result, value))
        function = _FUNCTIONS.get(self.sign)
        return result if function is None else function(result)

    def substitute(self, scope: Mapping[str, Position]) -> Formula:
        if isinstance(self.leaf, Position):
            return Formula(self.leaf.substitute(scope))
        if isinstance(self.leaf, Choice):
            at = tuple(position.substitute(scope) for position in self.leaf.at)
            return Formula(replace(self.leaf, at=at), parts=self.parts)
        operands = tuple(operand.substitute(scope) for operand in self.operands)
        return Formula(self.leaf, self.sign, operands, self.parts)

    def is_fixed(self) -> bool:
        return next(self.positions(), None) is None

    def positions(self) -> Iterator[Position]:
        if isinstance(self.leaf, Position):
            yield self.leaf
        if isinstance(self.leaf, Choice):
            yield from self.leaf.at
        for operand in self.operands:
            yield from operand.positions()


def _position_value(position: Position, binding: Binding) -> _Exact:
    if not isinstance(position.base, Lookup):
        return position.value(binding)
    constant, at = position.base.constant, position.base.at.value(binding)
    value = constant.at(at)
    if value is None:
        raise OutOfRange(constant, at)
    number = position.factor * value + position.offset
    return number if position.divisor == 1 else _divided(number, position.divisor)


def _bounded(value: _Exact) -> _Exact:
    """The value, unless it has grown out of all bounds."""
    if not isinstance(value, float) and not isinstance(value, complex):
        if value.numerator.bit_length() > _MOST_BITS or value.denominator.bit_length() > _MOST_BITS:
            raise NoNumber("it is too large")
    return value


def _divided(one: _Exact, other: _Exact) -> _Exact:
    return one / other if isinstance(one, float) or isinstance(other, float) else Fraction(one) / Fraction(other)


def _raised(base: _Exact, exponent: _Exact) -> _Exact:
    if isinstance(exponent, float) or isinstance(base, float) or exponent.denominator != 1:
        return float(base) ** float(exponent)
    if abs(int(exponent)) * base.numerator.bit_length() > _MOST_BITS:
        raise NoNumber("it is too large")
    return Fraction(base) ** int(exponent)


_SIGNS: Mapping[Sign, Callable[[_Exact, _Exact], _Exact]] = {
    "+": lambda one, other: one + other,
    "*": lambda one, other: one * other,
    "/": _divided,
    "^": _raised,
    "max": max,
    "min": min,
}


def _softplus(number: _Exact) -> float:
    return max(float(number), 0.0) + math.log1p(math.exp(-abs(float(number))))


_FUNCTIONS: Mapping[str, Callable[[_Exact], _Exact]] = {
    "exp": math.exp,
    "log": math.log,
    "sqrt": math.sqrt,
    "sigmoid": lambda number: math.exp(-_softplus(-number)),
    "softplus": _softplus,
    "tanh": math.tanh,
    "cos": math.cos,
    "sin": math.sin,
    "abs": abs,
}
