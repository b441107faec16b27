"""Formulas of the spec as Python: `64 * 2^(ℓ-1)` → `64 * 2 ** (level - 1)`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from math import isclose

from cldfc.network.formula import Formula
from cldfc.network.positions import Lookup, Position

Sample = tuple[Mapping[str, int], int | float]
SUM, PRODUCT, POWER, ATOM = range(4)
LARGEST_WHOLE = 2**63
"""torch takes no larger whole number, so it is written as a decimal one."""
PYTHON = {"+": (" + ", SUM), "*": (" * ", PRODUCT), "/": (" / ", PRODUCT), "^": ("**", POWER)}


def formula_text(formula: Formula, samples: Sequence[Sample], position: Callable[[Position], str]) -> str | None:
    """The formula in Python, if that computes the number of each sample; decimal numbers but for rounding."""
    if formula.sign == "+" and not formula.operands:
        return None
    if any(abs(value) >= LARGEST_WHOLE for _, value in samples):
        return None
    try:
        is_whole = all(isinstance(value, int) for _, value in samples)
        given = ((computed(formula, turn, is_whole), value) for turn, value in samples)
        agrees = all(
            found == value or (not is_whole and isclose(found, value, rel_tol=1e-14)) for found, value in given
        )
    except (ArithmeticError, KeyError, ValueError):
        return None
    return write(formula, position, is_whole)[0] if agrees else None


def number_text(value: int | float) -> str:
    """A number in Python."""
    return str(float(value) if abs(value) >= LARGEST_WHOLE else value)


def computed(formula: Formula, turn: Mapping[str, int], is_whole: bool) -> int | float:
    """What Python computes, where `/` is `//` between whole numbers and `/` otherwise."""
    leaf = formula.leaf
    if isinstance(leaf, Position):
        if isinstance(leaf.base, Lookup):
            value = leaf.base.constant.at(leaf.base.at.value(turn))
            return (0 if value is None else value) + leaf.offset
        return leaf.value(turn)
    if leaf is not None:
        return float(leaf) if isinstance(leaf, Fraction) else leaf
    values = [computed(operand, turn, is_whole) for operand in formula.operands]
    result = values[0]
    for value in values[1:]:
        if formula.sign == "/":
            result = result // value if is_whole else result / value
        else:
            result = SIGNS[formula.sign](result, value)
    return result


SIGNS: Mapping[str, Callable[[int | float, int | float], int | float]] = {
    "+": lambda one, other: one + other,
    "*": lambda one, other: one * other,
    "^": lambda one, other: one**other,
}


def write(formula: Formula, position: Callable[[Position], str], is_whole: bool) -> tuple[str, int]:
    """The text of a formula, and how strongly its outermost sign binds."""
    leaf = formula.leaf
    if isinstance(leaf, Position):
        return position(leaf), SUM if leaf.offset and leaf.base is not None else ATOM
    if leaf is not None:
        return str(leaf), ATOM if not str(leaf).startswith("-") else SUM
    sign, own = PYTHON[formula.sign]
    if formula.sign == "/" and is_whole:
        sign = " // "
    text, binds = write(formula.operands[0], position, is_whole)
    text = f"({text})" if binds < own + (formula.sign == "^") else text
    is_atomic = binds == ATOM
    for operand in formula.operands[1:]:
        negated = minus(operand) if formula.sign == "+" else None
        inner, binds = write(negated or operand, position, is_whole)
        needs = binds <= own if formula.sign in "/^" or negated else binds < own
        is_atomic = is_atomic and binds == ATOM
        text += (" - " if negated else sign) + (f"({inner})" if needs else inner)
    return (text if formula.sign != "^" or is_atomic else text.replace("**", " ** ", 1)), own


def minus(formula: Formula) -> Formula | None:
    """What is subtracted, if a term is."""
    first = formula.operands[0] if formula.operands else None
    if formula.sign == "*" and first is not None and first.leaf == -1 and len(formula.operands) == 2:
        return formula.operands[1]
    return None
