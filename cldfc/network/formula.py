"""Numbers that are known when the network is expanded: `64 * 2^(ℓ-1)`, `c@ℓ+1`, `1/2`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from cldfc.network.positions import Binding, Lookup, OutOfRange, Position

Number = int | float
Exact = int | float | Fraction
Sign = Literal["+", "*", "/", "^"]
MOST_BITS = 4096
"""Of a whole number, while it is computed."""


class NoNumber(Exception):
    """A formula that has no value, and why."""


@dataclass(frozen=True, slots=True)
class Formula:
    """A number, an index, a per-level constant, or a sign with its operands."""

    leaf: Exact | Position | None
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
        except (OverflowError, ValueError):
            raise NoNumber("it is too large") from None
        except ZeroDivisionError:
            raise NoNumber("it divides by zero") from None
        if isinstance(exact, complex):
            raise NoNumber("it is a root of a negative number")
        if isinstance(exact, float):
            if not math.isfinite(exact):
                raise NoNumber("it is too large")
            return exact
        return int(exact) if exact.denominator == 1 else float(exact)

    def exact(self, binding: Binding) -> Exact:
        """The same as a fraction, where nothing in it is a decimal number."""
        if isinstance(self.leaf, Position):
            return position_value(self.leaf, binding)
        if self.leaf is not None:
            return self.leaf
        values = [operand.exact(binding) for operand in self.operands]
        result = values[0]
        for value in values[1:]:
            result = bounded(SIGNS[self.sign](result, value))
        return result

    def substitute(self, scope: Mapping[str, Position]) -> Formula:
        if isinstance(self.leaf, Position):
            return Formula(self.leaf.substitute(scope))
        operands = tuple(operand.substitute(scope) for operand in self.operands)
        return Formula(self.leaf, self.sign, operands, self.parts)

    def is_fixed(self) -> bool:
        return next(self.positions(), None) is None

    def positions(self) -> Iterator[Position]:
        if isinstance(self.leaf, Position):
            yield self.leaf
        for operand in self.operands:
            yield from operand.positions()


def position_value(position: Position, binding: Binding) -> Exact:
    if not isinstance(position.base, Lookup):
        return position.value(binding)
    constant, at = position.base.constant, position.base.at.value(binding)
    value = constant.at(at)
    if value is None:
        raise OutOfRange(constant, at)
    return value + position.offset


def bounded(value: Exact) -> Exact:
    """The value, unless it has grown out of all bounds."""
    if not isinstance(value, float) and not isinstance(value, complex):
        if value.numerator.bit_length() > MOST_BITS or value.denominator.bit_length() > MOST_BITS:
            raise NoNumber("it is too large")
    return value


def divided(one: Exact, other: Exact) -> Exact:
    return one / other if isinstance(one, float) or isinstance(other, float) else Fraction(one) / Fraction(other)


def raised(base: Exact, exponent: Exact) -> Exact:
    if isinstance(exponent, float) or isinstance(base, float) or exponent.denominator != 1:
        return float(base) ** float(exponent)
    if abs(int(exponent)) * base.numerator.bit_length() > MOST_BITS:
        raise NoNumber("it is too large")
    return Fraction(base) ** int(exponent)


SIGNS: Mapping[Sign, Callable[[Exact, Exact], Exact]] = {
    "+": lambda one, other: one + other,
    "*": lambda one, other: one * other,
    "/": divided,
    "^": raised,
}
