"""Sizes that a spec leaves open, as linear formulas over their names: `H`, `H/2`, `(2*N - 1)`.

A quotient is exact: a size H/2 exists only for those H that 2 divides. Which H fit is read off the formulas of all maps
of a network, so nothing has to be recorded while they are computed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import total_ordering
from math import ceil, lcm

Terms = tuple[tuple[str, Fraction], ...]


@total_ordering
@dataclass(frozen=True, slots=True, eq=False)
class OpenSize:
    """A number and multiples of names, in the order of the names; arithmetic gives a plain number where none is left.

    Open sizes are compared as they are for large maps. Raises NotLinear for what is no formula of this kind.
    """

    terms: Terms
    constant: Fraction = Fraction(0)

    @staticmethod
    def named(name: str) -> OpenSize:
        return OpenSize(((name, Fraction(1)),))

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.terms]

    def at(self, sample: Mapping[str, int]) -> Fraction:
        return sum((factor * sample[name] for name, factor in self.terms), self.constant)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OpenSize) and (self.terms, self.constant) == (other.terms, other.constant)

    def __hash__(self) -> int:
        return hash((self.terms, self.constant))

    def __lt__(self, other: int | OpenSize) -> bool:
        difference = self - other
        if isinstance(difference, OpenSize):
            return sum(factor for _, factor in difference.terms) < 0
        return difference < 0

    def __add__(self, other: int | Fraction | OpenSize) -> Size:
        given = other if isinstance(other, OpenSize) else OpenSize((), Fraction(other))
        factors = dict(self.terms)
        for name, factor in given.terms:
            factors[name] = factors.get(name, Fraction(0)) + factor
        return _simplest(factors, self.constant + given.constant)

    __radd__ = __add__

    def __neg__(self) -> Size:
        return self * -1

    def __sub__(self, other: int | OpenSize) -> Size:
        return self + -other

    def __rsub__(self, other: int) -> Size:
        return -self + other

    def __mul__(self, other: int | Fraction | OpenSize) -> Size:
        if isinstance(other, OpenSize):
            raise NotLinear
        return _simplest({name: factor * other for name, factor in self.terms}, self.constant * other)

    __rmul__ = __mul__

    def __floordiv__(self, other: int) -> Size:
        """The multiples of names divide without a rest: that is asked of the sizes that they stand for."""
        return _simplest({name: factor / other for name, factor in self.terms}, Fraction(self.constant // other))

    def __mod__(self, other: int) -> int:
        rest = self.constant % other
        return int(rest)

    def __divmod__(self, other: int) -> tuple[Size, int]:
        return self // other, self % other

    def __str__(self) -> str:
        """As a spec writes it."""
        parts = [_term(name, factor) for name, factor in self.terms] + [str(self.constant)] * bool(self.constant)
        text = " + ".join(parts).replace("+ -", "- ")
        return text if len(parts) == 1 and text[0].isalpha() else f"({text})"


Size = int | OpenSize
OpenShape = tuple[Size, ...]


class NotLinear(Exception):
    """A product of two open sizes."""


def _simplest(factors: Mapping[str, Fraction], constant: Fraction) -> Size:
    terms = tuple(sorted((name, factor) for name, factor in factors.items() if factor))
    return OpenSize(terms, constant) if terms else int(constant)


def _term(name: str, factor: Fraction) -> str:
    """`H`, `3*H/4`."""
    text = {1: name, -1: f"-{name}"}.get(factor.numerator, f"{factor.numerator}*{name}")
    return text if factor.denominator == 1 else f"{text}/{factor.denominator}"


class SampledSize(int):
    """An open size at a size that was chosen for it: a number that is shown as its formula."""

    formula: OpenSize

    def __new__(cls, formula: OpenSize, sample: Mapping[str, int]) -> SampledSize:
        size = super().__new__(cls, int(formula.at(sample)))
        size.formula = formula
        return size

    def __str__(self) -> str:
        return str(self.formula)


def formula_of(size: int) -> Size:
    """What a size of a network is: a number, or a formula."""
    return size.formula if isinstance(size, SampledSize) else size


def sampled(size: Size, sample: Mapping[str, int]) -> int:
    return SampledSize(size, sample) if isinstance(size, OpenSize) else size


def fill(size: Size, values: Mapping[str, int]) -> Size | Fraction:
    """A size where some of its names have values; a fraction where that is no whole number."""
    if not isinstance(size, OpenSize):
        return size
    left = tuple((name, factor) for name, factor in size.terms if name not in values)
    constant = size.constant + sum(factor * values[name] for name, factor in size.terms if name in values)
    if left:
        return OpenSize(left, constant)
    return int(constant) if constant.denominator == 1 else constant


_LEAST_SAMPLE = 24
"""Large enough that sizes which belong to nothing are rarely met."""


def choose_sample(
    sizes: Iterable[OpenSize], at_least: int = _LEAST_SAMPLE, is_reversed: bool = False
) -> dict[str, int]:
    """A number for each name at which all sizes are whole and at least 1; no two names have the same.

    The numbers grow with the names, or, where that is reversed, against their order.
    """
    divisors, least = dict[str, int](), dict[str, int]()
    for size in set(sizes):
        for name, factor in size.terms:
            divisors[name] = lcm(divisors.get(name, 1), factor.denominator)
            smallest = ceil((1 - size.constant) / factor) if len(size.terms) == 1 and factor > 0 else 1
            least[name] = max(least.get(name, at_least), smallest)
    sample: dict[str, int] = {}
    for name, divisor in sorted(divisors.items(), reverse=is_reversed):
        times = -(-least[name] // divisor)
        while times * divisor in sample.values():
            times += 1
        sample[name] = times * divisor
    return sample


def open_names(sizes: Iterable[Size]) -> list[str]:
    """The names in some sizes, each once."""
    return list(dict.fromkeys(name for size in sizes if isinstance(size, OpenSize) for name in size.names))
